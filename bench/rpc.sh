#!/usr/bin/env bash
# What gRPC alone can do, FlashCore, and a Python server around PyTorch, side by side under one load. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# 'payload shape transport CONCURRENCYxCHANNELS'; flashcore_rpc_bench --help has the notation.
readonly default_cases="mission unary tcp 1x1,mission unary tcp 4x1,mission unary tcp 16x4,mission unary tcp 32x8,\
mission unary uds 1x1,mission unary uds 32x8,mission stream tcp 32x8,mission stream uds 32x8,\
1KiB unary tcp 1x1,1KiB unary tcp 64x8,1KiB unary uds 1x1,1KiB stream tcp 64x8"
readonly start_seconds=60

usage() {
  cat <<TEXT
usage: bash bench/rpc.sh [option...]

  --bundle DIR        what bench/bundle.sh made; or
  --build-dir DIR     a build folder with flashcore_server, flashcore_rpc_floor and flashcore_rpc_bench
                      (default: .bundle if it is there, else build/release)
  --backends LIST     of cuda, cpu, passthrough: a server for each (default: cuda with a GPU, passthrough without).
                      'passthrough' computes nothing, and shows what the server costs without its engine.
  --peer              also the Python server of bench/torch_peer, in the unary TCP cases; from a bundle made with --peer,
                      or with a grpcio and a protobuf that python3 has
  --peer-numpy        the same with NumPy in the place of PyTorch, to try it out
  --python PROGRAM    what runs the peer (default: python3)
  --duration TIME     how long to measure each server in each case, in all (default: 2s)
  --repetitions N     in so many turns (default: 5)
  --cases LIST        'mission|1KiB unary|stream tcp|uds CONCURRENCYxCHANNELS', separated by commas
  --json FILE         also write the results as JSON
  --output FILE       also write everything that is printed to this file

Ends with tables: what each server did, and how each compares with the peer and with the floor. Exit status: 0 if everything ran, every
request was answered, and the answers that were checked before the timing were right.
TEXT
}

say() { printf '\n== %s\n' "$*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

programs=""
bundle=""
backends=""
peer=""
python=python3
duration=2s
repetitions=5
cases="$default_cases"
json=""
output=""
while (($# > 0)); do
  case "$1" in
    --bundle) bundle="${2:?--bundle needs a folder}" && shift 2 ;;
    --build-dir) programs="${2:?--build-dir needs a folder}/bin" && shift 2 ;;
    --backends) backends="${2:?--backends needs a list}" && shift 2 ;;
    --peer) peer=torch && shift ;;
    --peer-numpy) peer=numpy && shift ;;
    --python) python="${2:?--python needs a program}" && shift 2 ;;
    --duration) duration="${2:?--duration needs a time}" && shift 2 ;;
    --repetitions) repetitions="${2:?--repetitions needs a number}" && shift 2 ;;
    --cases) cases="${2:?--cases needs a list}" && shift 2 ;;
    --json) json="${2:?--json needs a file}" && shift 2 ;;
    --output) output="${2:?--output needs a file}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
if [[ -z "$programs" ]]; then
  [[ -n "$bundle" || ! -d "$root/.bundle" ]] || bundle="$root/.bundle"
  programs="${bundle:-$root/build/release}/bin"
fi
for program in flashcore_server flashcore_rpc_floor flashcore_rpc_bench; do
  [[ -x "$programs/$program" ]] || fail "there is no $programs/$program; --help says where programs come from"
done
if [[ -z "$backends" ]]; then
  if command -v nvidia-smi >/dev/null; then backends=cuda; else backends=passthrough; fi
fi

work=""
servers=""      # For flashcore_rpc_bench: name=address@process, the floor first.
verified=""     # Names of the servers whose answers mean something.
server_pids=()
without_peer="" # Why the peer is not there.

