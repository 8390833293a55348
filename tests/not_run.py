#!/usr/bin/python3
"""Says, one line for each reason, which tests skipped themselves, from the JUnit file that CTest writes."""

import collections
import re
import sys
import xml.etree.ElementTree as ElementTree

# GoogleTest says "file:line: Skipped", then what GTEST_SKIP() was given.
GTEST_SKIP = re.compile(r": Skipped\n(.*)\n")


def skip_reasons(case):
    """The reasons of one CTest test: one for each GoogleTest case that skipped, or the script's own last line."""
    output = case.findtext("system-out") or ""
    reasons = [reason.strip() or "no reason given" for reason in GTEST_SKIP.findall(output)]
    if not reasons and case.get("status") in ("notrun", "disabled"):
        lines = output.strip().splitlines()
        reasons = [lines[-1] if lines else "no reason given"]
    return reasons


def main():
    counts = collections.Counter()
    try:
        cases = ElementTree.parse(sys.argv[1]).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError) as error:
        sys.exit(f"cannot read the test results: {error}")
    for case in cases:
        for reason in skip_reasons(case):
            counts[case.get("name"), reason] += 1
    for (name, reason), count in sorted(counts.items()):
        print(f"skipped: {name} ({count} case{'s' if count > 1 else ''}): {reason}")
    if not counts:
        print("no test skipped itself")


if __name__ == "__main__":
    main()
