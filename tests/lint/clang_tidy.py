#!/usr/bin/python3
"""Runs clang-tidy-14 over our own sources, in parallel: clang_tidy.py BUILD_DIR [--jobs N] [PATH_PART...]

A file that was clean is not looked at again until its preprocessed text, its flags or .clang-tidy change; the
fingerprints of clean files lie in ~/.cache/flashcore-tidy (or $XDG_CACHE_HOME). Exit status 1: something was found.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-14"
OURS = ("kernels", "server", "client", "bench", "tests")


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(base) / "flashcore-tidy"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compile_commands(build):
    """One entry for each of our C++ sources: a file that several targets compile is looked at once."""
    entries = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.suffix == ".cc" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OURS:
            entries.setdefault(path, entry)
    return entries


def fingerprint(path, entry):
    """What clang-tidy's verdict depends on. None if the file does not even preprocess."""
    command = shlex.split(entry["command"])
    if pathlib.Path(command[0]).name == "ccache":
        command = command[1:]
    output = command.index("-o")
    command = command[:output] + command[output + 2:]
    # -C: NOLINT comments are part of the verdict.
    done = subprocess.run(command + ["-E", "-C", "-P"], cwd=entry["directory"], capture_output=True, check=False)
    if done.returncode != 0:
        return None
    digest = hashlib.sha256(done.stdout.replace(str(ROOT).encode(), b""))
    digest.update(" ".join(command).replace(str(ROOT), "").encode())
    digest.update(subprocess.run([TIDY, "--dump-config", str(path)], capture_output=True, check=True).stdout)
    digest.update(str(path.relative_to(ROOT)).encode())
    return digest.hexdigest()


def check(build, cache, path, entry):
    """What clang-tidy has to say about one file; empty if it is clean."""
    mark = fingerprint(path, entry)
    if mark and (cache / mark).exists():
        return ""
    done = subprocess.run([TIDY, "--quiet", "-p", str(build), str(path)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        if mark:
            (cache / mark).touch()
        return ""
    return done.stdout or done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="a build folder with compile_commands.json")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("parts", nargs="*", help="only sources whose path contains one of these")
    arguments = parser.parse_intermixed_args()
    build = arguments.build.resolve()
    entries = {path: entry for path, entry in compile_commands(build).items()
               if not arguments.parts or any(part in str(path) for part in arguments.parts)}
    cache = cache_folder()
    dirty = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = {pool.submit(check, build, cache, path, entry): path for path, entry in entries.items()}
        for future in concurrent.futures.as_completed(results):
            if future.result():
                dirty += 1
                print(f"-- {results[future].relative_to(ROOT)}\n{future.result()}", flush=True)
    print(f"{len(entries)} files, {dirty} with findings")
    sys.exit(dirty > 0)


if __name__ == "__main__":
    main()
