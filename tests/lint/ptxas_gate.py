#!/usr/bin/python3
"""Compiles every CUDA source for every architecture of ptxas_limits.json and holds each kernel to its limits there:

    ptxas_gate.py BUILD_DIR [--jobs N]

The last pattern of the table that matches a kernel's demangled name is the one that counts. `shared_bytes` is what
ptxas sees: static shared memory; 101376 is all that a block of sm_89 can have. Needs no GPU.
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

LIMITS = pathlib.Path(__file__).with_name("ptxas_limits.json")
ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


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


def measure(entry, architecture):
    """{kernel: {spill_bytes, registers, shared_bytes}}, by mangled name."""
    with tempfile.TemporaryDirectory() as folder:
        command = compile_command(entry, architecture, os.path.join(folder, "out.cubin"))
        done = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    kernels, current = {}, None
    for line in (done.stdout + done.stderr).splitlines():
        if match := ENTRY.search(line):
            current = kernels.setdefault(match.group(1), {"spill_bytes": 0, "registers": 0, "shared_bytes": 0})
        elif current is not None and (match := SPILL.search(line)):
            current["spill_bytes"] = max(current["spill_bytes"], int(match.group(1)), int(match.group(2)))
        elif current is not None and (match := USED.search(line)):
            current["registers"] = int(match.group(1))
            shared = SHARED.search(line)
            current["shared_bytes"] = int(shared.group(1)) if shared else 0
    return kernels


def demangle(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines()))


def excesses(name, measured, table):
    limits = [limit for pattern, limit in table.items() if re.search(pattern, name)][-1]
    return [f"{key} {measured[key]} > {limits[key]}" for key in limits if measured[key] > limits[key]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="a build folder configured with CUDA")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    limits = json.loads(LIMITS.read_text(encoding="utf-8"))
    commands = json.loads((arguments.build / "compile_commands.json").read_text(encoding="utf-8"))
    work = [(entry, architecture) for entry in commands if entry["file"].endswith(".cu")
            for architecture in limits["architectures"]]
    failures = kernels = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for (entry, architecture), found in zip(work, pool.map(lambda item: measure(*item), work)):
            names = demangle(list(found))
            kernels += len(found)
            for mangled, measured in found.items():
                for excess in excesses(names[mangled], measured, limits["kernels"]):
                    failures += 1
                    print(f"{architecture}: {names[mangled]}: {excess}")
            registers = max((measured["registers"] for measured in found.values()), default=0)
            print(f"{architecture}: {pathlib.Path(entry['file']).name}: {len(found)} kernels, "
                  f"at most {registers} registers", flush=True)
    print(f"{kernels} kernels, {failures} over their limits")
    sys.exit(failures > 0 or kernels == 0)


if __name__ == "__main__":
    main()
