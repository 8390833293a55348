#!/usr/bin/env bash
# On a bare Ubuntu 24.04 with an NVIDIA L4: driver, Docker, container toolkit, profiling permission, FlashCore. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
usage: bash deploy/l4/bootstrap_vm.sh [--driver NUMBER] [--no-start] [--dry-run]

Installs what is missing, opens the hardware counters (for the tensor-core metrics), builds the image and starts the server with
Prometheus and Grafana. What is done already is left alone: run it again after a restart or a failure.

  --driver NUMBER  the driver's branch (default: 580, which CUDA 13 needs)
  --no-start       stop before building and starting the containers
  --dry-run        print every command that this machine would need, and run none

Exit status: 0 done; 3 restart the machine and run this again; others: failed.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

driver=580
start=yes
dry_run=no
while (($# > 0)); do
  case "$1" in
    --driver) driver="${2:?--driver needs a number}" && shift 2 ;;
    --no-start) start=no && shift ;;
    --dry-run) dry_run=yes && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ "$driver" =~ ^[0-9]+$ ]] || fail "--driver is a number like 580, not '$driver'"

readonly restart_needed=3
readonly profiling_conf=/etc/modprobe.d/flashcore-profiling.conf
readonly profiling_option='options nvidia NVreg_RestrictProfilingToAdminUsers=0'
readonly toolkit_keyring=/usr/share/keyrings/nvidia-container-toolkit.gpg
readonly toolkit_list=/etc/apt/sources.list.d/nvidia-container-toolkit.list
readonly toolkit_site=https://nvidia.github.io/libnvidia-container
readonly compose=(docker compose -f "$root/deploy/docker/compose.yaml" --profile gpu)

as_root=()
((EUID == 0)) || as_root=(sudo)
restart=no

say() { printf '\n== %s\n' "$*"; }

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
root_run() { run "${as_root[@]}" "$@"; }
install() { root_run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }

# write_file PATH TEXT
write_file() {
  # shellcheck disable=SC2016  # The inner shell expands it.
  root_run sh -c 'printf "%s\n" "$1" >"$2"' sh "$2" "$1"
}

install_driver() {
  say "driver"
  if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    echo "there: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
    return 0
  fi
  # The modules of Google's kernel come built and signed; elsewhere DKMS builds them.
  install "nvidia-headless-$driver-server-open" "nvidia-utils-$driver-server" "linux-modules-nvidia-$driver-server-open-gcp"
  root_run modprobe nvidia || restart=yes
  root_run systemctl enable --now nvidia-persistenced.service || true
}

open_counters() {
  say "permission to read hardware counters"
  if [[ -r /proc/driver/nvidia/params ]] && grep -q '^RmProfilingAdminOnly: 0' /proc/driver/nvidia/params; then
    echo "there"
    return 0
  fi
  write_file "$profiling_conf" "$profiling_option"
  root_run update-initramfs -u
  restart=yes
}

install_docker() {
  say "Docker"
  if docker compose version >/dev/null 2>&1; then
    echo "there: $(docker --version)"
  else
    install docker.io docker-buildx docker-compose-v2
  fi
  root_run systemctl enable --now docker.service
}

install_container_toolkit() {
  say "NVIDIA container toolkit"
  if ! command -v nvidia-ctk >/dev/null; then
    install curl gnupg ca-certificates
    root_run sh -c "curl -fsSL $toolkit_site/gpgkey | gpg --dearmor --yes -o $toolkit_keyring"
    write_file "$toolkit_list" "deb [signed-by=$toolkit_keyring] $toolkit_site/stable/deb/\$(ARCH) /"
    root_run apt-get update
    install nvidia-container-toolkit
  fi
  if ! grep -q nvidia-container-runtime /etc/docker/daemon.json 2>/dev/null; then
    root_run nvidia-ctk runtime configure --runtime=docker
    root_run systemctl restart docker.service
  fi
}

start_service() {
  say "building the image and starting the service"
  root_run "${compose[@]}" up --detach --build --wait
  root_run "${compose[@]}" exec -T server /opt/flashcore/bin/flashcore_attend --target=127.0.0.1:50051 --verify
}

# shellcheck source=/dev/null
if [[ "$dry_run" == no ]] && [[ "$(. /etc/os-release && echo "$ID $VERSION_ID")" != "ubuntu 24.04" ]]; then
  fail "this is for Ubuntu 24.04"
fi
root_run apt-get update
install_driver
open_counters
install_docker
install_container_toolkit
if [[ "$restart" == yes && "$dry_run" == no ]]; then
  say "restart the machine (sudo systemctl reboot) and run this again"
  exit "$restart_needed"
fi
say "preflight"
# Prometheus and Grafana may run already, and so may the server.
preflight=0
run bash "$root/deploy/l4/preflight.sh" || preflight=$?
((preflight < 2)) || fail "the preflight found something critical, see above"
[[ "$start" == no ]] || start_service
