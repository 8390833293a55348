#!/usr/bin/python3
"""Checks the tree's own rules, those that no compiler and no formatter knows. Prints every violation as file:line."""

import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_KERNEL_LINES = 120

# Files that are longer, with the length they may not exceed. Only ever shorten this table.
LONG_FILES = {}

ROOT_ENTRIES = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE",
                "bench", "client", "deploy", "kernels", "proto", "server", "tests"}
SYSTEM_FOLDERS = {"bin", "cgroup", "dev", "etc", "lib", "opt", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}

CPP = {".cc", ".h", ".cu", ".cuh"}
HEADERS = {".h", ".cuh"}
BUILT = {".cc", ".cu"}
CODE = CPP | {".py", ".sh"}

# Which folders may know what. The links of CMake say the same; an include shows it sooner.
FORBIDDEN_INCLUDES = [
    ("kernels/", re.compile(r'#include ["<](grpc|server/|client/|flashcore/v1/|prometheus/|spdlog/)')),
    ("server/engine/", re.compile(r'#include ["<](grpc|client/|server/(rpc|scheduler)/|flashcore/v1/)')),
    ("server/scheduler/", re.compile(r'#include ["<](grpc|client/|server/rpc/|flashcore/v1/)')),
    ("server/telemetry/", re.compile(r'#include ["<](grpc|client/|kernels/attention|server/(rpc|scheduler|engine)/|flashcore/v1/)')),
    ("client/", re.compile(r'#include "server/')),
]

NOLINT = re.compile(r"NOLINT(?!END)(\w*)")
NOLINT_WITH_REASON = re.compile(r"NOLINT(NEXTLINE|BEGIN)?(\([\w.,* -]+\))?: +\S+ +\S+")
OPEN_TASK = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
ENVIRONMENT = re.compile(r"\b(secure_)?" + "get" + r"env\b")
ABSOLUTE_PATH = re.compile(r"(?<![\w./:*$}>)\]\"<-])/([a-z]+)/[a-z]")
# A kernel, or the part of it that it hands its shared memory to.
KERNEL_BODY = re.compile(r"__global__|__device__[^;{}]*shared_memory")
BLOCK_OPENS = re.compile(r"\)[^;{}()]*\{$")
CONTROL = re.compile(r"\s*(\} )?(if|else|for|while|switch|do|catch)\b")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([\w-]+))?\)")
LITERALS = re.compile(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])\'|//.*')


class Tree:
    """The files of the checkout, and what was found wrong with them."""

    def __init__(self):
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                                cwd=ROOT, check=True, capture_output=True, text=True).stdout
        self.paths = [pathlib.PurePosixPath(p) for p in listed.splitlines() if (ROOT / p).is_file()]
        self.violations = []

    def text(self, path):
        return (ROOT / path).read_text(encoding="utf-8")

    def report(self, path, line, message):
        self.violations.append(f"{path}:{line}: {message}")


def check_length(tree, path, lines):
    limit = LONG_FILES.get(str(path), MAX_FILE_LINES)
    if len(lines) > limit:
        tree.report(path, len(lines), f"{len(lines)} lines; at most {limit}")


def check_lines(tree, path, lines):
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            tree.report(path, number, "trailing space")
        if OPEN_TASK.search(line):
            tree.report(path, number, "an open task belongs in the tracker")
        for match in ABSOLUTE_PATH.finditer(line):
            if match.group(1) not in SYSTEM_FOLDERS:
                tree.report(path, number, f"a path of one machine: /{match.group(1)}/...")
        if path.suffix in CPP:
            if ENVIRONMENT.search(line):
                tree.report(path, number, "configuration comes from flags, not from the environment")
            if NOLINT.search(line) and not NOLINT_WITH_REASON.search(line):
                tree.report(path, number, "NOLINT gives a reason: NOLINT(check): because ...")
            for folder, pattern in FORBIDDEN_INCLUDES:
                if str(path).startswith(folder) and pattern.search(line):
                    tree.report(path, number, f"{folder} may not include this")


