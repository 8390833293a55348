#!/usr/bin/env bash
# Holds the tensor-core utilisation that the server exports against Nsight Compute, on this machine's GPU. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() {
  cat <<TEXT
usage: bash bench/telemetry_check.sh [--bundle DIR] [--output DIR] [--seconds N] [--rounds N]

For each of a few shapes, one after the other: computes it steadily and averages what the server's series say (from
CUPTI, from NVML, and the estimate from FLOPs), then has ncu count some launches of the same work, with nothing else on
the counters. Then measures throughput with and without sampling.

  --bundle DIR  what bench/bundle.sh made (default: .bundle)
  --output DIR  for what the programs printed (default: telemetry_check)
  --seconds N   of each measurement (default: 4)
  --rounds N    without and with sampling (default: 5)

Needs an NVIDIA GPU with its driver, ncu, and python3. Ends with two tables. Exit status: 0 if the exported ratio is
within 5 points of ncu's for every shape, and sampling changes throughput by less than 2 %.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

bundle="$root/.bundle"
output=telemetry_check
seconds=4
rounds=5
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --output) output="${2:?--output needs a folder}" && shift 2 ;;
    --seconds) seconds="${2:?--seconds needs a number}" && shift 2 ;;
    --rounds) rounds="${2:?--rounds needs a number}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
load="$bundle/bin/flashcore_telemetry_load"
[[ -x "$load" ]] || fail "$bundle has no flashcore_telemetry_load: make it with bench/bundle.sh"
command -v ncu >/dev/null || fail "there is no ncu (Nsight Compute)"
mkdir -p "$output"

# Long and short rows, causal, and a decoding step that the memory bounds: ratios from high to low.
shapes=("1,32,4096,128" "1,32,4096,128,causal" "32,8,512,64" "16,32,1,128,kv_heads=8,kv_len=16384")
# What ncu counts: the exported metric itself, how long each instruction holds the pipe, and the time.
metrics=(sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed smsp__pipe_tensor_cycles_active.sum
  smsp__inst_executed_pipe_tensor.sum sm__cycles_active.avg.pct_of_peak_sustained_elapsed
  dram__throughput.avg.pct_of_peak_sustained_elapsed gpu__time_duration.sum)
launches_before=20
launches_counted=5

: >"$output/load.log"
for source in cupti nvml estimate; do
  "$load" --shapes="${shapes[*]}" --gpu_counters="$source" --seconds="$seconds" 2>>"$output/load.log" ||
    fail "the load failed: $(cat "$output/load.log")"
done >"$output/series.jsonl"
for number in "${!shapes[@]}"; do
  ncu --csv --print-units base --clock-control none --cache-control none --kernel-name regex:Fused \
    --launch-skip "$launches_before" --launch-count "$launches_counted" --metrics "$(
      IFS=,
      echo "${metrics[*]}"
    )" "$load" --shapes="${shapes[number]}" --gpu_counters=off --seconds=0.1 >"$output/ncu_$number.csv" ||
    fail "ncu failed: $(tail -n 5 "$output/ncu_$number.csv")"
done
"$load" --shapes="${shapes[0]}" --gpu_counters=cupti --seconds="$seconds" --sampling_rounds="$rounds" \
  >"$output/sampling.jsonl" 2>>"$output/load.log"

echo
date -u '+date      %Y-%m-%d %H:%M UTC'
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | sed 's/^/gpu       /'
fi
ncu --version | sed -n 's/^Version /ncu       /p'
cat "$bundle/VERSION"
python3 "$root/bench/telemetry/table.py" "$output"
