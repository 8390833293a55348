#!/usr/bin/env bash
# Tests the CUDA kernels on this machine's GPU, then serves from it under a load whose answers are checked. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() {
  cat <<TEXT
usage: bash bench/device.sh [--bundle DIR] [--output FILE] [--results DIR] [--duration TIME]

  --bundle DIR     what bench/bundle.sh made, here or elsewhere (default: makes it here, which needs the CUDA Toolkit
                   and the packages of deploy/packages.sh)
  --output FILE    also write everything that is printed to this file
  --results DIR    keep the JSON of every test and load there
  --duration TIME  how long to measure each load, for example 5s (default)

Needs an NVIDIA GPU with its driver, and python3. Ends with a table. Exit status: 0 if every test passed and every answer
was right.
TEXT
}

say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

bundle=""
output=""
results=""
duration=5s
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --output) output="${2:?--output needs a file}" && shift 2 ;;
    --results) results="${2:?--results needs a folder}" && shift 2 ;;
    --duration) duration="${2:?--duration needs a time}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
command -v python3 >/dev/null || fail "this needs python3"

server_pid=""
work=""

# Asks the server to drain, and gives its exit status.
stop_server() {
  local status=0
  if [[ -n "$server_pid" ]]; then
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" || status=$?
    server_pid=""
  fi
  return "$status"
}

# shellcheck disable=SC2317  # The trap calls it.
on_exit() {
  local status=$?
  trap - EXIT INT TERM
  stop_server || true
  [[ -n "$results" ]] || rm -rf "$work"
  exit "$status"
}

describe_machine() {
  say "machine"
  date -u '+date      %Y-%m-%d %H:%M UTC'
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,memory.total,power.limit,clocks.max.sm --format=csv,noheader | sed 's/^/gpu       /'
    nvidia-smi --query-gpu=driver_version --format=csv,noheader | sed 's/^/driver    /'
  fi
  sed -n 's/^model name[^:]*: */cpu       /p' /proc/cpuinfo | sort | uniq -c | sed 's/^ *\([0-9]*\) cpu  /cpu      \1 x/'
  sed -n 's/^PRETTY_NAME="\(.*\)"/system    \1/p' /etc/os-release
  cat "$bundle/VERSION"
}

run_tests() {
  say "tests"
  local program name status
  for program in "$bundle"/bin/cuda_*_test; do
    name="$(basename "$program")"
    echo "$name"
    status=0
    "$program" --gtest_brief=1 --gtest_output="json:$work/$name.test.json" >"$work/$name.log" 2>&1 || status=$?
    # The exit status is for the table: a test that crashes writes no JSON.
    echo "$status" >"$work/$name.status"
    ((status == 0)) || tail -n 60 "$work/$name.log"
  done
}

start_server() {
  say "starting the server on CUDA"
  local log="$work/server.log"
  "$bundle/bin/flashcore_server" --backend=cuda --listen= --metrics_address= --unix_socket="$work/socket" \
    >"$log" 2>&1 </dev/null &
  server_pid=$!
  local tenths
  for ((tenths = 0; tenths < 600; ++tenths)); do
    if grep -q 'msg=serving' "$log"; then
      cat "$log"
      return 0
    fi
    if ! kill -0 "$server_pid" 2>/dev/null; then
      cat "$log"
      fail "the server ended while starting; its log is above"
    fi
    sleep 0.1
  done
  cat "$log"
  fail "the server does not serve after a minute; its log is above"
}

# measure NAME MIX CONCURRENCY VERIFY: one line of the table.
measure() {
  say "load: mix '$2', concurrency $3, for $duration, checking a share of $4 of the answers"
  local status=0
  "$bundle/bin/flashcore_load" --target="unix:$work/socket" --mix="$2" --concurrency="$3" --duration="$duration" \
    --verify="$4" --allow_invalid --json="$work/$1.load.json" || status=$?
  echo "$status" >"$work/$1.status"
}

run_device() {
  if [[ -n "$results" ]]; then
    mkdir -p "$results"
    work="$(realpath "$results")"
  else
    work="$(mktemp -d)"
  fi
  trap on_exit EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [[ -z "$bundle" ]]; then
    bundle="$root/.bundle"
    bash "$root/bench/bundle.sh" --output "$bundle"
  fi
  [[ -x "$bundle/bin/flashcore_server" ]] || fail "$bundle is no bundle: there is no bin/flashcore_server"
  describe_machine
  run_tests
  start_server
  measure 1-mission-alone mission 1 0.05
  measure 2-mission-busy mission 16 0.05
  measure 3-mixed-busy mixed 16 0.2
  local server_status=0
  stop_server || server_status=$?
  echo "$server_status" >"$work/server.status"
  say "result"
  python3 "$root/bench/device_table.py" "$work"
}

if [[ -n "$output" ]]; then
  mkdir -p "$(dirname "$output")"
  run_device 2>&1 | tee "$output"
else
  run_device
fi
