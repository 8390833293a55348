#!/usr/bin/env bash
# Brings what bench/torch_peer/server.py needs beside PyTorch, to be carried to a machine without a network. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
usage: bash bench/torch_peer/fetch.sh DIR [PYTHON_VERSION]

Fills DIR with the wheels of bench/torch_peer/requirements.txt (from PyPI, with pip) for CPython PYTHON_VERSION on
x86-64 Linux (default: 3.12, Ubuntu 24.04's), and with the Python code of the wire contract (with protoc).
TEXT
}

if [[ $# -lt 1 || $# -gt 2 || "$1" == -* ]]; then
  usage
  [[ "${1:-}" == --help || "${1:-}" == -h ]] && exit 0
  exit 2
fi
output="$(realpath -m "$1")"
python_version="${2:-3.12}"

mkdir -p "$output/wheels"
python3 -m pip download --quiet --disable-pip-version-check --dest "$output/wheels" --only-binary=:all: \
  --python-version "$python_version" --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
  --requirement "$root/bench/torch_peer/requirements.txt"
(cd "$root/proto" && protoc --python_out="$output" flashcore/v1/attention.proto)
ls "$output/wheels"
