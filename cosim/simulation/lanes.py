"""Writes the SystemVerilog around a batch of designs: one lane each, and a top that holds them."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from ...core.files import sha256_bytes
from ..interface import RESET_CYCLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..interface import Interface

TOP = "rtlgrad_sweep"
_TEMPLATE = "sweep_lane.sv"
_CLOCKED_TEMPLATE = "sweep_clocked.sv"
_CLOCKED_PART = "clocked.svh"
_TEST = "sweep.py"
_LIVE = ("live.sv", "live.py")


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
    files = []
    for lane in lanes:
        clocked = lane.interface.clocking is not None
        template = Template(_read(_CLOCKED_TEMPLATE if clocked else _TEMPLATE).decode())
        file = folder / f"lane_{lane.index}.sv"
        file.write_text(template.substitute(_fields(lane)))
        files.append(file)
    top = folder / f"{TOP}.sv"
    instances = "\n".join(f"  rtlgrad_lane_{lane.index} lane_{lane.index} ();" for lane in lanes)
    top.write_text(f"`timescale 1us / 1ps\nmodule {TOP};\n{instances}\nendmodule\n")
    return [*files, top]


def testbench_hash() -> str:
    """Return a hash of all that drives the designs: it changes when the testbench does."""
    parts = (_TEMPLATE, _CLOCKED_TEMPLATE, _CLOCKED_PART, _TEST, *_LIVE)
    return sha256_bytes(b"\0".join(_read(part) for part in parts))


def clocked_part(interface: Interface, overrides: Mapping[str, int], index: int) -> str:
    """Return the SystemVerilog that holds a clocked design and drives it; see clocked.svh.

    Args:
        interface: its ports.
        overrides: the parameters to pass, by name.
        index: number by which the simulation's arguments name it.
    """
    clocking = interface.clocking
    if clocking is None:
        raise ValueError(f"{interface.module} has no clock")
    signals = [(clocking.clock, "clk", clocking.falling)]
    for control, signal in ((clocking.reset, "reset"), (clocking.start, "start")):
        if control is not None:
            signals.append((control.name, signal, control.active_low))
    signals += [(control.name, "1'b1", control.active_low) for control in clocking.enables]
    ports = [f"      .\\{name} ({'~' * inverted}{signal})" for name, signal, inverted in signals]
    done = "  wire done = 1'b0;"
    if clocking.done is not None:
        ports.append(f"      .\\{clocking.done} (done_pin)")
        done = f"  wire done_pin;\n  wire done = {'~' * clocking.done_active_low}done_pin;"
    return Template(_read(_CLOCKED_PART).decode()).substitute(
        **_ports(interface, overrides),
        index=index,
        control_ports=",\n".join(ports),
        done_wires=done,
        reset_cycles=RESET_CYCLES,
    )


def _fields(lane: Lane) -> dict[str, object]:
    fields = {
        "index": lane.index,
        "field_bits": 8 * lane.field_bytes,
        **_ports(lane.interface, lane.overrides),
    }
    if lane.interface.clocking is not None:
        fields["clocked"] = clocked_part(lane.interface, lane.overrides, lane.index)
        fields["has_done"] = f"1'b{int(lane.interface.clocking.done is not None)}"
    return fields


def _ports(interface: Interface, overrides: Mapping[str, int]) -> dict[str, object]:
    passed = ", ".join(f".\\{name} ({value})" for name, value in sorted(overrides.items()))
    return {
        "width_a": interface.a.width,
        "width_b": interface.b.width,
        "width_out": interface.out.width,
        "module": interface.module,
        "overrides": f"#({passed})" if passed else "",
        "port_a": interface.a.name,
        "port_b": interface.b.name,
        "port_out": interface.out.name,
    }


def _read(name: str) -> bytes:
    return importlib.resources.files("rtlgrad.testbenches").joinpath(name).read_bytes()
