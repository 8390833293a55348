"""FlashCore's CUDA backend through the C interface of kernels/c_api.h, on PyTorch's tensors and streams."""

import contextlib
import ctypes
import pathlib

import torch

from compare.incumbents import Unsupported

LIBRARY = "libflashcore_attention.so"
ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIMPLEMENTED = 12
FP16, BF16 = 0, 1


class _Strides(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "head", "row")]


class _Problem(ctypes.Structure):
    """flashcore_attention_problem."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("batch", "num_qo_heads", "num_kv_heads", "q_len", "kv_len", "head_dim",
                                             "window_left", "window_right")]
        + [(name, ctypes.c_float) for name in ("sm_scale", "logits_soft_cap")]
        + [(name, ctypes.c_int32) for name in ("causal", "dtype")]
        + [(name, ctypes.c_void_p) for name in ("q", "k", "v", "o", "lse")]
        + [(name, _Strides) for name in ("q_strides", "k_strides", "v_strides", "o_strides")])


def find_library():
    """In a bundle beside this checkout, else the newest one in a build folder."""
    found = [path for pattern in (f".bundle/lib/{LIBRARY}", f"build*/**/{LIBRARY}") for path in ROOT.glob(pattern)]
    if not found:
        raise FileNotFoundError(f"no {LIBRARY} in .bundle/lib or build*: make a bundle with bench/bundle.sh, build the "
                                "target flashcore_attention, or name the file with --library")
    return found[0] if ".bundle" in found[0].parts else max(found, key=lambda path: path.stat().st_mtime)


class Backend:
    """One kernel of the ladder, on device 0. Plans for the multiprocessors of the CUDA context it is made in."""

    def __init__(self, library, kernel):
        self._library = ctypes.CDLL(str(library))
        self._library.flashcore_attention_last_error.restype = ctypes.c_char_p
        self._library.flashcore_attention_run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
                                                          ctypes.c_void_p)
        self._library.flashcore_attention_destroy.argtypes = (ctypes.c_void_p,)
        self._handle = ctypes.c_void_p()
        self.check(self._library.flashcore_attention_create(b"cuda", kernel.encode(), 0, 0, ctypes.byref(self._handle)))

    def close(self):
        self._library.flashcore_attention_destroy(self._handle)
        self._handle = ctypes.c_void_p()

    def check(self, code):
        if code == 0:
            return
        message = self._library.flashcore_attention_last_error().decode()
        raise Unsupported(message) if code == UNIMPLEMENTED else RuntimeError(f"FlashCore: {message}")

    def launch(self, problem):
        """Enqueues on PyTorch's current stream; can be captured."""
        self.check(self._library.flashcore_attention_run(self._handle, ctypes.addressof(problem), 1,
                                                         torch.cuda.current_stream().cuda_stream))


def _describe(shape, q, k, v, o):
    problem = _Problem(
        batch=shape.batch, num_qo_heads=shape.num_qo_heads, num_kv_heads=shape.num_kv_heads, q_len=shape.q_len,
        kv_len=shape.kv_len, head_dim=shape.head_dim, window_left=shape.window_left, window_right=shape.window_right,
        sm_scale=shape.head_dim**-0.5, logits_soft_cap=shape.soft_cap, causal=shape.causal,
        dtype=BF16 if shape.bf16 else FP16)
    for name, tensor in (("q", q), ("k", k), ("v", v), ("o", o)):
        setattr(problem, name, tensor.data_ptr())
        setattr(problem, f"{name}_strides", _Strides(*tensor.stride()[:3]))
    return problem


class Candidate:
    """A backend on a shape, with outputs of its own. `sets` are tuples (q, k, v)."""

    def __init__(self, backend, shape, sets):
        self._backend = backend
        self._outputs = [torch.empty_like(q) for q, _, _ in sets]
        self._problems = [_describe(shape, *inputs, o) for inputs, o in zip(sets, self._outputs)]

    def scope(self):
        return contextlib.nullcontext()

    def __call__(self, index):
        self._backend.launch(self._problems[index % len(self._problems)])

    def poison(self):
        for o in self._outputs:
            o.fill_(float("nan"))

    def output(self):
        """Of the first set, computed into poisoned memory."""
        self.poison()
        self(0)
        torch.cuda.synchronize()
        return self._outputs[0]

    def written_errors(self, oracle):
        """Of every set, as the last calls left them."""
        return [oracle.error(o) for o in self._outputs]
