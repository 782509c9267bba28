"""The runs of a folder as one table: what each design costs in accuracy, before and after retraining."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, RtlgradError
from ..training import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    RESULT_NAME,
    TrainConfig,
    load_checkpoint,
    load_result,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..training import RunResult


@dataclass(frozen=True, slots=True)
class SkippedRun:
    """A folder that holds a run but no usable result.

    Attributes:
        folder: the run's folder.
        reason: why it is not in the table, and what to do.
    """

    folder: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One finished run.

    Attributes:
        folder: the run's folder.
        data: name of the data set.
        model: name of the model.
        design: name of the design, a schedule of multipliers, or "fp32".
        characterization_id: of the design's table; None in fp32.
        seed: of the run.
        epochs: trained in this run.
        test_images: that the accuracies are measured on.
        mae_pct: the design's mean absolute error in percent of 2^(wa+wb), from the caller.
        mre_pct: the design's mean relative error in percent, from the caller, who says which
            definition it is.
        area_relative: the design's area over the exact multiplier's, from the caller.
        fp32: test accuracy in percent of the fp32 run that this one is compared with.
        before: test accuracy in percent before training; None if no weights were given.
        after: test accuracy in percent after training; None if the run only evaluated.
        delta_before: ``before - fp32`` in points.
        delta_after: ``after - fp32`` in points.
        engine: the engine that did the table's sums; None in fp32.
        note: what a reader has to know about this row, or "".
    """

    folder: str
    data: str
    model: str
    design: str
    characterization_id: str | None
    seed: int
    epochs: int
    test_images: int
    mae_pct: float | None
    mre_pct: float | None
    area_relative: float | None
    fp32: float | None
    before: float | None
    after: float | None
    delta_before: float | None
    delta_after: float | None
    engine: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Report:
    """All runs below a folder.

    Attributes:
        rows: the finished ones: by data set and model, fp32 first, then by error and name.
        skipped: the others, each with the reason.
        notes: remarks on the columns, from the caller.
    """

    rows: tuple[ReportRow, ...]
    skipped: tuple[SkippedRun, ...]
    notes: tuple[str, ...] = field(default=())


def make_report(
    folder: Path,
    metrics: Mapping[str, Mapping[str, float | None]] | None = None,
    *,
    notes: Sequence[str] = (),
) -> Report:
    """Read all runs below a folder.

    A run with a table is compared with the fp32 run whose checkpoint it began from, told by the
    checkpoint's hash. If that is not below the folder, the fp32 run with the same data, model,
    test images and seed is taken; if there is not exactly one, the differences stay empty.

    Args:
        folder: searched at any depth; nothing in it is changed.
        metrics: characterization id -> figures of that design, of which "mae_pct", "mre_pct" and
            "area_relative" are shown; what is missing stays empty.
        notes: remarks to print below the table, for example which MRE is meant.

    Raises:
        ConfigError: the folder does not exist.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is not a folder", expected="the folder that the runs were written to"
        )
    found: list[tuple[Path, RunResult]] = []
    skipped = []
    for place in _run_folders(folder):
        try:
            found.append((place, load_result(_finished(place))))
        except RtlgradError as error:
            skipped.append(SkippedRun(str(place), _one_line(error)))
    results = [result for _, result in found]
    figures = metrics or {}
    rows = [_row(place, result, results, figures) for place, result in found]
    return Report(tuple(sorted(rows, key=_order)), tuple(skipped), tuple(notes))


def _run_folders(folder: Path) -> list[Path]:
    marks = {CONFIG_NAME, CHECKPOINT_NAME, RESULT_NAME}
    return sorted(Path(place) for place, _, files in os.walk(folder) if marks & set(files))


def _finished(place: Path) -> Path:
    """Return the result's path, or raise with how far the run came."""
    if (place / RESULT_NAME).exists():
        return place / RESULT_NAME
    if not (place / CHECKPOINT_NAME).exists():
        raise ConfigError("not finished: interrupted before its first checkpoint")
    checkpoint = load_checkpoint(place / CHECKPOINT_NAME)
    raise ConfigError(
        f"not finished: {checkpoint.epoch} of {checkpoint.config.epochs} epochs done",
        remedy="give the training command again to go on",
    )


def _one_line(error: RtlgradError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines())


def _row(
    place: Path,
    result: RunResult,
    results: Sequence[RunResult],
    metrics: Mapping[str, Mapping[str, float | None]],
) -> ReportRow:
    config = result.config
    figures = metrics.get(result.characterization_id or "", {})
    baseline, note = _baseline(result, results)
    fp32 = None if baseline is None else 100 * baseline.accuracy
    before = None if result.initial is None else 100 * result.initial.accuracy
    after = 100 * result.accuracy if config.epochs else None
    return ReportRow(
        folder=str(place),
        data=config.data,
        model=config.model,
        design=config.multiplier,
        characterization_id=result.characterization_id,
        seed=config.seed,
        epochs=config.epochs,
        test_images=result.test.count,
        mae_pct=figures.get("mae_pct"),
        mre_pct=figures.get("mre_pct"),
        area_relative=figures.get("area_relative"),
        fp32=fp32,
        before=before,
        after=after,
        delta_before=_difference(before, fp32),
        delta_after=_difference(after, fp32),
        engine=result.engine,
        note="; ".join(text for text in (_options(config), note) if text),
    )


def _options(config: TrainConfig) -> str:
    """Name what tells runs of one design apart, where it is not the default."""
    default = TrainConfig(config.model, config.data)
    names = ("gradient", "quantizer", "accumulator", "precision", "correct_bias")
    return ", ".join(
        f"{name} {getattr(config, name)}"
        for name in names
        if getattr(config, name) != getattr(default, name)
    )


def _baseline(result: RunResult, results: Sequence[RunResult]) -> tuple[RunResult | None, str]:
    if result.config.is_fp32:
        return None, ""
    comparable = [
        other
        for other in results
        if other.config.is_fp32
        and other.data["sha256"] == result.data["sha256"]
        and other.config.model == result.config.model
        and other.test.count == result.test.count
    ]
    origin = None if result.init is None else result.init["sha256"]
    parents = [other for other in comparable if other.checkpoint_sha256 == origin]
    if parents:
        return parents[0], ""
    alike = [other for other in comparable if other.config.seed == result.config.seed]
    if len(alike) == 1:
        return alike[0], "fp32 is another run than the one begun from"
    return None, f"{len(alike) or 'no'} comparable fp32 runs"


def _difference(mine: float | None, other: float | None) -> float | None:
    return None if mine is None or other is None else mine - other


def _order(row: ReportRow) -> tuple[Any, ...]:
    error = float("inf") if row.mae_pct is None else row.mae_pct
    return (row.data, row.model, row.design != "fp32", error, row.design, row.seed, row.folder)
