"""The portable kernels on aarch64: a sample of the engine's tests; `make test-aarch64` runs them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from emulated import missing_tools

SAMPLE = "single_pixel or greatest_digits or outside_the_table or overflow_between or one_product"


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")
def test_portable_kernels_compute_as_specified_on_aarch64():
    script = Path(__file__).parents[2] / "scripts" / "aarch64.py"
    done = subprocess.run(
        [sys.executable, str(script), "-k", SAMPLE],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
