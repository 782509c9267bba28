"""Looks at the registers of a clocked design: all of them must listen to the declared clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..interface import Clocking

_REGISTERS = (
    *("$dff", "$dffe", "$adff", "$adffe", "$sdff", "$sdffe", "$sdffce"),
    *("$aldff", "$aldffe", "$dffsr", "$dffsre"),
)
_LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr")
_INVERTERS = ("$not", "$logic_not", "$_NOT_")
_BUFFERS = ("$pos", "$buf", "$_BUF_")


@dataclass(frozen=True, slots=True)
class Unfit:
    """A storage cell that cannot be taken.

    Attributes:
        what: what is wrong with it.
        signal: the signals that it drives.
        place: where in the source it comes from, as Yosys names it; may be empty.
        remedy: what to do about it.
    """

    what: str
    signal: str
    place: str
    remedy: str


@dataclass(slots=True)
class _Module:
    cells: Mapping[str, Any]
    ports: Mapping[str, Any]
    names: dict[object, str] = field(default_factory=dict)
    drivers: dict[object, Any] = field(default_factory=dict)


def unfit_registers(structure: Path, clocking: Clocking) -> list[Unfit]:
    """Return the storage cells that are not registers on the active edge of the clock.

    The clock may go through inverters and buffers on its way.

    Args:
        structure: what ``write_json`` wrote after ``proc``, ``flatten`` and ``memory -nomap``.
        clocking: the design's clock.
    """
    module = _read(structure)
    return list(_unfit(module, clocking))


def _read(structure: Path) -> _Module:
    modules = json.loads(structure.read_text())["modules"]
    tops = [one for one in modules.values() if "top" in one.get("attributes", {})]
    top = (tops or list(modules.values()))[0]
    module = _Module(top.get("cells", {}), top["ports"])
    # Names of the design's own come before those that Yosys makes up.
    for name, net in sorted(top["netnames"].items(), key=lambda item: item[1]["hide_name"]):
        for place, bit in enumerate(net["bits"]):
            label = name if len(net["bits"]) == 1 else f"{name}[{place}]"
            module.names.setdefault(bit, label)
    for cell in module.cells.values():
        if cell["type"] in (*_INVERTERS, *_BUFFERS) and len(cell["connections"]["A"]) == 1:
            module.drivers[cell["connections"]["Y"][0]] = cell
    return module


def _unfit(module: _Module, clocking: Clocking) -> Iterator[Unfit]:
    for cell in module.cells.values():
        kind = cell["type"]
        if kind in _LATCHES:
            remedy = "assign in every branch, or at the clock edge alone"
            yield _report(module, cell, "a latch", remedy)
        elif kind in _REGISTERS:
            rising = cell["parameters"]["CLK_POLARITY"]
            yield from _wrong_clock(
                module, cell, "a register", cell["connections"]["CLK"][0], rising, clocking
            )
        elif kind == "$mem_v2":
            yield from _unfit_memory(module, cell, clocking)


def _unfit_memory(module: _Module, cell: Any, clocking: Clocking) -> Iterator[Unfit]:
    """Look at the clocks of a memory's ports; reading may go without one, writing may not."""
    parameters, wires = cell["parameters"], cell["connections"]
    for kind in ("WR", "RD"):
        for port in range(int(parameters[f"{kind}_PORTS"], 2)):
            # Parameters start with the most significant bit.
            clocked, rising = (
                parameters[f"{kind}_CLK_{name}"][-1 - port] for name in ("ENABLE", "POLARITY")
            )
            if clocked == "1":
                bit = wires[f"{kind}_CLK"][port]
                yield from _wrong_clock(module, cell, "a memory", bit, rising, clocking)
            elif kind == "WR":
                remedy = f"write the memory at the active edge of {clocking.clock} alone"
                yield _report(module, cell, "a memory that is written without a clock", remedy)


def _wrong_clock(
    module: _Module, cell: Any, what: str, bit: object, rising: str, clocking: Clocking
) -> Iterator[Unfit]:
    clock, edge = clocking.clock, "falling" if clocking.falling else "rising"
    falling = _falling(module, bit, int(rising, 2) == 0, clock)
    if falling is None:
        name = module.names.get(bit, "a constant")
        remedy = "use one clock and no gate on it: hold a register by an enable instead"
        what = f"{what} on {name}, which is not the clock {clock}"
        yield _report(module, cell, what, remedy)
    elif falling != clocking.falling:
        remedy = f"use the {edge} edge everywhere, or name the edge under [clock] in the sidecar"
        yield _report(module, cell, f"{what} on the other edge of {clock}", remedy)


def _falling(module: _Module, bit: object, falling: bool, clock: str) -> bool | None:
    """Return whether an edge of a net is the clock's falling one; None for another clock."""
    source = module.ports[clock]["bits"][0]
    passed: set[object] = set()
    while bit != source:
        driver = module.drivers.get(bit)
        if driver is None or bit in passed:
            return None
        passed.add(bit)
        falling ^= driver["type"] in _INVERTERS
        bit = driver["connections"]["A"][0]
    return falling


def _report(module: _Module, cell: Any, what: str, remedy: str) -> Unfit:
    driven = cell["connections"].get("Q", [])
    names = dict.fromkeys(module.names.get(bit, "?").split("[")[0] for bit in driven)
    memory = str(cell["parameters"].get("MEMID", "")).lstrip("\\")
    place = str(cell["attributes"].get("src", "")).split("|")[0]
    return Unfit(what, memory or ", ".join(names), place, remedy)
