#!/usr/bin/env bash
# From a fresh clone to a running, checked FlashCore server on this machine. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=deploy/packages.sh
source "$root/deploy/packages.sh"
# shellcheck source=deploy/machine.sh
source "$root/deploy/machine.sh"

usage() {
  cat <<TEXT
usage: bash deploy/quickstart.sh [--once] [--backend NAME] [--jobs N] [--build-dir PATH] [--duration TIME]

Installs the distribution packages that are missing, builds FlashCore, starts the server, checks its answers under load,
prints what it measured, and keeps serving until Ctrl-C.

  --once            stop the server after the measurement, and exit
  --backend NAME    auto (default: the GPU if there is one, else the CPU), cpu, cuda or reference
  --jobs N          compilers at once (default: by CPUs and memory)
  --build-dir PATH  where to build (default: build/release, or build/cpu-only without a GPU)
  --duration TIME   how long to measure each mix, for example 5s (default)

It listens on 127.0.0.1:50051 (gRPC) and 127.0.0.1:9464 (metrics); where one of them is taken, on a free port instead.
TEXT
}

say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

once=no
backend=auto
jobs=""
build_dir=""
duration=5s
while (($# > 0)); do
  case "$1" in
    --once) once=yes && shift ;;
    --backend) backend="${2:?--backend needs a name}" && shift 2 ;;
    --backend=*) backend="${1#*=}" && shift ;;
    --jobs) jobs="${2:?--jobs needs a number}" && shift 2 ;;
    --jobs=*) jobs="${1#*=}" && shift ;;
    --build-dir) build_dir="${2:?--build-dir needs a path}" && shift 2 ;;
    --build-dir=*) build_dir="${1#*=}" && shift ;;
    --duration) duration="${2:?--duration needs a time}" && shift 2 ;;
    --duration=*) duration="${1#*=}" && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ "$backend" =~ ^(auto|cpu|cuda|reference)$ ]] || fail "--backend is auto, cpu, cuda or reference, not '$backend'"
[[ -z "$jobs" || "$jobs" =~ ^[1-9][0-9]*$ ]] || fail "--jobs is a number of at least 1, not '$jobs'"

# Sets `preset`: CUDA kernels are compiled only where they can run, or where they are asked for.
choose_preset() {
  preset=cpu-only
  if [[ "$backend" == cuda ]]; then
    flashcore_nvcc >/dev/null || fail "--backend cuda needs the CUDA Toolkit >= 12.4 (nvcc on PATH or in /usr/local/cuda)"
    preset=release
  elif [[ "$backend" == auto ]] && flashcore_has_gpu; then
    if flashcore_nvcc >/dev/null; then
      preset=release
    else
      echo "There is a GPU, but no CUDA Toolkit >= 12.4: this will serve from the CPU. Install the toolkit (nvcc on PATH or in"
      echo "/usr/local/cuda) and run this again to serve from the GPU."
    fi
  fi
}

build() {
  [[ -n "$jobs" ]] || jobs="$(flashcore_jobs)"
  flashcore_share_ccache "$root"
  flashcore_lock "$root/build"
  say "configuring ($preset, in $build_dir)"
  local output
  if ! output="$(cd "$root" && cmake --preset "$preset" -B "$build_dir" -DBUILD_TESTING=OFF 2>&1)"; then
    echo "$output" >&2
    fail "cmake could not configure; its output is above. If the compiler or the packages changed, remove $build_dir first."
  fi
  say "building with $jobs jobs"
  cmake --build "$build_dir" -j "$jobs" --target flashcore_server flashcore_load flashcore_attend ||
    fail "the build failed; its output is above. Out of memory? Try --jobs 1."
  flashcore_unlock
}

# port_or_any PORT: PORT if nobody listens there on this machine, else 0, which lets the kernel choose.
port_or_any() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then echo 0; else echo "$1"; fi
}

server_pid=""
server_log=""

# Asks the server to drain, and waits for it, a little longer than its own --drain_timeout. Its exit status is in
# `server_status`.
stop_server() {
  [[ -n "$server_pid" ]] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  local waited
  for ((waited = 0; waited < 400; ++waited)); do
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$server_pid" 2>/dev/null || true
  server_status=0
  wait "$server_pid" 2>/dev/null || server_status=$?
  server_pid=""
}

# shellcheck disable=SC2317  # The trap calls it.
on_exit() {
  local status=$?
  trap - EXIT INT TERM
  stop_server
  if ((status == 0)); then rm -f "$server_log"; fi
  exit "$status"
}

