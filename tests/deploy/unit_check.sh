#!/usr/bin/env bash
# Runs the .deb's systemd unit under a real systemd, in a container: start, who may connect, a crash, an upgrade, bad flags,
# TLS, stop. See --help.
set -euo pipefail

# shellcheck source=tests/deploy/release.sh
source "$(dirname "${BASH_SOURCE[0]}")/release.sh"

usage() {
  cat <<TEXT
usage: bash tests/deploy/unit_check.sh --packages DIR --rootfs TAR

  --packages DIR  where deploy/package.sh wrote the .deb
  --rootfs TAR    a bare Debian 12, for example: debootstrap --variant=minbase bookworm ROOT && tar -C ROOT -cf TAR .

Needs root, buildah, podman and runc. Nothing may listen on the ports 50051 and 9464: the container has the machine's network.
TEXT
}

release_arguments "$@"
[[ -n "$rootfs" ]] || fail "--rootfs is needed"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly base=localhost/flashcore-check-base image=localhost/flashcore-check:systemd name="flashcore-unit-check-$$"
engine=(podman --storage-driver overlay --runtime runc --cgroup-manager cgroupfs)
builder=(buildah --storage-driver overlay)
# shellcheck disable=SC2317  # The trap calls it.
clean_up() {
  "${engine[@]}" rm --force --ignore "$name" >/dev/null 2>&1 || true
  rm -rf "${secrets:-}"
}
trap clean_up EXIT

make_image() {
  "${engine[@]}" import --quiet "$rootfs" "$base" >/dev/null
  local working
  working="$("${builder[@]}" from --pull-never "$base")"
  "${builder[@]}" run --isolation chroot --network host "$working" -- sh -c \
    'apt-get -qq update && apt-get -qq install -y --no-install-recommends systemd >/dev/null 2>&1'
  "${builder[@]}" copy --quiet "$working" "$(release_file 'flashcore-*.deb')" \
    /opt/flashcore.deb >/dev/null
  "${builder[@]}" run --isolation chroot "$working" -- dpkg -i /opt/flashcore.deb
  "${builder[@]}" config --cmd /lib/systemd/systemd "$working"
  "${builder[@]}" commit --quiet --rm "$working" "$image" >/dev/null
}

inside() { "${engine[@]}" exec "$name" "$@"; }
property() { inside systemctl show --property "$1" --value flashcore; }

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local seconds="$1" second
  shift
  for ((second = 0; second < seconds; ++second)); do
    if "$@"; then return 0; fi
    sleep 1
  done
  fail "not within $seconds s: $*"
}
is() { [[ "$(property "$1")" == "$2" ]]; }

# What the guide says to type for certificates and tokens: the first block below that heading.
guide_commands() {
  # shellcheck disable=SC2016  # The grave accents are the guide's.
  awk '/^### Certificates and tokens$/ {section = 1} section && /^```$/ {if (block++) exit; next} block' "$root/deploy/README.md"
}

make_image
"${engine[@]}" run --detach --name "$name" --systemd always --privileged --network host \
  --ulimit nofile=20000:20000 --ulimit nproc=1024:1024 "$image" >/dev/null
wait_for 60 inside systemctl is-system-running --quiet

echo "== it starts, and serves when systemctl returns"
inside systemctl start flashcore
inside /opt/flashcore/bin/flashcore_attend --target=localhost:50051 --verify | tail -n 1
[[ "$(inside grep CapBnd "/proc/$(property MainPID)/status")" == *0000000000000000 ]] || fail "it has capabilities"

echo "== the socket is for the group"
inside useradd ann
probe=(/opt/flashcore/bin/flashcore_health --target=unix:/run/flashcore/socket --timeout)
! inside su ann -c "${probe[*]}=300ms" 2>/dev/null || fail "an outsider can connect"
inside usermod --append --groups flashcore ann
inside su ann -c "${probe[*]}=60s"

echo "== it is started again after a crash"
inside systemctl kill --signal KILL --kill-who main flashcore
wait_for 60 is NRestarts 1
wait_for 60 is ActiveState active

echo "== an upgrade drains the old process and starts the new one"
before="$(property MainPID)"
inside dpkg -i /opt/flashcore.deb >/dev/null
[[ "$(property MainPID)" != "$before" ]] || fail "the old process still runs"
is ActiveState active || fail "the new process does not run"

echo "== TLS, by the guide: its files, its drop-in"
secrets="$(mktemp -d)"
(cd "$secrets" && bash -euc "$(guide_commands)" 2>/dev/null)
"${engine[@]}" cp "$secrets/." "$name:/etc/flashcore/secrets"
inside sh -c 'cd /etc/flashcore/secrets && chown -R root:flashcore . && chmod 750 . && chmod 640 *'
inside install -D -m 644 /opt/flashcore/share/systemd/tls.conf /etc/systemd/system/flashcore.service.d/tls.conf
inside systemctl daemon-reload
inside systemctl restart flashcore || fail "it does not start: $(inside journalctl --unit flashcore --lines 20 --no-pager)"
attend=(inside /opt/flashcore/bin/flashcore_attend --target=localhost:50051 --verify)
! "${attend[@]}" 2>/dev/null || fail "a client in plain text got an answer"
"${attend[@]}" --tls_ca=/etc/flashcore/secrets/ca.crt --tls_cert=/etc/flashcore/secrets/client.crt \
  --tls_key=/etc/flashcore/secrets/client.key --auth_token_file=/etc/flashcore/secrets/token | tail -n 1

echo "== it stops well"
inside systemctl stop flashcore
is Result success || fail "stopping it gave $(property Result)"

echo "== bad flags fail"
inside sh -c 'echo --max_queue_length=0 >>/etc/flashcore/flags'
! inside systemctl start flashcore 2>/dev/null || fail "it started with bad flags"
inside journalctl --unit flashcore --grep 'max_queue_length: 0' --quiet --lines 1 --no-pager
echo "the unit starts, serves, restarts, upgrades, speaks TLS, drains and refuses bad flags"
