#!/usr/bin/env bash
# Builds the CPU image without a container engine, from a debootstrapped base, and runs it as Kubernetes would: read-only
# root, no capabilities, no network of its own. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
usage: bash tests/deploy/image_check.sh [--rootfs TAR]

  --rootfs TAR  stands in for debian:bookworm-slim; default: debootstrap makes a minimal Debian 12

Needs root, buildah, podman, runc and, without --rootfs, debootstrap. Takes as long as a build from nothing: minutes. Keeps the
base and the layers in the storage of buildah and podman, as flashcore-check-*.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

rootfs=""
while (($# > 0)); do
  case "$1" in
    --rootfs) rootfs="${2:?--rootfs needs a file}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done

readonly base=localhost/flashcore-check-base image=localhost/flashcore-check:cpu container="flashcore-check-$$"
storage=(--storage-driver overlay)
work="$(mktemp -d)"

# shellcheck disable=SC2317  # The trap calls it.
clean_up() {
  podman "${storage[@]}" rm --force --ignore "$container" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT

make_base() {
  if [[ -z "$rootfs" ]]; then
    debootstrap --variant=minbase bookworm "$work/root" >"$work/debootstrap.log" ||
      { tail "$work/debootstrap.log" && fail "debootstrap failed"; }
    tar -C "$work/root" -cf "$work/root.tar" .
    rm -rf "$work/root"
    rootfs="$work/root.tar"
  fi
  podman "${storage[@]}" import --quiet "$rootfs" "$base" >/dev/null
}

build_image() {
  buildah "${storage[@]}" bud --isolation chroot --pull-never --network host --format docker --layers \
    --ignorefile "$root/deploy/docker/Dockerfile.cpu.dockerignore" --build-arg "BASE=$base" \
    --build-arg "REVISION=$(git -C "$root" rev-parse HEAD)" -f "$root/deploy/docker/Dockerfile.cpu" -t "$image" "$root"
  podman "${storage[@]}" image inspect "$image" \
    --format 'user {{.User}}, {{.Size}} bytes, health check {{.HealthCheck.Test}}, labels {{.Labels}}'
}

run_image() {
  local engine=(podman "${storage[@]}" --runtime runc --cgroup-manager cgroupfs) status
  "${engine[@]}" run --detach --name "$container" --network host --ulimit nofile=20000:20000 --ulimit nproc=1024:1024 \
    --read-only --cap-drop all --security-opt no-new-privileges "$image" \
    --listen=127.0.0.1:50051 --metrics_address=127.0.0.1:0 --staging_bytes=268435456 --max_batch_bytes=268435456 \
    --max_message_bytes=67108864 >/dev/null
  "${engine[@]}" exec "$container" /opt/flashcore/bin/flashcore_health --target=127.0.0.1:50051 --timeout=60s
  "${engine[@]}" healthcheck run "$container"
  "${engine[@]}" exec "$container" /opt/flashcore/bin/flashcore_attend --target=127.0.0.1:50051 --verify
  "${engine[@]}" exec "$container" /opt/flashcore/bin/flashcore_load --target=127.0.0.1:50051 --duration=3s --verify=0.05
  "${engine[@]}" stop --time 60 "$container" >/dev/null
  status="$("${engine[@]}" inspect --format '{{.State.ExitCode}}' "$container")"
  ((status == 0)) || fail "the server ended with status $status after SIGTERM"
}

make_base
build_image
run_image
echo "the image builds, serves as a user without rights on a read-only root, says that it is healthy, and drains"
