#!/usr/bin/env bash
# Installs what the tests need, builds them, and runs every test that this machine can run. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=deploy/packages.sh
source "$root/deploy/packages.sh"
# shellcheck source=deploy/machine.sh
source "$root/deploy/machine.sh"

usage() {
  cat <<TEXT
usage: bash tests/run.sh [--preset NAME] [--target NAME] [--jobs N] [--no-install] [-- CTEST_ARGUMENT...]

  --preset NAME   a preset of CMakePresets.json (default: release, or cpu-only where there is no CUDA >= 12.4;
                  asan and tsan run the same tests under the sanitizers)
  --target NAME   what to build (default: flashcore_tests, all of them)
  --jobs N        compilers and tests at once (default: by CPUs and memory)
  --no-install    do not look for missing distribution packages
  -- ...          for ctest, for example: -- -L unit    -- -R scheduler

Exit status: 0 if everything that could run passed.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

preset=""
target=flashcore_tests
jobs=""
install=yes
while (($# > 0)); do
  case "$1" in
    --preset) preset="${2:?--preset needs a name}" && shift 2 ;;
    --target) target="${2:?--target needs a name}" && shift 2 ;;
    --jobs) jobs="${2:?--jobs needs a number}" && shift 2 ;;
    --no-install) install=no && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ -n "$preset" ]] || preset="$(flashcore_release_preset)"
[[ -n "$jobs" ]] || jobs="$(flashcore_jobs)"

# What this machine cannot run, known before anything is built.
explain_machine() {
  if [[ ! "$preset" =~ ^(release|cuda|debug|cpu-only)$ ]]; then
    echo "not built: the CUDA kernels and their tests (the preset $preset is without CUDA)"
  elif ! flashcore_nvcc >/dev/null; then
    echo "not built: the CUDA kernels and their tests (no nvcc >= 12.4 on PATH or in /usr/local/cuda)"
  elif ! flashcore_has_gpu; then
    echo "built, not run: the tests of the CUDA kernels (no NVIDIA GPU with a driver: nvidia-smi finds none)"
  fi
}

say() { printf '\n== %s\n' "$*"; }

cd "$root"
if [[ "$install" == yes ]]; then
  say "distribution packages"
  flashcore_install_packages "${FLASHCORE_BUILD_PACKAGES[@]}" "${FLASHCORE_TEST_PACKAGES[@]}"
fi
flashcore_share_ccache "$root"
flashcore_lock "$root/build"

say "configuring build/$preset"
if ! configure_log="$(cmake --preset "$preset" -DBUILD_TESTING=ON 2>&1)"; then
  echo "$configure_log" >&2
  fail "cmake could not configure; its output is above"
fi

say "building $target with $jobs jobs"
cmake --build --preset "$preset" --target "$target" -j "$jobs"

say "running the tests"
junit="build/$preset/Testing/junit.xml"
summary="build/$preset/Testing/summary.txt"
mkdir -p "build/$preset/Testing"
: >"$summary"
rc=0
# Without the lock: what a test leaves running must not hold it. CTest's summary is held back, so that it stays the last
# thing said.
(flashcore_unlock && exec ctest --preset "$preset" -j "$jobs" --output-junit "$root/$junit" "$@" </dev/null) |
  awk -v summary="$summary" '/^[0-9]+% tests passed/ {held = 1} held {print > summary; next} {print; fflush()}' || rc=$?

say "not run on this machine"
explain_machine
/usr/bin/python3 tests/not_run.py "$junit"
echo
cat "$summary"
exit "$rc"
