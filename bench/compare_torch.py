#!/usr/bin/env python3
"""Compares FlashCore's kernels with what PyTorch offers, in one process and on the same tensors.

Whole device: medians of CUDA graph replays. Then the same in a slice of the device (a CUDA green context) of the size
of an L4, with 20 calls one by one per timing. The implementations take turns, so that a drifting clock hits all alike.
Every output is checked first, by FlashAttention-2's rule: its error against a float32 reference may be at most twice
that of textbook attention in the tensors' own 16-bit type. FlashCore's is checked again after it was timed.

  compare_torch.py                                    the standard shapes, whole device and slice
  compare_torch.py --quick --shapes mission --sm-count 0
  compare_torch.py --kernels fused,auto --shapes "8,8,512,64 1,32,1,128,kv_heads=8,kv_len=4096,bf16"
  compare_torch.py --random 40 --seed 7               random shapes and options

Shapes: batch,query heads,tokens,head_dim then causal bf16 bshd kv_heads=N kv_len=N window=LEFT:RIGHT soft_cap=X, or the
name of a set: mission, grid, slice, long. Needs PyTorch with CUDA, and libflashcore_attention.so (target
flashcore_attention). Exits with 1 if a FlashCore result is wrong.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import warnings

import torch

from compare import flashcore, machine, report, shapes, tensors, timing
from compare.incumbents import BACKENDS, Incumbent, Unsupported

# Inputs that are rotated fill the L2 cache this many times.
L2_MULTIPLE = 3


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, help="libflashcore_attention.so (default: .bundle/lib's, else "
                        "the newest of the build folders)")
    parser.add_argument("--kernels", default="auto", help="FlashCore kernels, separated by commas (default: auto)")
    parser.add_argument("--incumbents", default=None, help="of fa2,cudnn,efficient (default: all; --quick: fa2,cudnn)")
    parser.add_argument("--shapes", default=None, help="for the whole device (default: 'grid long'; --quick: 'grid')")
    parser.add_argument("--slice-shapes", default="slice", help="for the slice (default: slice)")
    parser.add_argument("--sm-count", type=int, default=56, help="multiprocessors of the slice; 0: no slice")
    parser.add_argument("--slice-only", action="store_true", help="leave the whole device out")
    parser.add_argument("--random", type=int, default=0, metavar="N",
                        help="N random shapes instead, on the whole device or, with --slice-only, in the slice")
    parser.add_argument("--seed", type=int, default=42, help="of the inputs and of --random (default: 42)")
    parser.add_argument("--quick", action="store_true", help="fewer timings")
    parser.add_argument("--rotate", action="store_true", help="walk over inputs that together exceed the L2 cache")
    parser.add_argument("--json", metavar="FILE", help="write everything to FILE")
    arguments = parser.parse_args()
    arguments.kernels = arguments.kernels.split(",")
    arguments.incumbents = (arguments.incumbents or ("fa2,cudnn" if arguments.quick else ",".join(BACKENDS))).split(",")
    arguments.timings, arguments.turns = (30, 3) if arguments.quick else (100, 10)
    return arguments


def draw_sets(shape, arguments):
    inputs = tensors.draw(shape, arguments.seed)
    sets = 1
    if arguments.rotate:
        set_bytes = sum(tensor.nbytes for tensor in inputs) + inputs[0].nbytes
        sets = L2_MULTIPLE * torch.cuda.get_device_properties(0).L2_cache_size // set_bytes + 1
    return [inputs] + [tuple(tensor.clone() for tensor in inputs) for _ in range(sets - 1)]


def check(candidate, oracle):
    """{"verdict", "error"} or {"verdict", "reason"}."""
    try:
        error = oracle.error(candidate.output())
    except Unsupported as reason:
        return {"verdict": "unsupported", "reason": str(reason)}
    return {"verdict": "correct" if error <= oracle.tolerance else "WRONG", "error": error}


def candidates_for(shape, sets, arguments, backends):
    """Implementations by name, and why others are not among them."""
    candidates, refused = {}, {}
    builders = {name: (lambda name=name: Incumbent(name, shape, sets)) for name in arguments.incumbents}
    builders |= {kernel: (lambda backend=backend: flashcore.Candidate(backend, shape, sets))
                 for kernel, backend in backends.items()}
    for name, build in builders.items():
        try:
            candidates[name] = build()
        except Unsupported as reason:
            refused[name] = {"verdict": "unsupported", "reason": str(reason)}
    return candidates, refused


def measure(shape, arguments, backends, slice_context):
    """A row of the report. In the slice only the timed calls run: the reference's libraries need the whole device."""
    sets = draw_sets(shape, arguments)
    oracle = tensors.Oracle(shape, *sets[0])
    candidates, results = candidates_for(shape, sets, arguments, backends)
    for name, candidate in candidates.items():
        results[name] = check(candidate, oracle)
    # An incumbent that fails the rule is timed all the same: its users run it.
    timed = {name: candidate for name, candidate in candidates.items()
             if results[name]["verdict"] == "correct" or name in arguments.incumbents and "error" in results[name]}
    for kernel in backends.keys() & timed.keys():
        timed[kernel].poison()
    with in_context(slice_context):
        summaries = timing.time_in_turns(timed, arguments.timings, arguments.turns, graphs=slice_context is None,
                                         min_calls=len(sets))
    for name, summary in summaries.items():
        results[name] |= vars(summary) | {"tflops": shape.flops() / summary.median_us * 1e-6}
    for kernel in backends.keys() & timed.keys():
        results[kernel]["error"] = max(timed[kernel].written_errors(oracle), key=report.nan_last)
        if not results[kernel]["error"] <= oracle.tolerance:
            results[kernel]["verdict"] = "WRONG"
    return {"shape": str(shape), "flops": shape.flops(), "tolerance": oracle.tolerance, "results": results}


