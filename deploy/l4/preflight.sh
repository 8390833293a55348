#!/usr/bin/env bash
# Is this machine ready to serve FlashCore from an L4? See --help.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# What an L4 says of itself, and what is asked of its machine.
readonly wanted_gpu='NVIDIA L4' wanted_capability=8.9 least_memory_mib=22000 least_driver=525 cuda13_driver=580
readonly least_disk_gib=20 warm_celsius=80

usage() {
  cat <<TEXT
usage: bash deploy/l4/preflight.sh [--json] [--gpu NAME] [--ports LIST] [--disk PATH] [--proc PATH]

Checks the driver, the GPU (name, memory, compute capability, temperature, persistence mode), the permission to read hardware
counters, the CUDA Toolkit, ncu, Docker and the NVIDIA container toolkit, disk space and ports.

  --json        one JSON object on standard output instead of a table
  --gpu NAME    the GPU to expect (default: $wanted_gpu); another is a warning
  --ports LIST  ports that must be free (default: 50051,9464)
  --disk PATH   where images and builds will lie (default: /)
  --proc PATH   stands in for /proc

Exit status: 0 all is well; 1 warnings: it will serve, something is missing; 2 critical: it cannot serve from the GPU.
TEXT
}

json=no
gpu_name="$wanted_gpu"
ports=50051,9464
disk=/
proc=/proc
while (($# > 0)); do
  case "$1" in
    --json) json=yes && shift ;;
    --gpu) gpu_name="${2:?--gpu needs a name}" && shift 2 ;;
    --ports) ports="${2:?--ports needs a list}" && shift 2 ;;
    --disk) disk="${2:?--disk needs a path}" && shift 2 ;;
    --proc) proc="${2:?--proc needs a path}" && shift 2 ;;
    --help | -h) usage && exit 0 ;;
    *) echo "error: unknown argument '$1'; --help lists them" >&2 && exit 2 ;;
  esac
done
[[ "$ports" =~ ^[0-9]+(,[0-9]+)*$ ]] || { echo "error: --ports is a list like 50051,9464" >&2 && exit 2; }

names=()
levels=()
details=()
# report NAME LEVEL DETAIL: one result; LEVEL is pass, warning or critical. The detail of a failure says what to do.
report() {
  names+=("$1")
  levels+=("$2")
  details+=("$3")
}

# query FIELD: what nvidia-smi says of the first GPU; fails if it says nothing.
query() {
  local answer
  answer="$(timeout 20 nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits --id=0 2>/dev/null | head -n 1)" || return 1
  [[ -n "$answer" && "$answer" != *"Not Supported"* && "$answer" != *"N/A"* ]] && echo "$answer"
}

# Fails if there is no GPU to ask any further question of.
check_driver() {
  if ! command -v nvidia-smi >/dev/null; then
    report driver critical "no nvidia-smi: install the NVIDIA driver (deploy/l4/bootstrap_vm.sh does)"
    return 1
  fi
  local version
  if ! version="$(query driver_version)"; then
    report driver critical "nvidia-smi finds no GPU: is the driver loaded (lsmod | grep nvidia), is a GPU attached?"
    return 1
  fi
  local major="${version%%.*}"
  if [[ ! "$major" =~ ^[0-9]+$ ]] || ((major < least_driver)); then
    report driver critical "$version; at least $least_driver is needed, $cuda13_driver for CUDA 13"
  elif ((major < cuda13_driver)); then
    report driver warning "$version; CUDA 13, which the image is built with, needs $cuda13_driver"
  else
    report driver pass "$version"
  fi
}

check_gpu() {
  local name memory capability
  name="$(query name || echo unknown)"
  if [[ "$name" == "$gpu_name" ]]; then
    report gpu_name pass "$name"
  else
    report gpu_name warning "$name, not $gpu_name: it may serve, the figures of the guide are not about it"
  fi
  memory="$(query memory.total || echo 0)"
  if [[ ! "$memory" =~ ^[0-9]+$ ]] || ((memory < least_memory_mib)); then
    report gpu_memory critical "$memory MiB; at least $least_memory_mib MiB: the wrong GPU, or a slice of one"
  else
    report gpu_memory pass "$memory MiB"
  fi
  capability="$(query compute_cap || echo unknown)"
  if [[ "$capability" == "$wanted_capability" ]]; then
    report compute_capability pass "$capability"
  elif [[ "$capability" =~ ^([0-9]+)\. ]] && ((BASH_REMATCH[1] >= 8)); then
    report compute_capability warning "$capability; the L4's is $wanted_capability"
  else
    report compute_capability critical "$capability; the kernels need at least 8.0"
  fi
}

