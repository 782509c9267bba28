"""A model is compiled with the interpreter that runs rtlgrad, whatever else `python` may be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rtlgrad.cosim.simulation.simulator import Simulator, build

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_no_other_python_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a Debian machine whose only `python` is the one in the environment.
    wrong = tmp_path / "bin" / "python"
    wrong.parent.mkdir()
    wrong.write_text("#!/bin/sh\nexit 127\n")
    wrong.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrong.parent}{os.pathsep}{os.environ['PATH']}")
    source = tmp_path / "top.sv"
    source.write_text("module top;\n  logic bit_ /*verilator public_flat_rd*/ = 0;\nendmodule\n")
    _, done = build(Simulator.VERILATOR, [source], "top", tmp_path, jobs=1, limit_s=300)
    assert done.ok, done.output
