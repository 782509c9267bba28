"""What the demo is made of: its data, its designs and its recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtlgrad.cli import demo
from rtlgrad.core.errors import DataError
from rtlgrad.cosim.design import references, verilog_files

RTL = Path(__file__).parents[2] / "rtl"


def test_the_demo_s_designs_are_in_rtl() -> None:
    names = {design.name for path in verilog_files(RTL) for design in references(path)}
    assert set(demo.DESIGNS) <= names
    # The exact one, and at least four others, signed and unsigned.
    assert demo.DESIGNS[0] == "mul8u_exact"
    assert len(demo.DESIGNS) >= 5


def test_without_its_data_set_it_says_so_and_takes_the_digits(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    load = demo.load_data

    def absent(name: str, root: Path | None = None) -> object:
        if name == "fashion-mnist":
            raise DataError("no file train-images", remedy="apt install dataset-fashion-mnist")
        return load(name, root)

    monkeypatch.setattr(demo, "load_data", absent)
    data = demo._load_data(None)
    said = capfd.readouterr().err
    assert data.name == "digits"
    assert "apt install dataset-fashion-mnist" in said
    assert "going on with the digits" in said


def test_retraining_begins_with_the_fp32_run() -> None:
    config = demo._retraining("fashion-mnist", "mul8u_trunc8", Path("out/demo/fp32"))
    assert config.init == "out/demo/fp32"
    assert config.design == "mul8u_trunc8"
