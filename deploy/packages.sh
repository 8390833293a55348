# shellcheck shell=bash
# The one list of distribution packages, for Debian 12 and Ubuntu 24.04, and what installs them. Source it.

# shellcheck disable=SC2034  # Read by the scripts that source this file.
FLASHCORE_BUILD_PACKAGES=(
  g++ cmake ninja-build
  libabsl-dev libgrpc++-dev libhwy-dev libprotobuf-dev libspdlog-dev
  libssl-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc
)
# shellcheck disable=SC2034
FLASHCORE_TEST_PACKAGES=(
  libbenchmark-dev libgmock-dev libgtest-dev
  openssl prometheus python3 python3-grpcio python3-numpy python3-protobuf python3-yaml
)
# shellcheck disable=SC2034
FLASHCORE_CI_PACKAGES=(
  ccache clang-14 clang-format-14 clang-tidy-14 debootstrap git libclang-rt-14-dev python3-venv shellcheck systemd tmux
)
# A browser for the status page's test. Debian has it; Ubuntu has browsers as snaps only.
# shellcheck disable=SC2034
FLASHCORE_BROWSER_PACKAGES=(chromium-headless-shell)

# flashcore_missing_packages PACKAGE...: prints those that are not installed, one a line.
flashcore_missing_packages() {
  local package
  for package in "$@"; do
    if [[ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" != "install ok installed" ]]; then
      echo "$package"
    fi
  done
}

# flashcore_install_packages PACKAGE...: installs those that are missing, asking nothing. Uses apt only if it has to.
# Runs in a subshell, with the umask that packages expect, whatever the caller's.
flashcore_install_packages() (
  umask 022
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "error: this needs apt (Debian 12 or Ubuntu 24.04). Elsewhere install the equivalents of: $*" >&2
    return 1
  fi
  local missing
  mapfile -t missing < <(flashcore_missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    echo "all ${#} distribution packages are installed"
    return 0
  fi
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "error: not root, and there is no sudo. As root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
    [[ -t 0 ]] || as_root=(sudo -n)
  fi
  echo "installing ${#missing[@]} distribution packages: ${missing[*]}"
  # The tests start Prometheus themselves; its package would have one serve on this machine from now on.
  local unit=/etc/systemd/system/prometheus.service
  if [[ " ${missing[*]} " == *" prometheus "* && -d /run/systemd/system && ! -e "$unit" ]]; then
    echo "prometheus.service is masked: 'systemctl unmask prometheus' if you want it to run"
    "${as_root[@]}" ln -s /dev/null "$unit"
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  # A machine whose lists are fresh enough needs no update; a bare one has no lists at all.
  if "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1; then
    return 0
  fi
  if ! "${apt[@]}" update </dev/null >&2; then
    echo "error: 'apt-get update' failed. Check the network and /etc/apt/sources.list, then run this again." >&2
    return 1
  fi
  if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null; then
    echo "error: apt-get could not install the packages above (its own message is just before this line)." >&2
    echo "       They are all in Debian 12 main and in Ubuntu 24.04 main and universe." >&2
    return 1
  fi
)
