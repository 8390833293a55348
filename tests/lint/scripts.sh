#!/usr/bin/env bash
# ShellCheck for every shell script, and a compilation of every Python script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t shell < <(git grep -lE --untracked '^#!.*\b(ba)?sh\b|^# shellcheck shell=' -- ':!*.py' ':!*.md')
shellcheck --external-sources "${shell[@]}"
mapfile -t python < <(git ls-files --cached --others --exclude-standard -- '*.py')
/usr/bin/python3 - "${python[@]}" <<'PYTHON'
import sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as source:
        compile(source.read(), path, "exec")
PYTHON
echo "${#shell[@]} shell and ${#python[@]} Python scripts are clean"
