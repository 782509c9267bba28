"""``rtlgrad report``: tables the runs of a folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError
from ..lutgen.record import Characterization
from ..lutgen.store import load, stored_names
from ..nn.report import make_report, render
from .console import err

if TYPE_CHECKING:
    from pathlib import Path

    from ..nn.report import Report

_NOTES = (
    "MAE % is of 2^(wa+wb); MRE % is over the operand pairs whose exact product is not 0.",
    "area: of the mapped cells, relative to the exact design of the same operands in the store.",
)


def run(runs: Path, *, form: str, store: Path) -> None:
    """Print the report of a folder of runs."""
    sys.stdout.write(render(report_of(runs, store), form).rstrip("\n") + "\n")


def report_of(runs: Path, store: Path) -> Report:
    """Read the runs and the characterizations that they name."""
    return make_report(runs, design_figures(store), notes=_NOTES)


def design_figures(store: Path) -> dict[str, dict[str, float | None]]:
    """Return what a report says about each characterized design, by characterization id.

    Relative area is over the smallest design of the store that is exact and has the same
    operands; a record that cannot be read is left out, with a remark.
    """
    known: list[Characterization] = []
    for name in stored_names(store):
        try:
            made = load(store / name)
            # Networks are not trained through a sample.
            if isinstance(made, Characterization):
                known.append(made)
        except RtlgradError as error:
            err().print(f"left out: {error}", style="yellow", markup=False)
    return {made.id: _figures(made, known) for made in known}


def _figures(made: Characterization, known: list[Characterization]) -> dict[str, float | None]:
    return {
        "mae_pct": made.metrics.mae_pct,
        "mre_pct": made.metrics.mre_nonzero_pct,
        "area_relative": relative_area(made, known),
    }


def relative_area(made: Characterization, known: list[Characterization]) -> float | None:
    """Return a design's area over that of the smallest exact design with the same operands.

    None if there is no such design, or if areas are of different cell libraries.
    """
    areas = [
        other.cost.area_um2
        for other in known
        if other.cost.area_um2
        and other.metrics.wce == 0
        and _kind(other) == _kind(made)
        and other.cost.library_sha256 == made.cost.library_sha256
    ]
    if not areas or made.cost.area_um2 is None:
        return None
    return made.cost.area_um2 / min(areas)


def _kind(made: Characterization) -> tuple[int, int, bool, bool]:
    table = made.table
    return table.width_a, table.width_b, table.signed_a, table.signed_b
