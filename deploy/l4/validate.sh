#!/usr/bin/env bash
# Validates this machine's L4 against what the project set out to reach, and writes one report. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
usage: bash deploy/l4/validate.sh [--bundle DIR] [--output DIR] [--duration TIME]

  --bundle DIR     what bench/bundle.sh made, here or elsewhere (default: makes it here)
  --output DIR     where everything that was measured goes, report.md first (default: l4-validation-DATE)
  --duration TIME  how long to measure each load, for example 10s (default)

Runs the preflight, the 15 validation cases on every kernel, all GPU tests, the kernel benchmark at the mission shape and on the
standard grid, and the server under load. Takes some ten minutes. The report puts the target beside each figure.

Exit status: 0 everything right and every target met; 1 otherwise; 2 it could not run.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}
say() { printf '\n== %s\n' "$*"; }

bundle=""
output="l4-validation-$(date -u +%Y-%m-%d)"
duration=10s
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --output) output="${2:?--output needs a folder}" && shift 2 ;;
    --duration) duration="${2:?--duration needs a time}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
command -v python3 >/dev/null || fail "this needs python3"
mkdir -p "$output"
output="$(realpath "$output")"

say "preflight"
preflight=0
bash "$root/deploy/l4/preflight.sh" --json --ports 1 >"$output/preflight.json" || preflight=$?
((preflight < 2)) || { cat "$output/preflight.json" && fail "this machine cannot serve from a GPU: see above"; }

if [[ -z "$bundle" ]]; then
  # shellcheck source=deploy/l4/env.sh
  source "$root/deploy/l4/env.sh" || fail "building needs the CUDA Toolkit; --bundle takes what was built elsewhere"
  bundle="$root/.bundle"
  bash "$root/bench/bundle.sh" --output "$bundle"
fi
[[ -x "$bundle/bin/flashcore_kernel_bench" ]] || fail "$bundle is no bundle: there is no bin/flashcore_kernel_bench"

# What fails says so in the report; the other steps still run. Each command's exit status lies beside its output.
# step NAME COMMAND...
step() {
  local name="$1" status=0
  shift
  say "$name"
  "$@" >"$output/$name.log" 2>&1 || status=$?
  echo "$status" >"$output/$name.status"
  tail -n 20 "$output/$name.log"
}

step cases "$bundle/bin/cuda_attention_test" --gtest_filter='*FoundingGrid*' --gtest_output="json:$output/cases.json"
step mission "$bundle/bin/flashcore_kernel_bench" --shapes=mission --kernels=scalar,wmma,fused,auto \
  --json="$output/mission.json"
step grid "$bundle/bin/flashcore_kernel_bench" --shapes=grid --json="$output/grid.json"
step device bash "$root/bench/device.sh" --bundle "$bundle" --results "$output/device" --duration "$duration"

say "report"
python3 "$root/deploy/l4/report.py" "$output" | tee "$output/report.md"
exit "${PIPESTATUS[0]}"
