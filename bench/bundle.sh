#!/usr/bin/env bash
# Builds a folder of programs, with their libraries, that runs on a GPU machine without any of our packages. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=deploy/machine.sh
source "$root/deploy/machine.sh"

# What a bundle may take, so that it can be carried to a machine quickly.
readonly max_bundle_mib=120

usage() {
  cat <<TEXT
usage: bash bench/bundle.sh [--output DIR] [--build-dir PATH] [--jobs N] [--peer] [--peer-python VERSION]

Builds Release with CUDA and fills DIR with bin/ (the server, the clients, the tests and benchmarks that want a GPU),
lib/ (every shared library they need but the C library's) and VERSION. For machines with the same or a newer C library.

  --output DIR      default: .bundle; replaced as a whole
  --build-dir PATH  default: build/cuda
  --jobs N          compilers at once (default: by CPUs and memory)
  --peer            also python/: what the Python server that bench/rpc.sh compares with needs beside PyTorch, from PyPI
  --peer-python V   the CPython version that it is for (default: 3.12)
TEXT
}

say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

output="$root/.bundle"
build_dir="$root/build/cuda"
jobs="$(flashcore_jobs)"
peer=""
peer_python=3.12
while (($# > 0)); do
  case "$1" in
    --output) output="${2:?--output needs a folder}" && shift 2 ;;
    --build-dir) build_dir="${2:?--build-dir needs a path}" && shift 2 ;;
    --jobs) jobs="${2:?--jobs needs a number}" && shift 2 ;;
    --peer) peer=1 && shift ;;
    --peer-python) peer_python="${2:?--peer-python needs a version}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
flashcore_nvcc >/dev/null || fail "this needs the CUDA Toolkit >= 12.4 (nvcc on PATH or in /usr/local/cuda)"
output="$(realpath -m "$output")"
build_dir="$(realpath -m "$build_dir")"
if [[ -e "$output" && ! -f "$output/VERSION" ]]; then
  fail "$output is there and is no bundle: remove it, or choose another --output"
fi

write_version() {
  echo "commit    $(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)"
  if [[ -n "$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null)" ]]; then
    echo "          with changes that are not committed"
  fi
  echo "program   $("$output.new/bin/flashcore_server" --version)"
  echo "compiler  $(c++ --version | head -n 1)"
  echo "nvcc      $("$(flashcore_nvcc)" --version | sed -n 's/^Cuda compilation tools, //p')"
}

flashcore_share_ccache "$root"
flashcore_lock "$root/build"
say "configuring $build_dir"
(cd "$root" && cmake --preset cuda -B "$build_dir" -DBUILD_TESTING=ON) >"$root/build/bundle-configure.log" 2>&1 ||
  fail "cmake could not configure: $root/build/bundle-configure.log"
say "building with $jobs jobs"
cmake --build "$build_dir" -j "$jobs" --target flashcore_bundle

say "collecting programs and libraries"
rm -rf "$output.new"
for component in runtime device; do
  cmake --install "$build_dir" --prefix "$output.new" --component "$component" --strip >/dev/null
done
if [[ -n "$peer" ]]; then bash "$root/bench/torch_peer/fetch.sh" "$output.new/python" "$peer_python"; fi
write_version >"$output.new/VERSION"
missing="$(ldd "$output.new"/bin/* | grep 'not found' | sort -u || true)"
[[ -z "$missing" ]] || fail "libraries are missing: $missing"
bundle_mib="$(du -sm "$output.new" | cut -f 1)"
((bundle_mib <= max_bundle_mib)) || fail "the bundle takes $bundle_mib MiB, more than $max_bundle_mib"
rm -rf "$output"
mv "$output.new" "$output"

say "$output: $bundle_mib MiB, $(find "$output/bin" -type f | wc -l) programs, $(find "$output/lib" -type f | wc -l) libraries"
cat "$output/VERSION"
