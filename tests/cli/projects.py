"""A folder with a small design and a network trained through it, and ways to spoil it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.cli.main import main
from rtlgrad.core.files import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from pathlib import Path

DESIGN = """\
module low(input [3:0] A, input [3:0] B, output [7:0] O);
  assign O = (A * B) & 8'b11111110;
endmodule
"""
SIDECAR = 'title = "Exact product without its lowest bit"\n'


def rtlgrad(folder: Path, *arguments: str) -> int:
    """Run the command in a folder and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["rtlgrad", *arguments])
        try:
            main()
        except SystemExit as ended:
            return int(str(ended.code or 0))
    return 0


def said(
    capfd: pytest.CaptureFixture[str], folder: Path, *arguments: object
) -> tuple[int, str, str]:
    """Run the command in a folder; return exit status, standard output, standard error."""
    capfd.readouterr()
    status = rtlgrad(folder, *map(str, arguments))
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    return status, captured.out, captured.err


def characterized(folder: Path) -> None:
    """Write the design into a folder and characterize it."""
    (folder / "rtl").mkdir()
    (folder / "rtl" / "low.v").write_text(DESIGN)
    (folder / "rtl" / "low.toml").write_text(SIDECAR)
    assert rtlgrad(folder, "lut") == 0


def trained(folder: Path, *options: str) -> None:
    """Train a small network through the design, in ``run``."""
    network = ["--model", "lenet5", "--data", "digits"]
    size = ["--limit-train", "80", "--limit-test", "50", "--batch-size", "32"]
    run = ["--design", "low", "--epochs", "1", "--out", "run"]
    assert rtlgrad(folder, "train", *network, *size, *run, *options) == 0


def flip(folder: Path, a: int, b: int, mask: int) -> None:
    """Flip bits of a table entry in the store and make every hash fit."""
    place = folder / "out" / "luts" / "low"
    table = np.load(place / "table.npy")
    table[a, b] ^= mask
    np.save(place / "table.npy", table)
    record = json.loads((place / "record.json").read_text())
    header = f"{table.shape}|False|False|int32-le|".encode()
    digest = sha256_bytes(header + table.tobytes())
    record["identity"]["table"] = record["table"]["sha256"] = digest
    record["id"] = sha256_bytes(canonical_json(record["identity"]).encode())
    content = {key: value for key, value in record.items() if key != "checksum"}
    record["checksum"] = sha256_bytes(canonical_json(content).encode())
    (place / "record.json").write_text(json.dumps(record))