check_gpu_state() {
  local persistence celsius
  persistence="$(query persistence_mode || echo unknown)"
  if [[ "$persistence" == Enabled ]]; then
    report persistence pass on
  else
    report persistence warning "$persistence; the first call after a pause waits for the driver: sudo nvidia-smi -pm 1"
  fi
  celsius="$(query temperature.gpu || echo unknown)"
  if [[ "$celsius" =~ ^[0-9]+$ ]] && ((celsius >= warm_celsius)); then
    report temperature warning "$celsius C before any work: clocks will be throttled"
  else
    report temperature pass "$celsius C"
  fi
}

# Hardware counters: tensor-core metrics and ncu want them for everybody.
check_profiling() {
  local parameters="$proc/driver/nvidia/params"
  if [[ ! -r "$parameters" ]]; then
    report profiling warning "cannot read $parameters"
  elif grep -q '^RmProfilingAdminOnly: 0' "$parameters"; then
    report profiling pass "counters are open to every user"
  else
    report profiling warning "counters are for root only, so there will be no tensor-core metrics: write 'options nvidia \
NVreg_RestrictProfilingToAdminUsers=0' to /etc/modprobe.d/flashcore.conf, run update-initramfs -u, and restart"
  fi
}

check_toolkit() {
  # shellcheck source=deploy/l4/env.sh
  if (source "$here/env.sh" && nvcc --version) >/dev/null 2>&1; then
    report toolkit pass "$(source "$here/env.sh" && nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
  else
    report toolkit warning "no CUDA Toolkit >= 12.4: containers need none, building here does"
  fi
  # shellcheck source=deploy/l4/env.sh
  if (source "$here/env.sh"; command -v ncu) >/dev/null 2>&1; then
    report ncu pass "found"
  else
    report ncu warning "no ncu (Nsight Compute): kernels cannot be profiled here"
  fi
}

check_containers() {
  if ! command -v docker >/dev/null; then
    report docker warning "no docker: install it, or run from the .deb"
  elif ! timeout 20 docker info >/dev/null 2>&1; then
    report docker warning "docker does not answer: is it running, are you in the group docker?"
  else
    report docker pass "$(docker --version)"
  fi
  if ! command -v nvidia-ctk >/dev/null; then
    report container_toolkit warning "no nvidia-ctk: containers will not see the GPU (install nvidia-container-toolkit)"
  else
    report container_toolkit pass "$(nvidia-ctk --version | head -n 1)"
  fi
}

check_disk() {
  local free_gib
  free_gib="$(df --output=avail --block-size=1G "$disk" | tail -n 1 | tr -d ' ')"
  if ((free_gib < least_disk_gib)); then
    report disk warning "$free_gib GiB free on $disk; building the image takes $least_disk_gib"
  else
    report disk pass "$free_gib GiB free on $disk"
  fi
}

check_ports() {
  local port taken=()
  for port in ${ports//,/ }; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then taken+=("$port"); fi
  done
  if ((${#taken[@]} > 0)); then
    report ports warning "somebody listens on ${taken[*]}: FlashCore already, or choose others"
  else
    report ports pass "$ports are free"
  fi
}

# json_string TEXT: quoted; the details are single lines without control characters.
json_string() {
  local text="${1//\\/\\\\}"
  printf '"%s"' "${text//\"/\\\"}"
}

print_json() {
  local i
  printf '{"status": "%s", "exit_status": %d, "checks": [' "$1" "$2"
  for i in "${!names[@]}"; do
    ((i == 0)) || printf ', '
    printf '{"name": %s, "level": %s, "detail": %s}' "$(json_string "${names[i]}")" "$(json_string "${levels[i]}")" \
      "$(json_string "${details[i]}")"
  done
  printf ']}\n'
}

print_table() {
  local i
  for i in "${!names[@]}"; do
    printf '%-9s %-20s %s\n' "${levels[i]}" "${names[i]}" "${details[i]}"
  done
  printf '\n%s\n' "$1"
}

if check_driver; then
  check_gpu
  check_gpu_state
  check_profiling
fi
check_toolkit
check_containers
check_disk
check_ports

status=0
verdict=pass
if [[ " ${levels[*]} " == *" critical "* ]]; then
  status=2 verdict=critical
elif [[ " ${levels[*]} " == *" warning "* ]]; then
  status=1 verdict=warning
fi
if [[ "$json" == yes ]]; then print_json "$verdict" "$status"; else print_table "$verdict"; fi
exit "$status"