# shellcheck disable=SC2317  # The trap calls it.
on_exit() {
  local status=$?
  trap - EXIT INT TERM
  ((${#server_pids[@]} == 0)) || kill -TERM "${server_pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
  exit "$status"
}

describe_machine() {
  say "machine"
  date -u '+date      %Y-%m-%d %H:%M UTC'
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | sed 's/^/gpu       /'
  fi
  sed -n 's/^model name[^:]*: */cpu       /p' /proc/cpuinfo | sort | uniq -c | sed 's/^ *\([0-9]*\) cpu  /cpu      \1 x/'
  sed -n 's/^PRETTY_NAME="\(.*\)"/system    \1/p' /etc/os-release
  uname -sr | sed 's/^/kernel    /'
  if [[ -f "$bundle/VERSION" ]]; then cat "$bundle/VERSION"; fi
}

# wait_for LOG PID PATTERN: until the log has the pattern. 1 if the process ends first, or never says it.
wait_for() {
  local tenths
  for ((tenths = 0; tenths < start_seconds * 10; ++tenths)); do
    if grep -q "$3" "$1"; then return 0; fi
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# add_server NAME PID TCP_ADDRESS [SOCKET]
add_server() {
  servers+="${servers:+,}$1=$3@$2"
  if [[ -n "${4:-}" ]]; then servers+=",$1=unix:$4@$2"; fi
}

# PyTorch takes long to load: it starts first, and is asked for its address last.
peer_pid=""
against=""
start_peer() {
  mkdir -p "$work/python"
  if [[ -d "$bundle/python" ]]; then
    local wheel
    for wheel in "$bundle"/python/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$work/python"; done
    cp -r "$bundle/python/flashcore" "$work/python/"
  else
    (cd "$root/proto" && protoc --python_out="$work/python" flashcore/v1/attention.proto)
  fi
  PYTHONPATH="$work/python${PYTHONPATH:+:$PYTHONPATH}" "$python" "$root/bench/torch_peer/server.py" --compute="$peer" \
    >"$work/peer.log" 2>&1 </dev/null &
  peer_pid=$!
  server_pids+=("$peer_pid")
}

await_peer() {
  if wait_for "$work/peer.log" "$peer_pid" '^serving on'; then
    head -n 1 "$work/peer.log" | sed 's/^/peer      /'
    add_server peer "$peer_pid" "$(sed -n 's/^serving on //p' "$work/peer.log")"
    verified+=",peer"
    against=peer
  else
    tail -n 20 "$work/peer.log"
    without_peer="the Python server does not serve; its log is above"
  fi
}

start_floor() {
  "$programs/flashcore_rpc_floor" --unix_socket="$work/floor.socket" >"$work/floor.log" 2>&1 </dev/null &
  local pid=$!
  server_pids+=("$pid")
  wait_for "$work/floor.log" "$pid" '^serving on' || fail "the floor does not serve: $(cat "$work/floor.log")"
  add_server floor "$pid" "$(sed -n 's/^serving on //p' "$work/floor.log")" "$work/floor.socket"
}

# start_flashcore BACKEND
start_flashcore() {
  local log="$work/$1.log" flags=(--backend="$1")
  if [[ "$1" == passthrough ]]; then flags+=(--allow_passthrough); else verified+=",$1"; fi
  "$programs/flashcore_server" "${flags[@]}" --listen=127.0.0.1:0 --metrics_address= --unix_socket="$work/$1.socket" \
    >"$log" 2>&1 </dev/null &
  local pid=$!
  server_pids+=("$pid")
  wait_for "$log" "$pid" 'msg=serving' || fail "flashcore_server --backend=$1 does not serve: $(cat "$log")"
  grep 'msg=serving' "$log"
  add_server "$1" "$pid" "$(sed -n 's/.*msg=listening address=\([^u][^ ]*\).*/\1/p' "$log" | head -n 1)" \
    "$work/$1.socket"
}

run_rpc() {
  work="$(mktemp -d)"
  trap on_exit EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  describe_machine
  say "starting the servers"
  if [[ -n "$peer" ]]; then start_peer; fi
  start_floor
  local backend
  for backend in ${backends//,/ }; do start_flashcore "$backend"; done
  if [[ -n "$peer" ]]; then await_peer; fi
  say "measuring each server in each case for $duration, in $repetitions turns"
  local status=0
  "$programs/flashcore_rpc_bench" --servers="$servers" --cases="$cases" --verify="${verified#,}" --unary_only=peer \
    --also_against="$against" \
    --duration="$duration" --repetitions="$repetitions" --json="${json:-/dev/null}" || status=$?
  if [[ -n "$without_peer" ]]; then fail "no peer: $without_peer"; fi
  return "$status"
}

if [[ -n "$output" ]]; then
  mkdir -p "$(dirname "$output")"
  run_rpc 2>&1 | tee "$output"
else
  run_rpc
fi
