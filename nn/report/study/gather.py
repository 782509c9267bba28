"""Gathers a study from a folder; what is damaged costs only itself, and is named."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import ConfigError, RtlgradError
from ....lutgen.histogram import RECORDING_NAME, load_recording
from ....lutgen.store import load, stored_names
from ...assignment.results import RESULTS
from ..runs import make_report
from .decision import decide
from .files import is_prediction, read_prediction, read_search
from .operands import operand_rows
from .rows import Study
from .runs import Run, design_rows, energy_kind, epoch_rows, layer_rows, open_run, trace_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ....lutgen.record import AnyCharacterization
    from .rows import (
        Decision,
        DesignRow,
        EpochRow,
        LayerRow,
        OperandPicture,
        OperandRow,
        PredictionRow,
        PredictorRow,
        Search,
    )

MAX_LOSS = 0.6
"""Points of accuracy that may be lost unless the user says otherwise; as of rtlgrad assign."""


def gather(
    folder: Path,
    store: Path,
    *,
    max_loss: float = MAX_LOSS,
    energies: Mapping[str, Mapping[str, float]] | None = None,
) -> Study:
    """Read all runs, recordings, searches and predictions below a folder.

    Args:
        folder: searched at any depth; nothing in it is changed.
        store: the characterizations that tables are looked up in.
        max_loss: points of accuracy that a recommended multiplier may lose.
        energies: folder of a run -> layer -> fJ per product at the operands recorded in it, from
            the caller; without it, energies are those for uniform random operands.

    Raises:
        ConfigError: there is no such folder, or nothing in it to report on, or ``max_loss`` is
            negative.
    """
    if max_loss < 0:
        raise ConfigError("the loss allowed is negative", got=max_loss, expected="0 or more points")
    skipped: list[tuple[str, str]] = []
    runs = _runs(folder, store, energies or {}, skipped)
    searches, layers = _searches(folder, skipped)
    predictions, predictors = _predictions(folder, skipped)
    if not (runs or searches or predictions):
        raise ConfigError(
            f"there is nothing to report on in {folder}",
            got="; ".join(reason for _, reason in skipped) or "no results",
            expected="folders of finished runs (rtlgrad train), of searches (rtlgrad assign), or "
            "files of rtlgrad predict --json",
        )
    grouped = design_rows(runs)
    designs = [row for row, _ in grouped]
    decisions = _decisions(designs, max_loss, runs)
    operands, pictures = _operands(runs, skipped)
    return Study(
        folder=str(folder),
        designs=tuple(designs),
        decisions=tuple(decisions),
        layers=(*_chosen_layers(grouped, decisions), *layers),
        searches=tuple(searches),
        epochs=tuple(_epochs(runs, skipped)),
        operands=tuple(operands),
        pictures=tuple(pictures),
        predictions=tuple(predictions),
        predictors=tuple(predictors),
        trace=tuple(row for run in runs for row in trace_rows(run)),
        skipped=tuple(skipped),
    )


def _runs(
    folder: Path,
    store: Path,
    energies: Mapping[str, Mapping[str, float]],
    skipped: list[tuple[str, str]],
) -> list[Run]:
    report = make_report(folder)
    skipped += [(one.folder, one.reason) for one in report.skipped]
    known: dict[str, AnyCharacterization] = {}
    by_name: dict[str, AnyCharacterization] = {}
    for name in stored_names(store):
        try:
            made = load(store / name)
        except RtlgradError as error:
            skipped.append((str(store / name), _one_line(error)))
            continue
        known[made.id] = by_name[made.name] = made
    return [open_run(row, known, by_name, energies) for row in report.rows]


def _decisions(
    designs: Sequence[DesignRow], max_loss: float, runs: Sequence[Run]
) -> list[Decision]:
    decisions = []
    for network, places in groupby(
        range(len(designs)), key=lambda at: (designs[at].data, designs[at].model)
    ):
        mine = [run for run in runs if (run.row.data, run.row.model) == network]
        decisions.append(decide(designs, list(places), energy_kind(mine), max_loss))
    return decisions


def _chosen_layers(
    grouped: Sequence[tuple[DesignRow, list[Run]]], decisions: Sequence[Decision]
) -> Iterator[LayerRow]:
    for decision in decisions:
        if decision.chosen is not None:
            base = None if decision.reference is None else grouped[decision.reference][1][0]
            yield from layer_rows(grouped[decision.chosen][1][0], base, decision.energy_kind)


def _epochs(runs: Sequence[Run], skipped: list[tuple[str, str]]) -> list[EpochRow]:
    rows = []
    for run in runs:
        try:
            rows += epoch_rows(run)
        except RtlgradError as error:
            skipped.append((run.row.folder, _one_line(error)))
    return rows


def _operands(
    runs: Sequence[Run], skipped: list[tuple[str, str]]
) -> tuple[list[OperandRow], list[OperandPicture]]:
    rows: list[OperandRow] = []
    pictures: list[OperandPicture] = []
    for run in runs:
        path = Path(run.row.folder) / RECORDING_NAME
        if not path.is_file():
            continue
        try:
            found, picture = operand_rows(run, load_recording(path))
        except RtlgradError as error:
            skipped.append((str(path), _one_line(error)))
            continue
        rows += found
        pictures += [] if picture is None else [picture]
    return rows, pictures


def _searches(folder: Path, skipped: list[tuple[str, str]]) -> tuple[list[Search], list[LayerRow]]:
    searches: list[Search] = []
    layers: list[LayerRow] = []
    for path in _files(folder, RESULTS):
        try:
            search, mine = read_search(path)
        except RtlgradError as error:
            skipped.append((str(path), _one_line(error)))
            continue
        searches.append(search)
        layers += mine
    return searches, layers


def _predictions(
    folder: Path, skipped: list[tuple[str, str]]
) -> tuple[list[PredictionRow], list[PredictorRow]]:
    rows: list[PredictionRow] = []
    metrics: list[PredictorRow] = []
    for path in _files(folder, "*.json"):
        if not is_prediction(path):
            continue
        try:
            mine, theirs = read_prediction(path)
        except RtlgradError as error:
            skipped.append((str(path), _one_line(error)))
            continue
        rows += mine
        metrics += theirs
    return rows, metrics


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if fnmatchcase(name, pattern)
    )


def _one_line(error: RtlgradError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines())
