#!/usr/bin/env python3
"""PyTorch's CPU scaled_dot_product_attention and FlashCore's cpu backend, in one process on the same tensors.

  python3 bench/compare_torch_cpu.py --library build/kernels/libflashcore_attention.so

Every case is checked first: FlashCore's error against a float64 computation may be at most twice PyTorch's, plus 1e-5.
Then the two are timed in turns of some calls, so that both see the same machine; the table shows medians and their ratio
(PyTorch / FlashCore: above 1 FlashCore is faster). The exit status is 1 if an answer was wrong.
Needs PyTorch; the threads of each library are set to the same number.
"""

import argparse
import ctypes
import json
import os
import statistics
import sys
import time

import torch

DTYPES = {"fp16": (0, torch.float16), "bf16": (1, torch.bfloat16), "fp32": (2, torch.float32)}
WINDOW_OFF = -1
SETTLE_SECONDS = 0.02
WARMUP_CALLS = 3
CALLS_PER_TURN = 20
MISSION = {"batch": 1, "heads": 8, "kv_heads": 8, "q_len": 512, "kv_len": 512, "head_dim": 64, "causal": False}
SHAPES = [
    ("mission 1,8,512,64", MISSION),
    ("mission causal", {**MISSION, "causal": True}),
    ("4,8,256,64", {**MISSION, "batch": 4, "q_len": 256, "kv_len": 256}),
    ("1,8,2048,64", {**MISSION, "q_len": 2048, "kv_len": 2048}),
    ("1,8,512,128", {**MISSION, "head_dim": 128}),
    ("1,4,512,256", {**MISSION, "heads": 4, "kv_heads": 4, "head_dim": 256}),
    ("decode 8,8,1x4096,64", {**MISSION, "batch": 8, "q_len": 1, "kv_len": 4096}),
]


class Strides(ctypes.Structure):
    _fields_ = [("batch", ctypes.c_int64), ("head", ctypes.c_int64), ("row", ctypes.c_int64)]