# logged_address MESSAGE: the address in the first line of the log that carries the message.
logged_address() {
  sed -n "s/.* msg=$1 .*address=\([^ ]*\).*/\1/p" "$server_log" | head -n 1
}

start_server() {
  server_log="$build_dir/quickstart-server-$$.log"
  : >"$server_log"
  # A session of its own: Ctrl-C is for this script, which then asks the server to drain.
  setsid "$build_dir/bin/flashcore_server" --backend="$backend" --listen="127.0.0.1:$(port_or_any 50051)" \
    --metrics_address="127.0.0.1:$(port_or_any 9464)" >"$server_log" 2>&1 </dev/null &
  server_pid=$!
  local waited
  for ((waited = 0; waited < 600; ++waited)); do
    grpc_address="$(logged_address listening)"
    metrics_address="$(logged_address metrics)"
    [[ -z "$grpc_address" || -z "$metrics_address" ]] || return 0
    if ! kill -0 "$server_pid" 2>/dev/null; then
      cat "$server_log" >&2
      fail "the server ended while starting; its log is above"
    fi
    sleep 0.1
  done
  cat "$server_log" >&2
  fail "the server says no address after a minute; its log is above and in $server_log"
}

# first_request: waits until the health check says SERVING, then asks for one attention and checks the answer.
first_request() {
  say "waiting until the health check says SERVING; then one request, checked"
  "$build_dir/bin/flashcore_attend" --target="$grpc_address" --wait_ready=60s --verify ||
    fail "the server did not answer rightly, see above. Its log: $server_log"
}

# measure MIX FRACTION: drives the server with one of the load client's mixes and verifies that fraction of the answers. Its report
# is $(report MIX).
measure() {
  say "measuring the mix '$1' for $duration, checking answers against the double-precision reference"
  "$build_dir/bin/flashcore_load" --target="$grpc_address" --mix="$1" --concurrency=4 --duration="$duration" \
    --verify="$2" --allow_invalid --json="$(report "$1")" ||
    fail "the load client found errors or wrong answers, see above. The server's log: $server_log"
}

report() { echo "$build_dir/quickstart-$1.json"; }

# value MIX SECTION KEY: a number out of the load client's JSON, which has one key a line. SECTION '' is the top level.
value() {
  awk -v section="$2" -v key="$3" '
    /^  "/ {inside = ""}
    /^  "[^"]*": \{/ {inside = $1; gsub(/[":]/, "", inside)}
    inside == section && $1 == "\"" key "\":" {gsub(/,/, "", $2); print $2; exit}' "$(report "$1")"
}

print_table() {
  printf '%-9s %9s %7s %9s %9s %9s %11s %11s %9s %10s\n' \
    mix requests errors 'p50 ms' 'p90 ms' 'p99 ms' 'sent MiB/s' 'recv MiB/s' GFLOP/s 'max error'
  local mix
  for mix in mission mixed; do
    printf '%-9s %9d %7d %9.3f %9.3f %9.3f %11.1f %11.1f %9.1f %10.1e\n' "$mix" \
      "$(value "$mix" '' answered)" "$(value "$mix" '' failed)" \
      "$(value "$mix" latency_ms p50)" "$(value "$mix" latency_ms p90)" "$(value "$mix" latency_ms p99)" \
      "$(value "$mix" '' out_mib_per_s)" "$(value "$mix" '' in_mib_per_s)" "$(value "$mix" '' gflop_per_s)" "$(value "$mix" verified max_error)"
  done
}

say "distribution packages"
flashcore_install_packages "${FLASHCORE_BUILD_PACKAGES[@]}"
choose_preset
build_dir="$(realpath -m "${build_dir:-$root/build/$preset}")"
build

trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say "starting the server (--backend=$backend)"
start_server
echo "gRPC on $grpc_address, log in $server_log"
first_request
measure mission 0.05
measure mixed 0.2

say "measured on this machine"
print_table
echo
echo "gRPC     $grpc_address   try: $build_dir/bin/flashcore_attend --target=$grpc_address"
echo "metrics  http://$metrics_address/metrics"
# drain_and_exit: the end, asked for.
drain_and_exit() {
  trap '' INT TERM
  echo "draining"
  stop_server
  ((server_status == 0)) || fail "the server exited with status $server_status; its log: $server_log"
  echo "the server has drained and exited"
  exit 0
}

[[ "$once" == no ]] || drain_and_exit
echo "serving until Ctrl-C"
trap drain_and_exit INT TERM
server_status=0
wait "$server_pid" || server_status=$?
server_pid=""
fail "the server exited by itself, with status $server_status; its log: $server_log"
