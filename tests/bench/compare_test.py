#!/usr/bin/python3
"""What bench/compare_torch.py does without a GPU and without PyTorch, which is not imported: a stand-in is."""

import math
import pathlib
import sys
import types
import unittest
import unittest.mock

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
for module in ("torch", "torch.nn", "torch.nn.attention", "torch.nn.functional"):
    sys.modules[module] = unittest.mock.MagicMock()

import compare_torch
from compare import report, shapes, timing

SEED = 7


def sees(shape, row, key):
    """The rule of kernels/attention.h, word for word."""
    aligned = row + shape.kv_len - shape.q_len
    return ((not shape.causal or key <= aligned)
            and (shape.window_left < 0 or aligned - shape.window_left <= key)
            and (shape.window_right < 0 or key <= aligned + shape.window_right))


class ShapesTest(unittest.TestCase):
    def test_every_shape_is_what_it_prints(self):
        known = [shape for name in shapes.SETS for shape in shapes.parse_shapes(name)]
        for shape in known + shapes.random_shapes(100, SEED):
            self.assertEqual(shapes.parse_shape(str(shape)), shape)

    def test_what_is_no_shape_is_refused(self):
        for text in ("1,8,512", "1,8,512,64,steam", "1,8,512,64,kv_heads=3", "1,8,512,64,causal=yes"):
            with self.assertRaises(ValueError, msg=text):
                shapes.parse_shape(text)

    def test_visible_keys_and_flops_follow_the_rule(self):
        for text in ("1,1,7,8", "1,1,7,8,causal", "1,1,7,8,causal,kv_len=3", "2,4,5,8,kv_len=11,kv_heads=2,causal",
                     "1,1,9,8,window=2:1", "1,1,4,8,kv_len=20,window=3:", "1,1,6,8,window=:0,kv_len=2"):
            shape = shapes.parse_shape(text)
            pairs = [[sees(shape, row, key) for key in range(shape.kv_len)] for row in range(shape.q_len)]
            begin, end = shape.visible_keys(np.arange(shape.q_len))
            for row, expected in enumerate(pairs):
                self.assertEqual([begin[row] <= key < end[row] for key in range(shape.kv_len)], expected, text)
            count = sum(map(sum, pairs))
            self.assertEqual(shape.flops(), 4.0 * shape.batch * shape.num_qo_heads * count * shape.head_dim, text)

    def test_random_shapes_are_legal_and_repeatable(self):
        drawn = shapes.random_shapes(200, SEED)
        self.assertEqual(shapes.random_shapes(50, SEED), drawn[:50])
        self.assertNotEqual(shapes.random_shapes(50, SEED + 1), drawn[:50])
        for shape in drawn:
            self.assertEqual(shape.head_dim % 8, 0)
            self.assertLessEqual(shape.head_dim, 256)
            self.assertEqual(shape.num_qo_heads % shape.num_kv_heads, 0)
            self.assertGreaterEqual(min(shape.q_len, shape.kv_len), 1)
        for option in ("causal", "bf16", "bshd", "windowed", "soft_cap"):
            self.assertEqual({bool(getattr(shape, option)) for shape in drawn}, {True, False}, option)


def row(shape, ours, theirs, verdict="correct"):
    return {"shape": shape, "tolerance": 1e-3,
            "results": {"auto": {"verdict": verdict, "median_us": ours, "tflops": 1.0, "error": 1e-4},
                        "fa2": {"verdict": "correct", "median_us": theirs, "tflops": 1.0, "error": 1e-4}}}


class ReportTest(unittest.TestCase):
    def test_ratios_are_geometric_and_name_the_least(self):
        summary = report.ratios([row("a", 1.0, 4.0), row("b", 2.0, 2.0)], ["auto"], ["fa2", "cudnn"])
        self.assertEqual(list(summary), ["fa2/auto"])
        self.assertAlmostEqual(summary["fa2/auto"]["geometric_mean"], 2.0)
        self.assertEqual(summary["fa2/auto"]["least_shape"], "b")
        self.assertEqual(summary["fa2/auto"]["shapes"], 2)

    def test_what_is_wrong_has_no_ratio_and_spoils_the_run(self):
        rows = [row("a", 1.0, 4.0), row("b", 0.1, 9.0, "WRONG")]
        self.assertEqual(report.ratios(rows, ["auto"], ["fa2"])["fa2/auto"]["shapes"], 1)
        self.assertFalse(report.all_correct([{"rows": rows}], ["auto"]))
        self.assertTrue(report.all_correct([{"rows": rows[:1]}], ["auto"]))

    def test_nan_is_the_largest_error(self):
        self.assertTrue(math.isnan(max([1.0, math.nan, 2.0], key=report.nan_last)))

    def test_the_text_has_device_ratios_and_failures(self):
        rows = [row("1,8,512,64", 5.0, 10.0)]
        section = {"title": "whole device", "rows": rows, "ratios": report.ratios(rows, ["auto"], ["fa2"])}
        text = report.text({"device": "A GPU", "sm_count": 58, "torch": "2", "cuda": "13", "cudnn": 9, "commit": "abc",
                            "sections": [section], "failures": ["the slice is too small"]}, ["auto"], ["fa2"])
        for part in ("A GPU, 58 SMs", "commit abc", "geometric mean 2.000", "FAILED: the slice is too small"):
            self.assertIn(part, text)


class SectionsTest(unittest.TestCase):
    @staticmethod
    def arguments(**changes):
        return types.SimpleNamespace(**({"random": 0, "seed": SEED, "slice_only": False, "sm_count": 56, "quick": True,
                                         "shapes": None, "slice_shapes": "slice"} | changes))

    def test_whole_device_then_slice(self):
        sections = compare_torch.sections_of(self.arguments())
        self.assertEqual([sm_count for _, _, sm_count in sections], [0, 56])
        self.assertEqual(sections[0][1], shapes.parse_shapes("grid"))
        self.assertEqual(len(compare_torch.sections_of(self.arguments(sm_count=0))), 1)

    def test_random_shapes_replace_both(self):
        (title, drawn, sm_count), = compare_torch.sections_of(self.arguments(random=5))
        self.assertIn(str(SEED), title)
        self.assertEqual((drawn, sm_count), (shapes.random_shapes(5, SEED), 0))
        (_, drawn, sm_count), = compare_torch.sections_of(self.arguments(random=5, slice_only=True))
        self.assertEqual((len(drawn), sm_count), (5, 56))


class TimingTest(unittest.TestCase):
    def test_summarises_by_the_median(self):
        summary = timing.summarize([1.0, 2.0, 3.0, 4.0, 100.0])
        self.assertEqual((summary.median_us, summary.timings), (3.0, 5))
        self.assertLess(summary.p10_us, summary.p90_us)


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main()
