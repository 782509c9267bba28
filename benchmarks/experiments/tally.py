"""Rows in, figures and files out: means, spreads, rank correlation, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import statistics
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from rtlgrad.core.errors import ConfigError

from .study import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOT_IN_CSV = ("curve", "losses")


@dataclass(frozen=True, slots=True)
class Summary:
    """The runs of one arm.

    Attributes:
        arm: its name.
        count: runs.
        initial: mean accuracy before training, percent, or None.
        mean: mean accuracy after it, percent.
        spread: sample standard deviation over the seeds, points; None for one.
    """

    arm: str
    count: int
    initial: float | None
    mean: float
    spread: float | None


def summaries(rows: Iterable[Row]) -> dict[str, Summary]:
    """Return each arm's summary, in the order in which arms come."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.arm, []).append(row)
    found = {}
    for arm, members in groups.items():
        before = [row.initial for row in members if row.initial is not None]
        after = [row.accuracy for row in members]
        found[arm] = Summary(
            arm,
            len(members),
            statistics.fmean(before) if len(before) == len(members) else None,
            statistics.fmean(after),
            statistics.stdev(after) if len(after) > 1 else None,
        )
    return found


def with_spread(summary: Summary | None) -> str:
    """Return mean and spread as a cell of a table: ``71.20 ± 0.35``; a dash if there is none."""
    if summary is None:
        return "-"
    spread = "" if summary.spread is None else f" ± {summary.spread:.2f}"
    return f"{summary.mean:.2f}{spread}"


def paired(one: Iterable[Row], other: Iterable[Row]) -> list[float]:
    """Return the differences in accuracy, one less other, of runs that share a seed."""
    by_seed = {row.seed: row.accuracy for row in other}
    return [row.accuracy - by_seed[row.seed] for row in one if row.seed in by_seed]


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation; equal values share the mean of their ranks.

    Raises:
        ConfigError: fewer than three pairs, or a side without any difference.
    """
    if len(one) != len(other) or len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        raise ConfigError(
            "there is no rank correlation", got=f"{len(one)} and {len(other)} values",
            expected="three pairs or more, not all alike",
        )  # fmt: skip
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) - 1) / 2 for v in values]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return a table of Markdown, the first ``left`` columns to the left, the others right."""
    marks = ["---"] * left + ["---:"] * (len(header) - left)
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV, without their curves."""
    names = [item.name for item in fields(Row) if item.name not in _NOT_IN_CSV]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        values = asdict(row)
        for name in ("initial", "accuracy", "seconds"):
            if values[name] is not None:
                values[name] = round(values[name], 3)
        writer.writerow(values)
    return stream.getvalue()


def curves_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Return the curves of rows as plain JSON values, rounded to what a plot can show."""
    return [
        {
            "arm": row.arm,
            "seed": row.seed,
            "validation_pct": [round(value, 2) for value in row.curve],
            "train_loss": [None if v is None else round(v, 5) for v in row.losses],
        }
        for row in rows
    ]
