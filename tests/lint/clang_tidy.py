#!/usr/bin/python3
"""Runs clang-tidy-14 over our own sources, in parallel: clang_tidy.py BUILD_DIR [--jobs N] [PATH_PART...]

Files that may be one translation unit are looked at as one, and in smaller groups where that finds anything. A file that
was clean is not looked at again until its preprocessed text, its flags or .clang-tidy change; the
fingerprints of clean files lie in ~/.cache/flashcore-tidy (or $XDG_CACHE_HOME). Exit status 1: something was found.
"""

import argparse
import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-14"
GROUP_SIZE = 8
# The static analyser follows paths in what a file of this name includes, as in the file itself.
UNIT_PREFIX = "UnifiedSource"
# What a file declares at its left margin, as clang-format leaves it: flags, macros, functions, types and constants.
FILE_NAMES = re.compile(
    r"^(?:ABSL_FLAG\([^,]*, (\w+)|#define (\w+)|\w[^=;(\n]*?(?<!::)\b(\w+)(?:\(|\{| =|;))", re.MULTILINE)
# A default that clang-tidy dumps and does not read.
UNREADABLE_OPTION = re.compile(r"  - key: .*\n    value: +'-1'\n")
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


def compiler_flags(entry):
    """The command that compiles a file, without the file, the output and ccache."""
    command = shlex.split(entry["command"])
    if pathlib.Path(command[0]).name == "ccache":
        command = command[1:]
    return command[:command.index("-o")]


class Source:
    """A file of ours, with all that clang-tidy's verdict on it depends on."""

    def __init__(self, path, entry):
        self.path = path
        self.flags = compiler_flags(entry)
        self.configuration = subprocess.run([TIDY, "--dump-config", str(path)], capture_output=True, check=True,
                                            text=True).stdout
        # -C: NOLINT comments are part of the verdict.
        done = subprocess.run(self.flags + ["-c", str(path), "-E", "-C", "-P"], cwd=entry["directory"],
                              capture_output=True, check=False)
        self.mark = self.fingerprint(done.stdout) if done.returncode == 0 else None
        text = path.read_text(encoding="utf-8").replace("BENCHMARK_MAIN(", "int main(")
        self.names = {"".join(match.groups(default="")) for match in FILE_NAMES.finditer(text)}

    def fingerprint(self, preprocessed):
        digest = hashlib.sha256(preprocessed.replace(str(ROOT).encode(), b""))
        command = self.flags + ["-c", str(self.path)]
        digest.update(" ".join(command).replace(str(ROOT), "").encode())
        digest.update(self.configuration.encode())
        digest.update(str(self.path.relative_to(ROOT)).encode())
        return digest.hexdigest()


def grouped(sources):
    """Lists of sources with the same configuration that may be one translation unit: nearly all of the time goes into
    the headers, which a group reads once."""
    groups = []
    for source in sorted(sources, key=lambda source: source.path):
        for group in groups:
            if (len(group) < GROUP_SIZE and group[0].configuration == source.configuration
                    and all(source.names.isdisjoint(other.names) for other in group)):
                group.append(source)
                break
        else:
            groups.append([source])
    return groups


def tidy(path, sources):
    """What clang-tidy has to say about `path`, with the flags of all of these sources; empty if it is clean."""
    flags = itertools.chain.from_iterable(source.flags[1:] for source in sources)
    configuration = UNREADABLE_OPTION.sub("", sources[0].configuration)
    done = subprocess.run([TIDY, "--quiet", f"--config={configuration}", str(path), "--", *flags],
                          capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr) if done.returncode != 0 else ""


def check_group(cache, group):
    """[(source, what clang-tidy has to say about it)] of those in a group that are not clean."""
    with tempfile.NamedTemporaryFile("w", prefix=UNIT_PREFIX, suffix=".cc") as unit:
        unit.write("".join(f'#include "{source.path}"  // NOLINT(bugprone-suspicious-include)\n' for source in group))
        unit.flush()
        findings = tidy(unit.name if len(group) > 1 else group[0].path, group)
    if findings and len(group) > 1:
        # It may only be that names of two files clash.
        half = len(group) // 2
        return check_group(cache, group[:half]) + check_group(cache, group[half:])
    for source in group:
        if source.mark and not findings:
            (cache / source.mark).touch()
    return [(group[0], findings)] if findings else []


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
        sources = pool.map(lambda item: Source(*item), entries.items())
        groups = grouped(source for source in sources if not source.mark or not (cache / source.mark).exists())
        for done in concurrent.futures.as_completed([pool.submit(check_group, cache, group) for group in groups]):
            for source, findings in done.result():
                dirty += 1
                print(f"-- {source.path.relative_to(ROOT)}\n{findings}", flush=True)
    print(f"{len(entries)} files, {dirty} with findings")
    sys.exit(dirty > 0)


if __name__ == "__main__":
    main()
