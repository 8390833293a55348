#!/usr/bin/env bash
# Inside a build stage: builds the source in the current folder and installs it under a prefix.
#   build.sh PRESET PREFIX
# The packages and the compiler's cache are BuildKit cache mounts of the Dockerfile: a second build takes seconds.
set -euo pipefail

preset="$1"
prefix="$2"
# shellcheck source=deploy/machine.sh
source deploy/machine.sh

flashcore_share_ccache "$PWD"
cmake --preset "$preset" -B /tmp/build -DBUILD_TESTING=OFF
cmake --build /tmp/build -j "$(flashcore_jobs)" --target flashcore_release
cmake --install /tmp/build --prefix "$prefix" --component runtime --strip