def check_guard(tree, path, lines):
    guard = "FLASHCORE_" + re.sub(r"\W", "_", str(path)).upper() + "_"
    text = "\n".join(lines)
    ends = (f"#endif  // {guard}", f"#endif /* {guard} */")  # The latter in headers for C.
    if f"#ifndef {guard}\n#define {guard}\n" not in text or not text.rstrip().endswith(ends):
        tree.report(path, 1, f"the include guard should be {guard}")


def check_cpp_functions(tree, path, lines):
    """Every block that opens after a parameter list. Formatted code only: a brace opens at the end of its line."""
    stack = []
    for number, line in enumerate(lines, 1):
        code = LITERALS.sub("", line).rstrip()
        for character in code:
            if character == "{":
                stack.append(None)
            elif character == "}" and stack:
                opened = stack.pop()
                if opened is not None:
                    report_long_function(tree, path, opened, number, lines)
        if stack and BLOCK_OPENS.search(code) and not CONTROL.match(code):
            stack[-1] = number


def report_long_function(tree, path, first, last, lines):
    signature = "\n".join(lines[max(0, first - 6):first])
    limit = MAX_KERNEL_LINES if KERNEL_BODY.search(signature) else MAX_FUNCTION_LINES
    if last - first + 1 > limit:
        tree.report(path, first, f"a function of {last - first + 1} lines; at most {limit}")


def check_python_functions(tree, path, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                tree.report(path, node.lineno, f"a function of {length} lines; at most {MAX_FUNCTION_LINES}")


def check_registered(tree, path):
    folders = (ROOT / path.parent, ROOT / path.parent.parent)
    named = [file.read_text(encoding="utf-8") for folder in folders
             for file in [folder / "CMakeLists.txt", *folder.glob("*.cmake")] if file.is_file()]
    names = [re.escape(path.name)]
    if path.name.endswith("_test.cc") and any(re.search(r"\$\{\w+\}_test\.cc", text) for text in named):
        names.append(re.escape(path.name.removesuffix("_test.cc")))  # A loop over tests names them so.
    if not any(re.search(rf"(?<![\w-])({'|'.join(names)})(?![\w-])", text) for text in named):
        tree.report(path, 1, "not named in a CMakeLists.txt: nothing builds it")


def anchors(text):
    """What a link into a page can name, as code hosts derive it from the headings."""
    headings = [line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def check_links(tree, path, lines):
    for number, line in enumerate(lines, 1):
        for file, anchor in LINK.findall(line):
            target = ROOT / path.parent / file if file else ROOT / path
            if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                tree.report(path, number, f"a link that leads nowhere: {file}#{anchor}")


def check_root(tree):
    for entry in sorted({path.parts[0] for path in tree.paths}):
        if entry not in ROOT_ENTRIES and not entry.startswith("."):
            tree.report(entry, 1, "the root holds only " + ", ".join(sorted(ROOT_ENTRIES)))


def main():
    tree = Tree()
    check_root(tree)
    for path in tree.paths:
        if path.suffix not in CODE | {".md", ".txt", ".cmake", ".json", ".proto"} or "results" in path.parts:
            continue
        text = tree.text(path)
        lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
        if text and not text.endswith("\n"):
            tree.report(path, len(lines), "no newline at the end")
        check_lines(tree, path, lines)
        if path.suffix == ".md":
            check_links(tree, path, lines)
        if path.suffix in CODE:
            check_length(tree, path, lines)
        if path.suffix in CPP:
            check_cpp_functions(tree, path, lines)
        # Highway compiles an -inl.h once for each instruction set: its guard is of another kind.
        if path.suffix in HEADERS and not path.stem.endswith("-inl"):
            check_guard(tree, path, lines)
        if path.suffix in BUILT:
            check_registered(tree, path)
        if path.suffix == ".py":
            check_python_functions(tree, path, text)
    print("\n".join(tree.violations + [f"{len(tree.paths)} files, {len(tree.violations)} violations"]))
    sys.exit(bool(tree.violations))


if __name__ == "__main__":
    main()
