# shellcheck shell=bash
# The CUDA environment of an L4. Source it; as often as you like:
#   source deploy/l4/env.sh
#
# Finds the newest CUDA Toolkit that is at least 12.4: $CUDA_HOME if it is set, then nvcc on PATH, then /usr/local/cuda*.
# Sets CUDA_HOME, PATH, LD_LIBRARY_PATH and CUDA_ARCH (8.9, the L4's; with CUDAARCHS, which CMake reads, to match).
# Status 1, with a message and nothing changed, if there is no such toolkit.

# flashcore_toolkit_version DIR: prints "13.0" for the toolkit in DIR; fails if there is none.
flashcore_toolkit_version() {
  [[ -x "$1/bin/nvcc" ]] || return 1
  local version
  version="$("$1/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p')"
  [[ -n "$version" ]] && echo "$version"
}

# flashcore_toolkit_dirs: the folders where a toolkit may be, the best guess first.
flashcore_toolkit_dirs() {
  [[ -z "${CUDA_HOME:-}" ]] || echo "$CUDA_HOME"
  local nvcc
  nvcc="$(type -P nvcc || true)"
  [[ -z "$nvcc" ]] || dirname "$(dirname "$(readlink -f "$nvcc")")"
  local prefix="${FLASHCORE_CUDA_PREFIX:-/usr/local}"
  echo "$prefix/cuda"
  compgen -G "$prefix/cuda-*" | sort --version-sort --reverse || true
}

# flashcore_find_toolkit: prints the first of them that is new enough.
flashcore_find_toolkit() {
  local dir version
  while read -r dir; do
    version="$(flashcore_toolkit_version "$dir")" || continue
    if [[ "$(printf '12.4\n%s\n' "$version" | sort --version-sort | head -n 1)" == 12.4 ]]; then
      echo "$dir"
      return 0
    fi
  done < <(flashcore_toolkit_dirs)
  return 1
}

# flashcore_prepend VARIABLE DIR: puts DIR first in a list of folders, once.
flashcore_prepend() {
  local rest=":${!1:-}:"
  rest="${rest//:$2:/:}"
  rest="${rest#:}"
  rest="${rest%:}"
  export "$1=$2${rest:+:$rest}"
}

flashcore_set_cuda_environment() {
  local toolkit
  if ! toolkit="$(flashcore_find_toolkit)"; then
    echo "env.sh: no CUDA Toolkit >= 12.4: not in CUDA_HOME, not on PATH, not in ${FLASHCORE_CUDA_PREFIX:-/usr/local}/cuda*" >&2
    return 1
  fi
  export CUDA_HOME="$toolkit"
  flashcore_prepend PATH "$toolkit/bin"
  flashcore_prepend LD_LIBRARY_PATH "$toolkit/lib64"
  export CUDA_ARCH=8.9 CUDAARCHS=89-real
}

flashcore_set_cuda_environment