@contextlib.contextmanager
def in_context(slice_context):
    """Makes the green context current, if there is one, and checks that nobody leaves it in between."""
    if slice_context is None:
        yield
        return
    slice_context.set_context()
    inside = machine.current_context()
    try:
        yield
    finally:
        left = machine.current_context() != inside
        if left:
            machine.make_current(inside)
        slice_context.pop_context()
    if left:
        raise RuntimeError("an implementation made another CUDA context current (cudaSetDevice does, even for the "
                           "device in use): what it was timed or planned for is not the slice")


@contextlib.contextmanager
def open_backends(arguments, slice_context):
    """By kernel, for one shape: what a backend keeps for each captured graph ends with it."""
    if slice_context is not None:
        # Outputs are checked outside of the slice: have the kernels loaded there as well.
        for kernel in arguments.kernels:
            flashcore.Backend(arguments.library, kernel).close()
    with in_context(slice_context):
        backends = {kernel: flashcore.Backend(arguments.library, kernel) for kernel in arguments.kernels}
    try:
        yield backends
    finally:
        torch.cuda.synchronize()
        for backend in backends.values():
            backend.close()


def run_section(title, section_shapes, arguments, sm_count):
    slice_context = None
    if sm_count:
        from torch.cuda.green_contexts import GreenContext
        slice_context = GreenContext.create(sm_count, 0)
    rows = []
    for number, shape in enumerate(section_shapes, 1):
        print(f"[{title} {number}/{len(section_shapes)}] {shape}", file=sys.stderr, flush=True)
        try:
            with open_backends(arguments, slice_context) as backends:
                rows.append(measure(shape, arguments, backends, slice_context))
            print("    " + report.progress(rows[-1]), file=sys.stderr, flush=True)
        except torch.OutOfMemoryError as error:
            print(f"    left out: {error}", file=sys.stderr, flush=True)
        torch.cuda.empty_cache()
    return {"title": title, "sm_count": sm_count, "rows": rows,
            "ratios": report.ratios(rows, arguments.kernels, arguments.incumbents)}


def sections_of(arguments):
    """Title, shapes and size of the slice (0: whole device) of each section."""
    if arguments.random:
        drawn = shapes.random_shapes(arguments.random, arguments.seed)
        sm_count = arguments.sm_count if arguments.slice_only else 0
        return [(f"random, seed {arguments.seed}" + (f", {sm_count} SMs" if sm_count else ""), drawn, sm_count)]
    sections = []
    if not arguments.slice_only:
        whole = arguments.shapes or ("grid" if arguments.quick else "grid long")
        sections.append(("whole device", shapes.parse_shapes(whole), 0))
    if arguments.sm_count:
        sections.append((f"{arguments.sm_count} SMs", shapes.parse_shapes(arguments.slice_shapes), arguments.sm_count))
    return sections


def main():
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        sys.exit("compare_torch.py: PyTorch finds no CUDA device")
    arguments.library = arguments.library or flashcore.find_library()
    torch.set_grad_enabled(False)
    # PyTorch warns of every reason for which a backend cannot run a shape; the report has the fact.
    warnings.filterwarnings("ignore", category=UserWarning)
    sections, failures = [], []
    for title, section_shapes, sm_count in sections_of(arguments):
        try:
            sections.append(run_section(title, section_shapes, arguments, sm_count))
        except RuntimeError as error:
            failures.append(f"{title}: {error}")
    record = machine.describe(arguments.library) | {"sections": sections, "failures": failures}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
    print(report.text(record, arguments.kernels, arguments.incumbents))
    sys.exit(bool(failures) or not report.all_correct(sections, arguments.kernels))


if __name__ == "__main__":
    main()
