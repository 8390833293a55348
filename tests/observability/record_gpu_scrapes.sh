#!/usr/bin/env bash
# Records gpu_scrapes.prom: what a server says to Prometheus, three times, while it computes on a GPU under load. See --help.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
  cat <<TEXT
usage: bash tests/observability/record_gpu_scrapes.sh [--bin DIR] [--output FILE] [--seconds N] [--mix MIX]

  --bin DIR      where flashcore_server and flashcore_load are (default: the bin/ of the release build)
  --output FILE  default: gpu_scrapes.prom beside this script
  --seconds N    of load before the scrapes, which take 6 s more (default: 6)
  --mix MIX      of flashcore_load (default: 1,32,8,4096,4096,128 fp16 causal, which keeps tensor cores busy)

Needs an NVIDIA GPU with its driver, and python3. Fails rather than record without tensor-core utilisation.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

bin="$here/../../build/release/bin"
output="$here/gpu_scrapes.prom"
seconds=6
mix="1,32,8,4096,4096,128 fp16 causal"
while (($# > 0)); do
  case "$1" in
    --bin) bin="${2:?--bin needs a folder}" && shift 2 ;;
    --output) output="${2:?--output needs a file}" && shift 2 ;;
    --seconds) seconds="${2:?--seconds needs a number}" && shift 2 ;;
    --mix) mix="${2:?--mix needs a mix}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done

work="$(mktemp -d)"
server_pid=""
load_pid=""
# shellcheck disable=SC2317  # The trap calls it.
on_exit() {
  local pid
  for pid in $load_pid $server_pid; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  rm -rf "$work"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

: >"$work/server.log"
"$bin/flashcore_server" --backend=cuda --listen= --unix_socket="$work/socket" --metrics_address=127.0.0.1:0 \
  2>"$work/server.log" </dev/null &
server_pid=$!
for ((tenths = 0; tenths < 600; ++tenths)); do
  grep -q 'msg=serving' "$work/server.log" && break
  kill -0 "$server_pid" 2>/dev/null || break
  sleep 0.1
done
grep -q 'msg=serving' "$work/server.log" || fail "the server does not serve: $(cat "$work/server.log")"
address="$(sed -n 's/.*msg=metrics address=\([^ ]*\).*/\1/p' "$work/server.log")"

"$bin/flashcore_load" --target="unix:$work/socket" --mix="$mix" --concurrency=8 --duration=1h \
  >"$work/load.log" 2>&1 </dev/null &
load_pid=$!
sleep "$seconds"
kill -0 "$load_pid" 2>/dev/null || fail "the load ended: $(cat "$work/load.log")"

scrape() {
  python3 -c 'import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(opener.open(sys.argv[1], timeout=30).read().decode())' "http://$address/metrics"
}
{
  echo "# Recorded by tests/observability/record_gpu_scrapes.sh, after $seconds s of load '$mix', which went on."
  date -u '+# date %Y-%m-%d %H:%M UTC'
  for number in 1 2 3; do
    echo "# scrape $number"
    scrape
    # The server samples the GPU every second.
    sleep 2
  done
} >"$work/scrapes"
grep -q '^flashcore_tensor_core_utilization_ratio' "$work/scrapes" ||
  fail "the server does not know how busy the tensor cores are; its log: $(cat "$work/server.log")"
cp "$work/scrapes" "$output"
grep -E '^flashcore_(tensor_core|sm_active|dram_utilization|gpu_counter_source)' "$output" | sort -u
echo "wrote $output"
