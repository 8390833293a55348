# shellcheck shell=bash
# What the checks of the release share: their command line, and the .deb. Source it.

fail() {
  echo "error: $*" >&2
  exit 1
}

# release_arguments ARGUMENT...: sets `packages` and `rootfs`; --help is the caller's `usage`. Needs root.
# shellcheck disable=SC2034  # Their readers are the callers.
release_arguments() {
  packages=""
  rootfs=""
  while (($# > 0)); do
    case "$1" in
      --packages) packages="${2:?--packages needs a folder}" && shift 2 ;;
      --rootfs) rootfs="${2:?--rootfs needs a file}" && shift 2 ;;
      --help | -h) usage && exit 0 ;;
      *) fail "unknown argument '$1'; --help lists them" ;;
    esac
  done
  [[ -n "$packages" ]] || fail "--packages is needed"
  ((EUID == 0)) || fail "this needs root"
}

# release_file PATTERN: the one file of `packages` with such a name; nothing if there is none.
release_file() { find "$packages" -maxdepth 1 -name "$1" -print -quit; }
