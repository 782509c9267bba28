"""Spoiled designs, a few at a time; `make fuzz` does hundreds."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import fuzz
import numpy as np
import pytest
from icarus import icarus_codes
from spoil import mutate

if TYPE_CHECKING:
    from pathlib import Path

SEED = 7
FILES = 12


@pytest.mark.slow
def test_a_spoiled_design_gives_a_right_table_or_a_clear_error(tmp_path: Path) -> None:
    verdicts = fuzz.run_batch(list(range(FILES)), SEED, tmp_path, jobs=2)
    assert [verdict.number for verdict in verdicts] == list(range(FILES))
    failed = [verdict for verdict in verdicts if verdict.verdict not in fuzz.PASSED]
    assert not failed, failed
    # The mutations are neither all harmless nor all deadly.
    found = {verdict.verdict for verdict in verdicts}
    assert "refused" in found
    if shutil.which("iverilog"):
        assert "confirmed" in found


def test_one_seed_spoils_in_one_way() -> None:
    text = b"module m(input [3:0] A, B, output [7:0] O);\nassign O = A * B;\nendmodule\n"
    once, again = ([mutate(text, "m.v", random.Random(n)) for n in range(50)] for _ in range(2))
    assert once == again
    assert len(set(once)) > 25


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_a_wrong_table_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "m.v"
    path.write_text("module m(input [1:0] A, B, output [3:0] O); assign O = A * B + 1; endmodule\n")
    port = {"name": "A", "width": 2, "signed": False}
    interface = {
        "module": "m",
        "a": port,
        "b": {**port, "name": "B"},
        "out": {**port, "name": "O", "width": 4},
        "parameters": {},
    }
    codes = icarus_codes(path, interface, tmp_path)
    assert np.array_equal(codes, np.outer(np.arange(4), np.arange(4)) + 1)
    store = tmp_path / "tables" / "m"
    store.mkdir(parents=True)
    record = {"interface": interface, "table": {}, "cost": {}}
    for off, verdict in ((0, "confirmed"), (1, "failed")):
        table = np.asarray(codes, np.int32)
        table[3, 3] += off
        np.save(store / "table.npy", table)
        assert fuzz.judge(0, path, {"record": record}, store.parent).verdict == verdict
