# shellcheck shell=bash
# What this machine is and how to build on it. Source it.

# flashcore_jobs: how many compilers may run at once. A gRPC translation unit takes up to 1.5 GiB.
flashcore_jobs() {
  local cpus available_kib by_memory
  cpus="$(nproc)"
  available_kib="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || true)"
  by_memory=$((${available_kib:-1572864} / 1572864))
  ((by_memory >= 1)) || by_memory=1
  echo $((cpus < by_memory ? cpus : by_memory))
}

# flashcore_nvcc: prints the path of an nvcc of at least 12.4; fails if there is none.
flashcore_nvcc() {
  local nvcc version
  nvcc="$(command -v nvcc || true)"
  [[ -n "$nvcc" ]] || nvcc=/usr/local/cuda/bin/nvcc
  [[ -x "$nvcc" ]] || return 1
  version="$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')"
  local major minor
  read -r major minor <<<"$version"
  ((major > 12 || (major == 12 && minor >= 4))) || return 1
  echo "$nvcc"
}

# flashcore_has_gpu: whether an NVIDIA driver with a GPU answers.
flashcore_has_gpu() {
  command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU '
}

# flashcore_release_preset: the CMake preset for an optimised build on this machine.
flashcore_release_preset() {
  if flashcore_nvcc >/dev/null; then echo release; else echo cpu-only; fi
}

# Lets checkouts in different folders share compiled objects, where ccache is there at all.
# flashcore_share_ccache ROOT
flashcore_share_ccache() {
  export CCACHE_BASEDIR="$1" CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
}

# flashcore_lock FOLDER: waits until no other script of ours builds there, and keeps the others out until
# flashcore_unlock or the end of the script and of all that it started: in a subshell, flashcore_unlock lets go of the
# lock for what runs there alone.
flashcore_lock() {
  mkdir -p "$1"
  exec {flashcore_lock_fd}>"$1/.lock"
  if ! flock --nonblock "$flashcore_lock_fd"; then
    echo "another build is running in $1: waiting for it"
    flock "$flashcore_lock_fd"
  fi
}

flashcore_unlock() { exec {flashcore_lock_fd}>&-; }
