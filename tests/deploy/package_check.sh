#!/usr/bin/env bash
# Installs the .deb in a bare Debian root, serves from it, and does the same from another folder. See --help.
set -euo pipefail

# shellcheck source=tests/deploy/release.sh
source "$(dirname "${BASH_SOURCE[0]}")/release.sh"

usage() {
  cat <<TEXT
usage: bash tests/deploy/package_check.sh --packages DIR [--rootfs TAR]

  --packages DIR  where deploy/package.sh wrote the .deb and the .tar.gz; without the latter, the installed folder is moved
  --rootfs TAR    a bare root file system; default: debootstrap makes a minimal Debian 12

Needs root, for chroot. Touches nothing outside a temporary folder.
TEXT
}

release_arguments "$@"

# Mounts and processes of this script end with it: it runs in namespaces of its own.
if [[ -z "${FLASHCORE_IN_NAMESPACE:-}" ]]; then
  arguments=(--packages "$packages")
  [[ -z "$rootfs" ]] || arguments+=(--rootfs "$rootfs")
  FLASHCORE_IN_NAMESPACE=yes exec unshare --mount --pid --fork --kill-child bash "${BASH_SOURCE[0]}" "${arguments[@]}"
fi

work="$(mktemp -d)"
# shellcheck disable=SC2317  # The trap calls it.
clean_up() {
  umount "$work/root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

make_root() {
  mkdir -p "$work/root"
  if [[ -n "$rootfs" ]]; then
    tar -C "$work/root" -xf "$rootfs"
  else
    debootstrap --variant=minbase bookworm "$work/root" >"$work/debootstrap.log" ||
      { tail "$work/debootstrap.log" && fail "debootstrap failed"; }
  fi
  mount -t proc proc "$work/root/proc"
  cp "$(release_file 'flashcore-*.deb')" "$work/root/tmp/flashcore.deb"
}

# The folder /tmp/unpacked: what the .tar.gz holds.
unpack() {
  local archive
  archive="$(release_file 'flashcore-*.tar.gz')"
  if [[ -n "$archive" ]]; then
    mkdir "$work/root/tmp/unpacked"
    tar -C "$work/root/tmp/unpacked" --strip-components=1 -xzf "$archive"
  else
    cp -a "$work/root/opt/flashcore" "$work/root/tmp/unpacked"
  fi
}

# A command, not a function: in the background a function would be a shell that keeps the signals for itself.
inside=(chroot "$work/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin)

# serve_from PREFIX: the server as the unit starts it, a checked answer, a drain.
serve_from() {
  local prefix="$1" pid status=0
  "${inside[@]}" install -d -o flashcore -g flashcore /run/flashcore
  "${inside[@]}" setpriv --reuid=flashcore --regid=flashcore --clear-groups --no-new-privs \
    "$prefix/bin/flashcore_server" --flagfile=/etc/flashcore/flags --unix_socket=/run/flashcore/socket \
    --listen= --metrics_address=127.0.0.1:0 &
  pid=$!
  "${inside[@]}" "$prefix/bin/flashcore_health" --target=unix:/run/flashcore/socket --timeout=60s
  "${inside[@]}" "$prefix/bin/flashcore_attend" --target=unix:/run/flashcore/socket --shape=2,8,128,64 --causal --verify
  kill -TERM "$pid"
  wait "$pid" || status=$?
  ((status == 0)) || fail "the server from $prefix ended with status $status"
  ! "${inside[@]}" "$prefix/bin/flashcore_health" --target=unix:/run/flashcore/socket --timeout=200ms 2>/dev/null ||
    fail "the probe of $prefix says that a server which is gone serves"
}

make_root
echo "== the .deb, in a root with $("${inside[@]}" dpkg-query -W | wc -l) packages and none of ours"
"${inside[@]}" dpkg -i /tmp/flashcore.deb
serve_from /opt/flashcore
echo "== an upgrade keeps edited flags"
echo '--max_queue_length=64' >>"$work/root/etc/flashcore/flags"
"${inside[@]}" dpkg -i /tmp/flashcore.deb >/dev/null
grep -q max_queue_length "$work/root/etc/flashcore/flags" || fail "the upgrade replaced the flags"
echo "== from another folder"
unpack
serve_from /tmp/unpacked
echo "== removed"
"${inside[@]}" dpkg --purge flashcore
[[ ! -e "$work/root/opt/flashcore" && ! -e "$work/root/etc/flashcore" ]] || fail "purging leaves files behind"
echo "the release installs, serves, drains, moves and goes"
