#!/usr/bin/python3
"""Compiles every CUDA source for every architecture of ptxas_limits.json and holds each kernel to its limits there:

    ptxas_gate.py BUILD_DIR [--jobs N]

The last pattern of "kernels" that matches a kernel's demangled name has its limits; a kernel that none matches fails, so
that a new one is given limits. `blocks_per_sm` blocks of `threads` threads must fit on a multiprocessor together, with
the registers that ptxas gave them and their shared memory; and as many as the plan counts on, which tile_resources.cc
knows of the fused kernels, with their threads and dynamic shared memory. Needs no GPU.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMITS = pathlib.Path(__file__).with_name("ptxas_limits.json")
TILE_RESOURCES = pathlib.Path(__file__).with_name("tile_resources.cc")

ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")

WARP_THREADS = 32
# How the hardware gives out registers and warps, the same on every architecture so far.
REGISTERS_PER_THREAD_STEP = 8
WARPS_STEP = 4


def compile_command(entry, architecture, output):
    """The build's own command for a source, for one architecture and with ptxas talking."""
    arguments, skip = [], False
    for argument in shlex.split(entry["command"]):
        if skip or argument.endswith("ccache") or argument.startswith(("--generate-code", "-gencode", "-arch", "-MD")):
            skip = False
        elif argument in ("-o", "-MF", "-MT", "-x"):
            skip = True
        elif argument != "-c":
            arguments.append(argument)
    return arguments + ["-cubin", f"-arch={architecture}", "-Xptxas=-v", "-o", output]


def parse(output):
    """{kernel: {spill_bytes, registers, shared_bytes}} of ptxas -v, by mangled name; shared memory is the static part."""
    kernels, current = {}, None
    for line in output.splitlines():
        if match := ENTRY.search(line):
            current = kernels.setdefault(match.group(1), {"spill_bytes": 0, "registers": 0, "shared_bytes": 0})
        elif current is not None and (match := SPILL.search(line)):
            current["spill_bytes"] = max(current["spill_bytes"], int(match.group(1)), int(match.group(2)))
        elif current is not None and (match := USED.search(line)):
            current["registers"] = int(match.group(1))
            shared = SHARED.search(line)
            current["shared_bytes"] = int(shared.group(1)) if shared else 0
    return kernels


def measure(entry, architecture):
    with tempfile.TemporaryDirectory() as folder:
        command = compile_command(entry, architecture, os.path.join(folder, "out.cubin"))
        done = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    return parse(done.stdout + done.stderr)


def demangle(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines()))


def tile_resources(chip):
    """{pattern: {threads, dynamic_shared_bytes, blocks_per_sm}} of the fused kernels on a chip."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "tile_resources")
        subprocess.run(["c++", "-std=c++20", f"-I{ROOT}", str(TILE_RESOURCES), "-o", program], check=True)
        done = subprocess.run([program, str(chip["shared_bytes_per_sm"])], capture_output=True, text=True, check=True)
    resources = [json.loads(line) for line in done.stdout.splitlines()]
    return {resource.pop("kernel"): resource for resource in resources}


def last_match(name, table):
    """What the last pattern that matches stands for; None if none does."""
    found = [value for pattern, value in table.items() if re.search(pattern, name)]
    return found[-1] if found else None


def round_up(value, step):
    return -(-value // step) * step


def blocks_that_fit(registers, threads, shared_bytes, chip):
    """How many such blocks a multiprocessor of the chip holds at once."""
    warps = -(-threads // WARP_THREADS)
    registers_per_warp = round_up(max(registers, 1), REGISTERS_PER_THREAD_STEP) * WARP_THREADS
    warps_by_registers = chip["registers_per_sm"] // registers_per_warp // WARPS_STEP * WARPS_STEP
    return min(warps_by_registers // warps,
               chip["threads_per_sm"] // (warps * WARP_THREADS),
               chip["shared_bytes_per_sm"] // (shared_bytes + chip["shared_bytes_reserved_per_block"]))


def excesses(name, measured, limits, resources, chip):
    """What is wrong with a kernel, in words."""
    limit = last_match(name, limits)
    if limit is None:
        return ["has no limits in ptxas_limits.json"]
    launch = last_match(name, resources) or limit
    if "threads" not in launch:
        return ["nothing says how many threads it has"]
    total = measured | {"shared_bytes": measured["shared_bytes"] + launch.get("dynamic_shared_bytes", 0)}
    found = [f"{key} {total[key]} > {limit[key]}" for key in ("spill_bytes", "registers", "shared_bytes")
             if total[key] > limit[key]]
    fit = blocks_that_fit(total["registers"], launch["threads"], total["shared_bytes"], chip)
    wanted = max(limit.get("blocks_per_sm", 1), launch.get("blocks_per_sm", 1))
    if fit < wanted:
        found.append(f"{fit} blocks fit on a multiprocessor instead of {wanted} ({total['registers']} registers, "
                     f"{launch['threads']} threads, {total['shared_bytes']} bytes of shared memory)")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="a build folder configured with CUDA")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    limits = json.loads(LIMITS.read_text(encoding="utf-8"))
    resources = {architecture: tile_resources(chip) for architecture, chip in limits["architectures"].items()}
    commands = json.loads((arguments.build / "compile_commands.json").read_text(encoding="utf-8"))
    work = [(entry, architecture) for entry in commands if entry["file"].endswith(".cu")
            for architecture in limits["architectures"]]
    failures = kernels = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for (entry, architecture), found in zip(work, pool.map(lambda item: measure(*item), work)):
            names = demangle(list(found))
            chip = limits["architectures"][architecture]
            kernels += len(found)
            for mangled, measured in found.items():
                for excess in excesses(names[mangled], measured, limits["kernels"], resources[architecture], chip):
                    failures += 1
                    print(f"{architecture}: {names[mangled]}: {excess}")
            registers = max((measured["registers"] for measured in found.values()), default=0)
            print(f"{architecture}: {pathlib.Path(entry['file']).name}: {len(found)} kernels, "
                  f"at most {registers} registers", flush=True)
    print(f"{kernels} kernels, {failures} over their limits")
    sys.exit(failures > 0 or kernels == 0)


if __name__ == "__main__":
    main()
