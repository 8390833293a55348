#!/usr/bin/env bash
# Keeps a record of the GPU in a tmux session that outlives the SSH connection. See --help.
set -euo pipefail

usage() {
  cat <<TEXT
usage: bash deploy/l4/keepalive.sh start|stop|status|attach [--session NAME] [--log FILE] [--interval SECONDS]

  start   a detached tmux session that writes nvidia-smi dmon's lines (power, utilisation, clocks, memory, PCIe), with date and
          time, to the log; where it runs already, says so
  status  whether it runs, and the log's last lines; exit status 3 if it does not
  attach  looks at it (detach with Ctrl-b d)
  stop    ends it; where it does not run, says so

  --session NAME      default: flashcore-gpu
  --log FILE          default: \$HOME/flashcore-gpu.log, appended to
  --interval SECONDS  default: 5
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

(($# > 0)) || { usage >&2 && exit 2; }
action="$1"
shift
session=flashcore-gpu
log="$HOME/flashcore-gpu.log"
interval=5
while (($# > 0)); do
  case "$1" in
    --session) session="${2:?--session needs a name}" && shift 2 ;;
    --log) log="${2:?--log needs a file}" && shift 2 ;;
    --interval) interval="${2:?--interval needs seconds}" && shift 2 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ "$interval" =~ ^[1-9][0-9]*$ ]] || fail "--interval is a number of seconds, not '$interval'"

# `=` so that tmux does not take a session whose name only begins like ours.
running() { tmux has-session -t "=$session" 2>/dev/null; }

start() {
  command -v nvidia-smi >/dev/null || fail "no nvidia-smi: there is nothing to record (deploy/l4/preflight.sh says more)"
  if running; then
    echo "$session runs already; it writes to its log"
    return 0
  fi
  mkdir -p "$(dirname "$log")"
  local command
  printf -v command 'nvidia-smi dmon --select pucmt --options DT --delay %q 2>&1 | tee --append %q' "$interval" "$log"
  tmux new-session -d -s "$session" "$command"
  echo "$session writes to $log every $interval s"
}

status() {
  if ! running; then
    echo "$session does not run"
    return 3
  fi
  echo "$session runs; $log:"
  tail -n 5 "$log" 2>/dev/null || echo "(no log yet)"
}

stop() {
  if running; then
    tmux kill-session -t "=$session"
    echo "$session has ended; its log stays"
  else
    echo "$session does not run"
  fi
}

[[ "$action" == --help || "$action" == -h ]] || command -v tmux >/dev/null || fail "this needs tmux"
case "$action" in
  start) start ;;
  status) status ;;
  stop) stop ;;
  attach) running || fail "$session does not run" && exec tmux attach-session -t "=$session" ;;
  --help | -h) usage ;;
  *) fail "unknown action '$action'; --help lists them" ;;
esac
