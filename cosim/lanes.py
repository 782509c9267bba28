"""Writes the SystemVerilog around a batch of designs: one lane each, and a top that holds them."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from ..core.files import sha256_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .interface import Interface

TOP = "rtlgrad_sweep"
_TEMPLATE = "sweep_lane.sv"
_TEST = "sweep.py"


@dataclass(frozen=True, slots=True)
class Lane:
    """One design's place in a model.

    Attributes:
        index: its number in the model.
        interface: its ports.
        overrides: the parameters to pass, by name.
    """

    index: int
    interface: Interface
    overrides: dict[str, int]

    @property
    def rows(self) -> int:
        """Number of codes of operand a."""
        return 1 << self.interface.a.width

    @property
    def columns(self) -> int:
        """Number of codes of operand b."""
        return 1 << self.interface.b.width

    @property
    def field_bytes(self) -> int:
        """Bytes that an output takes in a row: 1, 2, 4 or 8."""
        return next(size for size in (1, 2, 4, 8) if 8 * size >= self.interface.out.width)


def write_model(folder: Path, lanes: Sequence[Lane]) -> list[Path]:
    """Write the lanes and the top module into a folder; return the files, top last."""
    template = Template(_read(_TEMPLATE).decode())
    files = []
    for lane in lanes:
        file = folder / f"lane_{lane.index}.sv"
        file.write_text(template.substitute(_fields(lane)))
        files.append(file)
    top = folder / f"{TOP}.sv"
    instances = "\n".join(f"  rtlgrad_lane_{lane.index} lane_{lane.index} ();" for lane in lanes)
    top.write_text(f"`timescale 1us / 1ps\nmodule {TOP};\n{instances}\nendmodule\n")
    return [*files, top]


def testbench_hash() -> str:
    """Return a hash of all that drives the designs: it changes when the testbench does."""
    return sha256_bytes(_read(_TEMPLATE) + b"\0" + _read(_TEST))


def _fields(lane: Lane) -> dict[str, object]:
    interface = lane.interface
    passed = ", ".join(f".\\{name} ({value})" for name, value in sorted(lane.overrides.items()))
    return {
        "index": lane.index,
        "width_a": interface.a.width,
        "width_b": interface.b.width,
        "width_out": interface.out.width,
        "field_bits": 8 * lane.field_bytes,
        "module": interface.module,
        "overrides": f"#({passed})" if passed else "",
        "port_a": interface.a.name,
        "port_b": interface.b.name,
        "port_out": interface.out.name,
    }


def _read(name: str) -> bytes:
    return importlib.resources.files("rtlgrad.testbenches").joinpath(name).read_bytes()
