"""A conformance run as CSV and as plain data."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .results import FigureVerdict, TableVerdict

if TYPE_CHECKING:
    from .results import CircuitResult, Conformance

_COSTS: tuple[tuple[str, str | None], ...] = (
    ("area_um2", "area_um2"),
    ("power_uw", "power_mw"),
    ("power_glitch_aware_uw", None),
    ("delay_ps", "delay_ns"),
)


def as_rows(run: Conformance) -> list[dict[str, Any]]:
    """Return one flat row per circuit: verdicts, figures measured and published, cost."""
    return [_row(result) for result in run.results]


def as_csv(run: Conformance) -> str:
    """Render the rows as CSV, a heading and a line per circuit; empty cells say "not known"."""
    rows = as_rows(run)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_data(run: Conformance) -> dict[str, Any]:
    """Return a run as plain JSON values."""
    return {
        "conforms": run.conforms,
        "library": run.library,
        "tables": {verdict.value: run.tables(verdict) for verdict in TableVerdict},
        "figures": {
            verdict.value: sum(1 for _ in run.figures(verdict)) for verdict in FigureVerdict
        },
        "correlations": [asdict(correlation) for correlation in run.correlations],
        "circuits": as_rows(run),
    }


def _row(result: CircuitResult) -> dict[str, Any]:
    made = result.characterization
    row: dict[str, Any] = {
        "name": result.circuit.name,
        "conforms": result.conforms,
        "table": result.table.value,
        "differing_entries": result.differing,
        "c_parameters": result.parameters,
        "commutes": result.commutes if made else None,
    }
    checks = {check.figure: check for check in result.figures}
    for figure in ("mae", "wce", "mre_pct", "ep_pct", "mse"):
        check = checks.get(figure)
        row[figure] = check.measured if check else None
        row[f"{figure}_published"] = getattr(result.circuit.published, figure)
        row[f"{figure}_verdict"] = check.verdict.value if check else None
    for estimate, published in _COSTS:
        row[estimate] = getattr(made.cost, estimate) if made else None
        if published is not None:
            row[f"{published}_published"] = getattr(result.circuit.published, published)
    row["netlist_proven"] = made.cost.netlist_proven if made else None
    row["id"] = made.id if made else None
    row["remarks"] = "; ".join(" ".join(remark.split()) for remark in result.remarks)
    return row
