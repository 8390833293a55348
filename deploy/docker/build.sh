#!/usr/bin/env bash
# Inside a build stage: builds the source in the current folder and installs it under a prefix.
#   build.sh PRESET PREFIX
# The packages and the compiler's cache are BuildKit cache mounts of the Dockerfile: a second build takes seconds.
set -euo pipefail

preset="$1"
prefix="$2"
# shellcheck source=deploy/machine.sh
source deploy/machine.sh

# The libraries behind the tensor-core metrics, which the run stage's image lacks. The server looks for them in its own lib/.
copy_counter_libraries() {
  local major name path
  major="$(/usr/local/cuda/bin/nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')"
  for name in "libcupti.so.$major" libnvperf_host.so libnvperf_target.so; do
    path="$(find -L /usr/local/cuda/ -name "$name" -print -quit)"
    [[ -n "$path" ]] || { echo "error: there is no $name in /usr/local/cuda" >&2 && exit 1; }
    install -m 644 "$path" "$prefix/lib/$name"
  done
}

flashcore_share_ccache "$PWD"
cmake --preset "$preset" -B /tmp/build -DBUILD_TESTING=OFF
cmake --build /tmp/build -j "$(flashcore_jobs)" --target flashcore_release
cmake --install /tmp/build --prefix "$prefix" --component runtime --strip
if [[ "$preset" == cuda ]]; then copy_counter_libraries; fi
