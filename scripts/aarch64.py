"""Runs the native engine's tests on its portable kernels compiled for aarch64, under QEMU.

It needs g++ for aarch64 and QEMU's user mode (Debian: g++-aarch64-linux-gnu, qemu-user-static). The tests and
the specification run on this machine, every call of the library in the emulator (tests/aarch64/emulated.py).
Exits with status 1 if a test fails or a tool is missing. Arguments are passed on to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMULATED = ROOT / "tests" / "aarch64"
TESTS = (
    *("tests/nn/test_engine_routes.py", "tests/nn/test_engine_mantissa.py"),
    *("tests/nn/test_lowrank_route.py", "tests/nn/test_fused_layers.py"),
)
# What a process of its own, another library or another instruction set would decide.
_NOT_OF_THE_KERNELS = (
    "not memory and not compiler and not failing and not machines and not share_no "
    "and not instruction_set and not calibrat"
)


def main(arguments: list[str]) -> int:
    """Run the tests and return pytest's exit status."""
    sys.path.insert(0, str(EMULATED))
    from emulated import build_driver, missing_tools

    missing = missing_tools()
    if missing:
        print(
            f"not found: {', '.join(missing)}; install g++-aarch64-linux-gnu and qemu-user-static"
        )
        return 1
    build_driver()
    paths = os.pathsep.join([str(EMULATED), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "emulated", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *TESTS, "-k", _NOT_OF_THE_KERNELS, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
