#!/usr/bin/python3
"""ptxas_gate.py on output as ptxas writes it: what it must let through, and what it must not."""

import json
import unittest

import ptxas_gate

OUTPUT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4fineN' for 'sm_89'
ptxas info    : Function properties for _Z4fineN
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 128 bytes smem, 3568 bytes cmem[0]
ptxas info    : Compiling entry function '_Z6spillsN' for 'sm_89'
ptxas info    : Function properties for _Z6spillsN
    136 bytes stack frame, 148 bytes spill stores, 728 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 136 bytes cumulative stack size
"""

L4 = {"registers_per_sm": 65536, "threads_per_sm": 1536, "shared_bytes_per_sm": 102400,
      "shared_bytes_reserved_per_block": 1024}
LIMITS = {"Fine<": {"spill_bytes": 0, "registers": 128, "shared_bytes": 50000, "threads": 256, "blocks_per_sm": 2},
          "Fused<": {"spill_bytes": 0, "registers": 255, "shared_bytes": 101376}}
RESOURCES = {"Tile<64, 0>": {"threads": 128, "dynamic_shared_bytes": 49000, "blocks_per_sm": 2}}


def measured(**changes):
    return {"spill_bytes": 0, "registers": 128, "shared_bytes": 128} | changes


def excesses(name, measured_kernel, limits=None, resources=None):
    return ptxas_gate.excesses(name, measured_kernel, limits or LIMITS, resources or RESOURCES, L4)


class ParseTest(unittest.TestCase):
    def test_reads_every_kernel(self):
        self.assertEqual(ptxas_gate.parse(OUTPUT),
                         {"_Z4fineN": {"spill_bytes": 0, "registers": 128, "shared_bytes": 128},
                          "_Z6spillsN": {"spill_bytes": 728, "registers": 255, "shared_bytes": 0}})

    def test_silence_is_no_kernel(self):
        self.assertEqual(ptxas_gate.parse("ptxas info    : 0 bytes gmem\n"), {})


class CompileCommandTest(unittest.TestCase):
    def test_is_the_builds_for_one_architecture(self):
        entry = {"command": "ccache nvcc -O3 --generate-code=arch=compute_89,code=[sm_89] -x cu -c a.cu -o a.o"}
        self.assertEqual(ptxas_gate.compile_command(entry, "sm_89", "b"),
                         ["nvcc", "-O3", "a.cu", "-cubin", "-arch=sm_89", "-Xptxas=-v", "-o", "b"])


class BlocksTest(unittest.TestCase):
    def test_registers_are_given_out_in_steps(self):
        self.assertEqual(ptxas_gate.blocks_that_fit(128, 256, 0, L4), 2)
        self.assertEqual(ptxas_gate.blocks_that_fit(129, 256, 0, L4), 1)
        self.assertEqual(ptxas_gate.blocks_that_fit(255, 128, 0, L4), 2)
        self.assertEqual(ptxas_gate.blocks_that_fit(168, 128, 0, L4), 3)
        self.assertEqual(ptxas_gate.blocks_that_fit(169, 128, 0, L4), 2)

    def test_every_block_takes_a_kilobyte_more(self):
        self.assertEqual(ptxas_gate.blocks_that_fit(32, 128, 49 * 1024, L4), 2)
        self.assertEqual(ptxas_gate.blocks_that_fit(32, 128, 50 * 1024, L4), 1)
        self.assertEqual(ptxas_gate.blocks_that_fit(32, 128, 99 * 1024, L4), 1)
        self.assertEqual(ptxas_gate.blocks_that_fit(32, 128, 100 * 1024, L4), 0)

    def test_threads_are_bounded(self):
        self.assertEqual(ptxas_gate.blocks_that_fit(16, 1024, 0, L4), 1)


class ExcessesTest(unittest.TestCase):
    def test_what_keeps_to_its_limits_passes(self):
        self.assertEqual(excesses("Fine<1>", measured()), [])
        self.assertEqual(excesses("Fused<Tile<64, 0>>", measured(registers=255)), [])

    def test_a_kernel_without_limits_fails(self):
        self.assertIn("no limits", excesses("New<1>", measured())[0])

    def test_a_fused_kernel_without_a_tile_fails(self):
        self.assertIn("how many threads", excesses("Fused<Tile<80, 0>>", measured())[0])

    def test_spills_registers_and_memory(self):
        self.assertEqual(excesses("Fine<1>", measured(spill_bytes=4)), ["spill_bytes 4 > 0"])
        self.assertIn("registers 136 > 128", excesses("Fine<1>", measured(registers=136)))
        self.assertIn("shared_bytes 60000 > 50000", excesses("Fine<1>", measured(shared_bytes=60000)))

    def test_dynamic_shared_memory_counts(self):
        large = {"Tile<64, 0>": {"threads": 128, "dynamic_shared_bytes": 101376, "blocks_per_sm": 1}}
        self.assertIn("shared_bytes 101504 > 101376", excesses("Fused<Tile<64, 0>>", measured(), resources=large))

    def test_blocks_that_the_plan_counts_on_must_fit(self):
        three = {"Tile<64, 0>": {"threads": 128, "dynamic_shared_bytes": 1024, "blocks_per_sm": 3}}
        self.assertEqual(excesses("Fused<Tile<64, 0>>", measured(registers=168), resources=three), [])
        self.assertIn("2 blocks fit on a multiprocessor instead of 3",
                      excesses("Fused<Tile<64, 0>>", measured(registers=176), resources=three)[0])

    def test_the_last_pattern_counts(self):
        limits = LIMITS | {"Fine<1>": LIMITS["Fine<"] | {"registers": 100}}
        self.assertEqual(excesses("Fine<1>", measured(), limits), ["registers 128 > 100"])
        self.assertEqual(excesses("Fine<2>", measured(), limits), [])


class LimitsFileTest(unittest.TestCase):
    def test_is_strict(self):
        limits = json.loads(ptxas_gate.LIMITS.read_text(encoding="utf-8"))
        self.assertIn("sm_89", limits["architectures"])
        for pattern, limit in limits["kernels"].items():
            self.assertEqual(limit["spill_bytes"], 0, pattern)
            self.assertLessEqual(limit["registers"], 255, pattern)
            # What a block of compute capability 8.9 can have.
            self.assertLessEqual(limit["shared_bytes"], 99 * 1024, pattern)
            self.assertIsNone(ptxas_gate.last_match("AnyOther<1>", {pattern: limit}))


if __name__ == "__main__":
    unittest.main()
