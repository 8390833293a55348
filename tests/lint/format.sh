#!/usr/bin/env bash
# Checks that every C++ and CUDA source of ours is as clang-format-14 leaves it. With --fix: rewrites them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t sources < <(git ls-files --cached --others --exclude-standard -- \
  '*.cc' '*.h' '*.cu' '*.cuh' | while read -r f; do [[ -f "$f" ]] && echo "$f"; done)
if [[ "${1:-}" == --fix ]]; then
  clang-format-14 -i "${sources[@]}"
else
  clang-format-14 --dry-run --Werror "${sources[@]}"
  echo "${#sources[@]} files are formatted"
fi
