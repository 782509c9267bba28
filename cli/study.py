"""``rtlgrad report --html``: a folder of results as one page that says which multiplier to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError
from ..cosim.cost import cell_library
from ..lutgen.histogram import RECORDING_NAME, load_recording
from ..lutgen.layer_energy import layer_energies
from ..lutgen.record import Characterization
from ..lutgen.store import load, stored_names
from ..nn.report import make_report
from ..nn.report.study import gather, write_study
from .console import err, out

if TYPE_CHECKING:
    from ..nn.report.study import Study

PAIRS = 65536
"""Operand pairs drawn from a layer's histogram for its energy; as of rtlgrad assign."""


def run(
    folder: Path,
    *,
    page: Path,
    max_loss: float,
    layer_energy: bool,
    store: Path,
    rtl: Path,
    liberty: Path | None,
) -> Study:
    """Write the page of a folder, and say what it recommends."""
    energies = recorded_energies(folder, store, rtl, liberty) if layer_energy else {}
    study = gather(folder, store, max_loss=max_loss, energies=energies)
    files = write_study(study, page)
    for name, reason in study.skipped:
        err().print(f"left out: {name}: {reason}", style="yellow", markup=False)
    for decision in study.decisions:
        answer = (
            f"nothing to recommend: {decision.reason}"
            if decision.chosen is None
            else f"use {study.designs[decision.chosen].label}"
        )
        out().print(f"{decision.model} on {decision.data}: {answer}", markup=False, soft_wrap=True)
    data = ", ".join(path.name for path in files[1:])
    out().print(f"page: {page} (data beside it: {data})", markup=False, soft_wrap=True)
    return study


def recorded_energies(
    folder: Path, store: Path, rtl: Path, liberty: Path | None
) -> dict[str, dict[str, float]]:
    """Estimate, for each run with recorded operands, a product's energy in each of its layers.

    Energies are those of settled values (zero delay) in fJ, as rtlgrad assign has them. A run for
    which it cannot be done is named on standard error, and left out.
    """
    library, known = cell_library(liberty), _characterizations(store)
    found: dict[str, dict[str, float]] = {}
    for row in make_report(folder).rows:
        path = Path(row.folder) / RECORDING_NAME
        made = known.get(row.characterization_id or "")
        if made is None or not path.is_file():
            continue
        try:
            layers = load_recording(path).layers
            energies = layer_energies(made, layers, library, rtl=rtl, store=store, pairs=PAIRS)
        except RtlgradError as error:
            err().print(f"energy of {row.folder}: {error}", style="yellow", markup=False)
            continue
        found[row.folder] = {one.layer: one.settled_fj for one in energies}
    return found


def _characterizations(store: Path) -> dict[str, Characterization]:
    """Return the stored designs with tables by id; a damaged record is named by the page."""
    found = {}
    for name in stored_names(store):
        try:
            made = load(store / name)
        except RtlgradError:
            continue
        if isinstance(made, Characterization):
            found[made.id] = made
    return found
