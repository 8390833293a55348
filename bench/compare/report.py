"""Rows of results as a table, and the ratios that sum them up."""

import math


def nan_last(value):
    """A sort key that makes NaN the largest error of all."""
    return math.inf if math.isnan(value) else value


def _ratio(results, incumbent, kernel):
    """How many times as long the incumbent takes; None where one of them has no time."""
    theirs, ours = results.get(incumbent, {}), results.get(kernel, {})
    if "median_us" not in theirs or "median_us" not in ours or ours["verdict"] != "correct":
        return None
    return theirs["median_us"] / ours["median_us"]


def ratios(rows, kernels, incumbents):
    """Geometric mean, least ratio and its shape, for each kernel and incumbent."""
    summary = {}
    for kernel in kernels:
        for incumbent in incumbents:
            known = [(ratio, row["shape"]) for row in rows
                     if (ratio := _ratio(row["results"], incumbent, kernel)) is not None]
            if known:
                mean = math.exp(sum(math.log(ratio) for ratio, _ in known) / len(known))
                least, shape = min(known)
                summary[f"{incumbent}/{kernel}"] = {"geometric_mean": mean, "least": least, "least_shape": shape,
                                                    "shapes": len(known)}
    return summary


def all_correct(sections, kernels):
    """Whether no FlashCore result is wrong; what is unsupported is not wrong."""
    return all(row["results"][kernel]["verdict"] != "WRONG"
               for section in sections for row in section["rows"] for kernel in kernels)


def _time(result):
    if "median_us" not in result:
        return result.get("verdict", "-")
    mark = "" if result["verdict"] == "correct" else " " + result["verdict"]
    return f"{result['median_us']:.2f} ({result['tflops']:.0f}){mark}"


def progress(row):
    return "  ".join(f"{name} {_time(result)}" for name, result in row["results"].items())


def _check(row, result):
    if "error" not in result:
        return result["verdict"] + ": " + result.get("reason", "")
    return f"{result['verdict']}, error {result['error']:.1e} of {row['tolerance']:.1e}"


def _lines(cells):
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def _table(section, kernels, incumbents):
    cells = [["shape", "kernel", "ours", *incumbents, *(f"{name}/ours" for name in incumbents), "check of ours"]]
    for row in section["rows"]:
        results = row["results"]
        for kernel in kernels:
            known = [_ratio(results, name, kernel) for name in incumbents]
            cells.append([row["shape"], kernel, _time(results[kernel]),
                          *(_time(results.get(name, {})) for name in incumbents),
                          *("-" if ratio is None else f"{ratio:.2f}" for ratio in known),
                          _check(row, results[kernel])])
    return _lines(cells)


def text(record, kernels, incumbents):
    """Everything for people; times are medians in microseconds per call, TFLOP/s in brackets."""
    lines = ["", f"{record['device']}, {record['sm_count']} SMs, driver {record.get('driver_version', 'unknown')}, SM "
             f"clock {record.get('clocks.sm', 'unknown')} of {record.get('clocks.max.sm', 'unknown')}; PyTorch "
             f"{record['torch']}, CUDA {record['cuda']}, cuDNN {record['cudnn']}; commit {record['commit']}",
             "us per call (TFLOP/s), medians"]
    for section in record["sections"]:
        lines += ["", section["title"], *_table(section, kernels, incumbents)]
        for pair, ratio in section["ratios"].items():
            lines.append(f"{pair}: geometric mean {ratio['geometric_mean']:.3f} over {ratio['shapes']} shapes, least "
                         f"{ratio['least']:.3f} at {ratio['least_shape']}")
    return "\n".join(lines + [f"FAILED: {failure}" for failure in record["failures"]])