class Problem(ctypes.Structure):
    """flashcore_attention_problem of kernels/c_api.h."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("batch", "num_qo_heads", "num_kv_heads", "q_len", "kv_len", "head_dim")]
        + [("window_left", ctypes.c_int64), ("window_right", ctypes.c_int64)]
        + [("sm_scale", ctypes.c_float), ("logits_soft_cap", ctypes.c_float)]
        + [("causal", ctypes.c_int32), ("dtype", ctypes.c_int32)]
        + [(name, ctypes.c_void_p) for name in ("q", "k", "v", "o", "lse")]
        + [(name, Strides) for name in ("q_strides", "k_strides", "v_strides", "o_strides")]
    )


class FlashCore:
    """The cpu backend, through the C interface."""

    def __init__(self, library, threads):
        self._library = library
        self._handle = ctypes.c_void_p()
        self._check(library.flashcore_attention_create(b"cpu", b"auto", threads, 0, ctypes.byref(self._handle)))

    def close(self):
        self._library.flashcore_attention_destroy(self._handle)

    def kernel(self):
        return self._library.flashcore_attention_kernel(self._handle).decode()

    def device(self):
        return self._library.flashcore_attention_device(self._handle).decode()

    def run(self, problem):
        self._check(self._library.flashcore_attention_run(self._handle, ctypes.byref(problem), 1, None))

    def _check(self, code):
        if code != 0:
            raise RuntimeError(self._library.flashcore_attention_last_error().decode())


def load_library(path):
    library = ctypes.CDLL(os.path.abspath(path))
    library.flashcore_attention_create.argtypes = [
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)]
    library.flashcore_attention_run.argtypes = [
        ctypes.c_void_p, ctypes.POINTER(Problem), ctypes.c_size_t, ctypes.c_void_p]
    library.flashcore_attention_destroy.argtypes = [ctypes.c_void_p]
    library.flashcore_attention_destroy.restype = None
    for name in ("flashcore_attention_kernel", "flashcore_attention_device"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.flashcore_attention_last_error.restype = ctypes.c_char_p
    return library


def strides_of(tensor):
    batch, head, row, _ = tensor.stride()
    return Strides(batch, head, row)


def make_tensors(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(heads, rows):
        values = torch.randn(shape["batch"], heads, rows, shape["head_dim"], generator=generator)
        return values.to(dtype)

    q = normal(shape["heads"], shape["q_len"])
    k = normal(shape["kv_heads"], shape["kv_len"])
    v = normal(shape["kv_heads"], shape["kv_len"])
    return q, k, v


def make_problem(shape, dtype_code, q, k, v, o):
    scale = shape["head_dim"] ** -0.5
    return Problem(
        shape["batch"], shape["heads"], shape["kv_heads"], shape["q_len"], shape["kv_len"], shape["head_dim"],
        WINDOW_OFF, WINDOW_OFF, scale, 0.0, int(shape["causal"]), dtype_code,
        q.data_ptr(), k.data_ptr(), v.data_ptr(), o.data_ptr(), None,
        strides_of(q), strides_of(k), strides_of(v), strides_of(o))


def sdpa(q, k, v, causal):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def max_error(answer, exact):
    return (answer.double() - exact).abs().max().item()


def timed_us(function):
    start = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - start) / 1e3


def time_in_turns(first, second, seconds):
    """Medians in microseconds of the two functions, timed in turns for about `seconds`.

    A turn is several calls after a pause: each library's idle threads go on looking for work for a while after a call,
    and would otherwise be timed on the other one's account.
    """
    times_us = ([], [])
    end = time.perf_counter() + seconds
    while not times_us[0] or time.perf_counter() < end:
        for function, function_us in zip((first, second), times_us):
            time.sleep(SETTLE_SECONDS)
            for _ in range(WARMUP_CALLS):
                function()
            function_us.extend(timed_us(function) for _ in range(CALLS_PER_TURN))
    return statistics.median(times_us[0]), statistics.median(times_us[1])


def compare(flashcore, name, shape, dtype_name, threads, args):
    dtype_code, dtype = DTYPES[dtype_name]
    q, k, v = make_tensors(shape, dtype, args.seed)
    o = torch.full_like(q, float("nan"))
    problem = make_problem(shape, dtype_code, q, k, v, o)

    exact = sdpa(q.double(), k.double(), v.double(), shape["causal"])
    torch_error = max_error(sdpa(q, k, v, shape["causal"]), exact)
    flashcore.run(problem)
    error = max_error(o, exact)
    correct = error <= 2 * torch_error + 1e-5

    torch_us, flashcore_us = time_in_turns(
        lambda: sdpa(q, k, v, shape["causal"]), lambda: flashcore.run(problem), args.seconds)
    pairs = shape["batch"] * shape["heads"] * shape["q_len"] * shape["kv_len"] / (2 if shape["causal"] else 1)
    return {
        "shape": name, "dtype": dtype_name, "threads": threads, "torch_us": torch_us, "flashcore_us": flashcore_us,
        "ratio": torch_us / flashcore_us, "flashcore_gflops": 4 * pairs * shape["head_dim"] / flashcore_us / 1e3,
        "torch_error": torch_error, "flashcore_error": error, "correct": correct,
    }


def run_all(library, args):
    rows = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        flashcore = FlashCore(library, threads)
        print(f"{threads} threads: {flashcore.device()}, {flashcore.kernel()}, PyTorch {torch.__version__}",
              file=sys.stderr)
        for name, shape in SHAPES if not args.mission_only else SHAPES[:1]:
            for dtype_name in args.dtypes:
                rows.append(compare(flashcore, name, shape, dtype_name, threads, args))
                print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        flashcore.close()
    return rows


def print_table(rows):
    print(f"{'shape':22} {'dtype':5} {'threads':>7} {'torch us':>10} {'ours us':>10} {'GFLOP/s':>8} "
          f"{'error':>9} {'torch':>9} {'right':>5} {'ratio':>6}")
    for row in rows:
        print(f"{row['shape']:22} {row['dtype']:5} {row['threads']:7} {row['torch_us']:10.1f} "
              f"{row['flashcore_us']:10.1f} {row['flashcore_gflops']:8.1f} {row['flashcore_error']:9.2e} "
              f"{row['torch_error']:9.2e} {'yes' if row['correct'] else 'NO':>5} {row['ratio']:6.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="path of libflashcore_attention.so")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--dtypes", nargs="+", choices=sorted(DTYPES), default=["fp32", "fp16", "bf16"])
    parser.add_argument("--seconds", type=float, default=1.0, help="timing for each row of the table")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--mission-only", action="store_true", help="only the first shape")
    parser.add_argument("--json", metavar="FILE", help="write the rows there as well")
    args = parser.parse_args()

    print(f"seed {args.seed}", file=sys.stderr)
    rows = run_all(load_library(args.library), args)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)
            file.write("\n")
    print_table(rows)
    return 0 if all(row["correct"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
