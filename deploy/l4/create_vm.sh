#!/usr/bin/env bash
# Makes a VM with one L4 on Google Cloud, copies this source there, and runs bootstrap_vm.sh on it. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
usage: bash deploy/l4/create_vm.sh --project PROJECT [--zone ZONE] [--name NAME] [--spot] [--delete] [--dry-run]

Makes a g2-standard-8 (one L4, 8 vCPUs, 32 GB) with Ubuntu 24.04, no public service and no cloud permissions of its own, reached
through Identity-Aware Proxy. Copies the committed source there and runs deploy/l4/bootstrap_vm.sh, again after a restart if it asks
for one. What is there already stays: run it again after a failure.

  --project PROJECT  the project that pays
  --zone ZONE        default: us-central1-a
  --name NAME        default: flashcore-l4
  --spot             cheaper, and may be taken away at any time
  --delete           deletes the VM and its disk instead
  --dry-run          prints every command and runs none

Needs gcloud, signed in, and git.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

project=""
zone=us-central1-a
name=flashcore-l4
spot=no
delete=no
dry_run=no
while (($# > 0)); do
  case "$1" in
    --project) project="${2:?--project needs a name}" && shift 2 ;;
    --zone) zone="${2:?--zone needs a name}" && shift 2 ;;
    --name) name="${2:?--name needs a name}" && shift 2 ;;
    --spot) spot=yes && shift ;;
    --delete) delete=yes && shift ;;
    --dry-run) dry_run=yes && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ -n "$project" ]] || fail "--project is needed"
[[ "$name" =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] || fail "--name is lower-case letters, digits and dashes, not '$name'"
if [[ "$dry_run" == no ]]; then
  command -v gcloud >/dev/null || fail "this needs gcloud"
fi

# bootstrap_vm.sh ends with it when the machine has to restart.
readonly restart_needed=3
# How often to look whether the VM is reachable, 10 s apart.
readonly most_tries=60

where=(--project="$project" --zone="$zone")

# run COMMAND...: does it, or with --dry-run says it.
run() {
  if [[ "$dry_run" == yes ]]; then
    printf '+'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

on_vm() { run gcloud compute ssh "$name" "${where[@]}" --tunnel-through-iap --quiet --command "$1"; }

exists() {
  [[ "$dry_run" == no ]] && gcloud compute instances describe "$name" "${where[@]}" --format='value(name)' >/dev/null 2>&1
}

create() {
  if exists; then
    echo "$name is there already"
    return 0
  fi
  local provisioning=(--provisioning-model=STANDARD)
  [[ "$spot" == no ]] || provisioning=(--provisioning-model=SPOT --instance-termination-action=STOP)
  # A GPU cannot migrate. Secure Boot would refuse a driver that is built on the machine.
  run gcloud compute instances create "$name" "${where[@]}" "${provisioning[@]}" \
    --machine-type=g2-standard-8 --maintenance-policy=TERMINATE \
    --image-family=ubuntu-2404-lts-amd64 --image-project=ubuntu-os-cloud \
    --boot-disk-type=pd-balanced --boot-disk-size=100GB \
    --no-service-account --no-scopes --no-shielded-secure-boot --shielded-vtpm --shielded-integrity-monitoring \
    --metadata=enable-oslogin=TRUE
}

wait_for_ssh() {
  local tries
  for ((tries = 0; tries < most_tries; ++tries)); do
    if on_vm true 2>/dev/null; then return 0; fi
    sleep 10
  done
  fail "$name cannot be reached. Does a firewall rule let 35.235.240.0/20, the proxy's addresses, reach port 22?"
}

copy_source() {
  local archive
  archive="$(mktemp --suffix=.tar.gz)"
  git -C "$root" archive --format=tar.gz --output="$archive" HEAD
  run gcloud compute scp "$archive" "$name:flashcore.tar.gz" "${where[@]}" --tunnel-through-iap --quiet
  rm -f "$archive"
  on_vm 'mkdir -p flashcore && tar -C flashcore -xzf flashcore.tar.gz'
}

bootstrap() {
  local status=0
  on_vm 'bash flashcore/deploy/l4/bootstrap_vm.sh' || status=$?
  if ((status == restart_needed)); then
    echo "restarting $name"
    on_vm 'sudo systemctl reboot' || true
    sleep 20
    wait_for_ssh
    status=0
    on_vm 'bash flashcore/deploy/l4/bootstrap_vm.sh' || status=$?
  fi
  ((status == 0)) || fail "bootstrap_vm.sh ended with status $status on $name"
}

if [[ "$delete" == yes ]]; then
  run gcloud compute instances delete "$name" "${where[@]}" --quiet
  exit 0
fi
create
wait_for_ssh
copy_source
bootstrap
cat <<TEXT

$name serves. From this machine, through a tunnel:
  gcloud compute ssh $name ${where[*]} --tunnel-through-iap -- -L 50051:localhost:50051 -L 3000:localhost:3000 -L 9090:localhost:9090
It costs money until: bash deploy/l4/create_vm.sh --project $project --zone $zone --name $name --delete
TEXT
