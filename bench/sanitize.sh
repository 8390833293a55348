#!/usr/bin/env bash
# Runs the CUDA kernels under NVIDIA's compute-sanitizer on this machine's GPU. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Every kind of tile at two head_dims, one of them padded, and every kernel of the ladder: minutes become a minute.
readonly default_filter='*EveryKindOfTileIsRight/fp16Of64:*EveryKindOfTileIsRight/bf16Of120:*TheLastTilesMaySplitAlone/fp16Of64:*ASmallMixedBatchIsRight*'
readonly all_tools='memcheck racecheck initcheck synccheck'

usage() {
  cat <<TEXT
usage: bash bench/sanitize.sh [--bundle DIR] [--tools "NAME..."] [--filter PATTERN] [--timeout SECONDS] [--logs DIR]

Runs cuda_tiles_test of a bundle under each tool of compute-sanitizer: memory errors, races in shared memory, reads of what
nobody wrote, and misused barriers. Results are compared with the reference as without the tools.

  --bundle DIR       what bench/bundle.sh made (default: .bundle)
  --tools "NAME..."  default: "$all_tools"
  --filter PATTERN   which tests, as --gtest_filter takes them (default: a reduced grid)
  --timeout SECONDS  for each tool (default: 120)
  --logs DIR         keep each tool's output there (default: a temporary folder)

Needs an NVIDIA GPU and compute-sanitizer, of the CUDA Toolkit. Exit status: 0 if no tool found anything, every test
passed and at least one ran.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

bundle="$root/.bundle"
tools="$all_tools"
filter="$default_filter"
limit_s=120
logs=""
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --tools) tools="${2:?--tools needs names}" && shift 2 ;;
    --filter) filter="${2:?--filter needs a pattern}" && shift 2 ;;
    --timeout) limit_s="${2:?--timeout needs seconds}" && shift 2 ;;
    --logs) logs="${2:?--logs needs a folder}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
program="$bundle/bin/cuda_tiles_test"
[[ -x "$program" ]] || fail "there is no $program: make a bundle with bench/bundle.sh"
sanitizer="$(command -v compute-sanitizer || true)"
[[ -n "$sanitizer" ]] || sanitizer=/usr/local/cuda/bin/compute-sanitizer
[[ -x "$sanitizer" ]] || fail "there is no compute-sanitizer on PATH or in the CUDA Toolkit's folder"
if [[ -z "$logs" ]]; then
  logs="$(mktemp -d)"
  trap 'rm -rf "$logs"' EXIT
fi
mkdir -p "$logs"

# check TOOL: prints its line, and its output if it is not clean.
check() {
  local log="$logs/$1.log" status=0 started=$SECONDS ran verdict=clean
  timeout --kill-after=10 "$limit_s" "$sanitizer" --tool "$1" --error-exitcode 99 "$program" \
    --gtest_brief=1 --gtest_filter="$filter" >"$log" 2>&1 </dev/null || status=$?
  # Tests that skipped themselves have shown nothing.
  ran="$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\{0,1\}\..*/\1/p' "$log" | tail -n 1)"
  case "$status" in
    0) ((${ran:-0} > 0)) || verdict="NOTHING RAN" ;;
    99) verdict="FOUND ERRORS" ;;
    124 | 137) verdict="NOT DONE after $limit_s s" ;;
    *) verdict="FAILED with status $status" ;;
  esac
  if [[ "$verdict" != clean ]]; then
    grep -m 40 -v '^$' "$log" || true
    tail -n 15 "$log"
  fi
  printf '%-10s %s, %s tests passed, %s s\n' "$1" "$verdict" "${ran:-0}" "$((SECONDS - started))"
  [[ "$verdict" == clean ]]
}

failed=0
for tool in $tools; do
  check "$tool" || failed=1
done
exit "$failed"
