"""Runs a conformance check: characterizes, tabulates the C models, compares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import RtlgradError
from ...cosim.design import references
from ..characterize import characterize
from ..exchange.c_model import tabulate
from ..record import Characterization
from .correlate import correlate
from .precision import compare_figures
from .results import CircuitResult, Conformance, FigureCheck, TableVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..characterize import Outcome, Settings
    from ..exchange.c_model import TabulatedFunction
    from ..metrics import ErrorMetrics
    from ..table import ProductTable
    from .checkout import Circuit
    from .published import Published


def run_conformance(
    circuits: Sequence[Circuit],
    settings: Settings,
    progress: Callable[[Outcome], None] = lambda _outcome: None,
) -> Conformance:
    """Compare circuits with their C models and published figures.

    Characterizations are kept in the store of ``settings`` as they are made, so that a run that
    was interrupted goes on where it stopped.

    Args:
        circuits: the circuits.
        settings: where to keep the characterizations, and how to make them.
        progress: called with each characterization's outcome as it comes.

    Raises:
        ToolError: a tool is missing, or fails by itself.
        ConfigError: the store cannot be written.
    """
    designs = [reference for circuit in circuits for reference in references(circuit.verilog)]
    outcomes = {
        outcome.reference.name: outcome for outcome in characterize(designs, settings, progress)
    }
    with ThreadPoolExecutor(settings.jobs) as pool:
        models = list(pool.map(_tabulated, circuits))
    results = tuple(
        _result(circuit, outcomes.get(circuit.name), model)
        for circuit, model in zip(circuits, models, strict=True)
    )
    return Conformance(results, correlate(results), settings.library.name)


def _tabulated(circuit: Circuit) -> TabulatedFunction | str:
    """Tabulate a circuit's C model, or say why it could not be done."""
    if circuit.model is None:
        return f"no C model {circuit.name}.c beside the Verilog file"
    try:
        return tabulate(circuit.model, circuit.name)
    except RtlgradError as error:
        return str(error)


def _result(
    circuit: Circuit, outcome: Outcome | None, model: TabulatedFunction | str
) -> CircuitResult:
    remarks = list(circuit.remarks)
    made = None if outcome is None else outcome.characterization
    if isinstance(model, str):
        remarks.append(model)
    if not isinstance(made, Characterization):
        remarks.append(_no_table(outcome))
        return CircuitResult(
            circuit, None, TableVerdict.MISSING, 0, _parameters(model), False, (), tuple(remarks)
        )
    verdict, differing = TableVerdict.MISSING, 0
    if not isinstance(model, str):
        verdict, differing = compare_tables(made.table, model.table)
    return CircuitResult(
        circuit=circuit,
        characterization=made,
        table=verdict,
        differing=differing,
        parameters=_parameters(model),
        commutes=np.array_equal(made.table.products, made.table.products.T),
        figures=check_figures(made.metrics, circuit.published),
        remarks=tuple(remarks),
    )


def _no_table(outcome: Outcome | None) -> str:
    if outcome is None:
        return "its sidecar makes it a design of another name"
    return "it cannot be tabulated" if outcome.error is None else str(outcome.error)


def _parameters(model: TabulatedFunction | str) -> str:
    if isinstance(model, str):
        return ""
    return ", ".join(name for _, name in model.function.parameters)


def compare_tables(simulated: ProductTable, model: ProductTable) -> tuple[TableVerdict, int]:
    """Compare the tables of a circuit and of its model, operands bound by name in both.

    Returns:
        The verdict, and how many entries differ (all of them, if shapes or signs do).
    """
    ours, theirs = simulated.products, model.products
    signs = (simulated.signed_a, simulated.signed_b)
    if ours.shape != theirs.shape or signs != (model.signed_a, model.signed_b):
        return TableVerdict.DIFFERENT, ours.size
    differing = int(np.count_nonzero(ours != theirs))
    if differing == 0:
        return TableVerdict.EQUAL, 0
    transposed = np.array_equal(ours, theirs.T)
    return TableVerdict.TRANSPOSED if transposed else TableVerdict.DIFFERENT, differing


def check_figures(metrics: ErrorMetrics, published: Published) -> tuple[FigureCheck, ...]:
    """Compare error metrics with published ones; MRE is that over products that are not 0."""
    measured = {
        "mae": metrics.mae,
        "wce": float(metrics.wce),
        "mre_pct": metrics.mre_nonzero_pct,
        "ep_pct": metrics.ep_pct,
        "mse": metrics.mse,
    }
    checks = []
    for figure, value in measured.items():
        printed: str | None = getattr(published, figure)
        checks.append(FigureCheck(figure, printed, value, compare_figures(value, printed)))
    return tuple(checks)
