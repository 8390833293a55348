#!/usr/bin/env bash
# The kernels' own checks on this machine's GPU, in one go of about two minutes. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() {
  cat <<TEXT
usage: bash bench/device_checks.sh [--bundle DIR] [--output DIR] [--tune-seconds N]

First, side by side: every tile configuration and every kernel of the ladder in a slice of the device (cuda_tiles_test),
the whole grid on kernel wmma (cuda_attention_test), and a reduced grid under each tool of compute-sanitizer
(bench/sanitize.sh). Then, one after the other: the ladder's timings, whole device and slice, and a search for plans
(flashcore_tune), whole device and slice.

  --bundle DIR      what bench/bundle.sh made (default: .bundle)
  --output DIR      for logs.txt, the timings and searches as JSON, and the tables (default: device_checks)
  --tune-seconds N  for each of the two searches; 0 leaves them out (default: 12)

Needs an NVIDIA GPU with its driver; without compute-sanitizer its four steps fail. Ends with a table, one line for each
step. A step that fails or takes too long does not stop the others. Exit status: 0 if all passed.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

bundle="$root/.bundle"
output=device_checks
tune_seconds=12
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --output) output="${2:?--output needs a folder}" && shift 2 ;;
    --tune-seconds) tune_seconds="${2:?--tune-seconds needs a number}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ -x "$bundle/bin/cuda_tiles_test" ]] || fail "$bundle is no bundle: make one with bench/bundle.sh"
mkdir -p "$output"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
steps=()

# step NAME SECONDS COMMAND...: runs it, and leaves its output, status and duration in files.
# shellcheck disable=SC2317  # begin and alone call it.
step() {
  local name="$1" limit_s="$2" status=0 started=$SECONDS
  shift 2
  timeout --kill-after=5 "$limit_s" "$@" >"$work/$name.log" 2>&1 </dev/null || status=$?
  echo "$status $((SECONDS - started))" >"$work/$name.result"
}

# A test binary that skipped everything exits with 0 and has shown nothing.
# shellcheck disable=SC2317  # begin calls it.
test_step() {
  local name="$1"
  step "$@"
  if grep -q '^\[  PASSED  \] 0 tests' "$work/$name.log"; then echo "77 0" >"$work/$name.result"; fi
}

begin() {
  steps+=("$2")
  "$@" &
}

alone() {
  steps+=("$2")
  "$@"
}

begin test_step tiles_and_slices 60 "$bundle/bin/cuda_tiles_test" --gtest_brief=1
begin test_step wmma_grid 90 "$bundle/bin/cuda_attention_test" --gtest_brief=1 --gtest_filter='*/wmma'
begin test_step wmma_offsets 60 "$bundle/bin/cuda_offsets_test" --gtest_brief=1 --gtest_filter='*wmma*'
for tool in memcheck racecheck initcheck synccheck; do
  begin step "$tool" 100 bash "$root/bench/sanitize.sh" --bundle "$bundle" --tools "$tool" --timeout 90
done
wait

# Nothing else runs beside these.
bench=("$bundle/bin/flashcore_kernel_bench" "--kernels=scalar,wmma,fused,persistent" --timings=50 --max_seconds=0.3)
alone step ladder 40 "${bench[@]}" --shapes="mission 8,8,512,64" --json="$output/ladder.json"
alone step ladder_in_slice 40 "${bench[@]}" --shapes="1,8,512,64 8,8,512,64" --sm_count=56 \
  --json="$output/ladder_in_slice.json"
if ((tune_seconds > 0)); then
  tune=("$bundle/bin/flashcore_tune" --time_limit="${tune_seconds}s" --max_seconds=0.05)
  shapes="mission 8,8,512,64 1,8,2048,64 1,8,256,64 1,8,1024,64 1,8,1024,64,causal 1,16,512,128 decode tuning"
  alone step tune "$((tune_seconds + 20))" "${tune[@]}" --shapes="$shapes" --output="$output/device.inc" \
    --json="$output/tune.json"
  alone step tune_slice "$((tune_seconds + 20))" "${tune[@]}" --shapes="$shapes" --sm_count=56 \
    --output="$output/slice.inc" --json="$output/tune_slice.json"
fi

for name in "${steps[@]}"; do
  printf '\n== %s\n' "$name"
  cat "$work/$name.log"
done >"$output/logs.txt"
# What a reader of the end of the output wants to see.
for name in "${steps[@]}"; do
  read -r status _ <"$work/$name.result"
  case "$name" in
    ladder* | tune*) printf '\n== %s\n' "$name" && tail -n 14 "$work/$name.log" | cut -c 1-200 ;;
    *) ((status == 0)) || { printf '\n== %s\n' "$name" && tail -n 25 "$work/$name.log" | cut -c 1-200; } ;;
  esac
done
echo
failed=0
printf '%-18s %8s %8s\n' step status seconds
for name in "${steps[@]}"; do
  read -r status seconds <"$work/$name.result"
  case "$status" in
    0) verdict=passed ;;
    77) verdict=skipped ;;
    124 | 137) verdict="too long" ;;
    *) verdict="FAILED $status" ;;
  esac
  [[ "$verdict" == passed ]] || failed=1
  printf '%-18s %8s %8s\n' "$name" "$verdict" "$seconds"
done
exit "$failed"
