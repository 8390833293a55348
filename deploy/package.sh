#!/usr/bin/env bash
# Builds the release: a .tar.gz that runs where it is unpacked, and a .deb. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=deploy/packages.sh
source "$root/deploy/packages.sh"
# shellcheck source=deploy/machine.sh
source "$root/deploy/machine.sh"

usage() {
  cat <<TEXT
usage: bash deploy/package.sh [--output DIR] [--build-dir PATH] [--cpu] [--jobs N] [--no-install]

Builds Release and writes flashcore-VERSION-linux-ARCH-{cuda,cpu}.tar.gz and .deb to DIR. Both carry every shared library
that they need but the C library: they run on machines with the same or a newer one, without any of our packages. Build
on Debian 12 for Debian 12, Ubuntu 24.04 and later.

  --output DIR      default: build/release-packages
  --build-dir PATH  default: build/package-cuda or build/package-cpu
  --cpu             without CUDA, also where there is a toolkit
  --jobs N          compilers at once (default: by CPUs and memory)
  --no-install      do not look for missing distribution packages
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

output="$root/build/release-packages"
build_dir=""
variant=cuda
jobs="$(flashcore_jobs)"
install=yes
while (($# > 0)); do
  case "$1" in
    --output) output="${2:?--output needs a folder}" && shift 2 ;;
    --build-dir) build_dir="${2:?--build-dir needs a path}" && shift 2 ;;
    --cpu) variant=cpu && shift ;;
    --jobs) jobs="${2:?--jobs needs a number}" && shift 2 ;;
    --no-install) install=no && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
if [[ "$variant" == cuda ]] && ! flashcore_nvcc >/dev/null; then
  fail "no CUDA Toolkit >= 12.4 (nvcc on PATH or in /usr/local/cuda); --cpu builds without it"
fi
preset=cuda
[[ "$variant" == cuda ]] || preset=cpu-only
output="$(realpath -m "$output")"
build_dir="$(realpath -m "${build_dir:-$root/build/package-$variant}")"

if [[ "$install" == yes ]]; then
  flashcore_install_packages "${FLASHCORE_BUILD_PACKAGES[@]}"
fi
flashcore_share_ccache "$root"
flashcore_lock "$root/build"
(cd "$root" && cmake --preset "$preset" -B "$build_dir" -DBUILD_TESTING=OFF >"$root/build/package-configure.log" 2>&1) ||
  fail "cmake could not configure: $root/build/package-configure.log"
cmake --build "$build_dir" -j "$jobs" --target flashcore_release
mkdir -p "$output"
(cd "$build_dir" && cpack -B "$output")
rm -rf "$output/_CPack_Packages"
ls -l "$output"
