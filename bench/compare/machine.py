"""What a comparison ran on, for the record."""

import ctypes
import datetime
import pathlib
import subprocess

import torch

HERE = pathlib.Path(__file__).resolve().parent
GPU_FIELDS = ("driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit", "temperature.gpu")


def _output_of(command, **options):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit(library):
    """That a bundle's library was built from, else this checkout's; "unknown" where neither says."""
    version = library.parent.parent / "VERSION"
    if version.is_file():
        return " ".join(version.read_text(encoding="utf-8").split("program")[0].split()[1:])
    return _output_of(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=HERE) or "unknown"


def describe(library):
    properties = torch.cuda.get_device_properties(0)
    values = _output_of(["nvidia-smi", "--id=0", "--query-gpu=" + ",".join(GPU_FIELDS), "--format=csv,noheader"])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(library),
        "device": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "sm_count": properties.multi_processor_count,
        "l2_bytes": properties.L2_cache_size,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        **dict(zip(GPU_FIELDS, (value.strip() for value in values.split(",")))),
    }


def current_context():
    """The driver's handle of the calling thread's CUDA context."""
    context = ctypes.c_void_p()
    ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context))
    return context.value


def make_current(context):
    """Puts a context in the place of the calling thread's current one."""
    ctypes.CDLL("libcuda.so.1").cuCtxSetCurrent(ctypes.c_void_p(context))
