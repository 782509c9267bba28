"""``rtlgrad show``: prints one characterization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lutgen.store import find, load, to_record
from .console import err, number, out, print_json
from .metric_texts import lines as metric_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..cosim.cost import Cost
    from ..cosim.interface import Port
    from ..lutgen.record import AnyCharacterization


def run(design: str, *, store: Path, as_json: bool) -> None:
    """Print a design's record, verified."""
    folder = find(store, design)
    made = load(folder)
    if as_json:
        print_json(to_record(made))
        return
    console = out()
    for label, text in _lines(made):
        console.print(f"[bold]{label:<12}[/bold]", end="")
        console.print(text, markup=False)
    err().print(f"record and array verified: {folder}", markup=False)


def _lines(made: AnyCharacterization) -> Iterator[tuple[str, str]]:
    yield "design", made.name + (f" - {made.title}" if made.title else "")
    if made.citation:
        yield "published", made.citation
    yield "id", made.id
    yield from _interface_lines(made)
    yield from metric_lines(made)
    yield from _cost_lines(made)
    provenance = made.provenance
    for source in provenance.sources:
        yield "source", f"{source.path}  sha256 {source.sha256}"
    yield "tools", ", ".join(f"{name} {version}" for name, version in provenance.tools.items())
    yield "made", provenance.created_utc
    for warning in made.warnings:
        yield "note", warning


def _interface_lines(made: AnyCharacterization) -> Iterator[tuple[str, str]]:
    interface = made.interface
    yield "module", f"{interface.module}, read by {interface.front_end}"
    if interface.format is not None:
        yield "format", str(interface.format)
    if interface.parameters:
        yield "parameters", ", ".join(f"{k} = {v}" for k, v in sorted(interface.parameters.items()))
    yield "a (row)", _port(interface.a) + f"; order from {interface.order_from}"
    yield "b (column)", _port(interface.b)
    yield "out", _port(interface.out)


def _port(port: Port) -> str:
    sign = "signed" if port.signed else "unsigned"
    return f"{port.name}[{port.width}], {sign} (from {port.signed_from})"


def _cost_lines(made: AnyCharacterization) -> Iterator[tuple[str, str]]:
    cost = made.cost
    yield "area", _figure(cost.area_um2, 2, "um2", cost.absent.get("area_um2"))
    yield "delay", _figure(cost.delay_ps, 1, "ps", cost.absent.get("delay_ps"))
    yield "power", _figure(cost.power_uw, 2, "uW", cost.absent.get("power_uw")) + _conditions(cost)
    yield from _energy_lines(cost)
    yield "cells", f"{sum(cost.cells.values())} of {cost.library}"
    if cost.paths_ps:
        yield "paths", ", ".join(f"{part} {delay:.1f} ps" for part, delay in cost.paths_ps.items())
    yield "method", cost.method


def _conditions(cost: Cost) -> str:
    if cost.power_uw is None or cost.clock_mhz is None:
        return ""
    glitches = number(cost.power_glitch_aware_uw, 2)
    return f" zero-delay, {glitches} uW glitch-aware, at {cost.clock_mhz:g} MHz; {cost.stimulus}"


def _energy_lines(cost: Cost) -> Iterator[tuple[str, str]]:
    if cost.energy_fj is None:
        return
    yield (
        "energy",
        (
            f"{number(cost.energy_fj, 1)} fJ an operation zero-delay, "
            f"{number(cost.energy_glitch_aware_fj, 1)} fJ glitch-aware; "
            f"leakage {number(cost.leakage_nw, 1)} nW"
        ),
    )
    if cost.netlist_proven:
        yield "proof", "the mapped netlist computes the simulated table, for all operands"


def _figure(value: float | None, digits: int, unit: str, reason: str | None) -> str:
    return f"not available: {reason}" if value is None else f"{number(value, digits)} {unit}"
