"""Stand-ins for programs that this machine lacks: executable scripts in a folder that goes first on PATH."""

import itertools
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What nvidia-smi says of a healthy L4.
L4 = {
    "driver_version": "580.82.07",
    "name": "NVIDIA L4",
    "memory.total": "23034",
    "compute_cap": "8.9",
    "persistence_mode": "Enabled",
    "temperature.gpu": "41",
}


# Missing, unless a test fakes them, whatever this machine has.
HIDDEN = {"nvidia-smi", "nvidia-ctk", "docker", "nvcc", "ncu", "gcloud"}


class FakeMachine(unittest.TestCase):
    """A test with a folder of its own, `self.folder`, and a PATH on which the fakes shadow what is really there."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.system = pathlib.Path(temporary.name)
        for program in itertools.chain.from_iterable(pathlib.Path(folder).iterdir() for folder in ("/usr/bin", "/usr/sbin")):
            if program.name not in HIDDEN and not (cls.system / program.name).is_symlink():
                (cls.system / program.name).symlink_to(program)

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()

    def fake(self, name, script):
        path = self.bin / name
        path.write_text("#!/bin/bash\n" + script)
        path.chmod(0o755)
        return path

    def fake_nvidia_smi(self, gpu):
        """`gpu` has the answers to --query-gpu; None: the driver finds no GPU."""
        if gpu is None:
            self.fake("nvidia-smi", "echo 'No devices were found'\nexit 6\n")
            return
        answers = "".join(f"  {field}) echo '{value}' ;;\n" for field, value in gpu.items())
        self.fake("nvidia-smi", f"""
if [[ "$1" == -L ]]; then echo 'GPU 0: {gpu["name"]} (UUID: GPU-0)'; exit 0; fi
if [[ "$1" == dmon ]]; then echo "dmon $*"; exec sleep 600; fi
for argument in "$@"; do
  [[ "$argument" != --query-gpu=* ]] || field="${{argument#*=}}"
done
case "$field" in
{answers}  *) echo '[N/A]' ;;
esac
""")

    def fake_toolkit(self, prefix, version):
        """A CUDA Toolkit in prefix/cuda-VERSION."""
        nvcc = self.folder / prefix / f"cuda-{version}" / "bin" / "nvcc"
        nvcc.parent.mkdir(parents=True)
        nvcc.write_text(f"#!/bin/bash\necho 'Cuda compilation tools, release {version}, V{version}.1'\n")
        nvcc.chmod(0o755)
        return nvcc.parent.parent

    def environment(self, **more):
        return {"PATH": f"{self.bin}:{self.system}", "HOME": str(self.folder), "LANG": "C.UTF-8",
                "FLASHCORE_CUDA_PREFIX": str(self.folder / "toolkits"), "TMPDIR": os.fspath(self.folder), **more}

    def run_script(self, script, *arguments, **environment):
        return subprocess.run(["bash", ROOT / script, *arguments], env=self.environment(**environment), text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
