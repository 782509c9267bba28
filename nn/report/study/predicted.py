"""Predicted accuracies beside measured ones."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from ....lutgen.catalogue.markup import Markup, join, tag
from .charts import Plot, Point, draw
from .tables import Column, lack, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import PredictionRow, PredictorRow, Study


def predictions(study: Study) -> Markup:
    """Return a plot and the predictors of each file, and a table of all designs."""
    if not study.predictions:
        return lack(
            "No predictions here.", "rtlgrad predict RUN --compare --out FOLDER/predict.json"
        )
    parts = []
    for source, group in groupby(study.predictions, key=lambda row: row.source):
        rows = list(group)
        parts.append(_plot(source, rows))
        metrics = [row for row in study.predictors if row.source == source]
        if metrics:
            parts.append(_metrics(metrics))
    columns = (
        Column("design", lambda row: row.design),
        Column("AME", lambda row: row.ame, ".3g"),
        Column("predicted %", lambda row: row.predicted, ".2f"),
        Column("from", lambda row: row.low, ".1f"),
        Column("to", lambda row: row.high, ".1f"),
        Column("measured %", lambda row: row.measured, ".2f"),
        Column("", lambda row: "fitted" if row.fitted else ""),
    )
    intro = tag(
        "p",
        "The network with each multiplier, without retraining: accuracy measured, and predicted from the "
        "architectural mean error (AME) by a regression fitted to a few designs.",
    )
    listing = table(columns, study.predictions, "Predicted accuracies")
    details = tag("details", tag("summary", "All designs"), listing)
    return join(intro, tag("div", *parts, class_="plots"), details)


def _metrics(rows: Sequence[PredictorRow]) -> Markup:
    columns = (
        Column("predictor", lambda row: row.metric),
        Column("Spearman", lambda row: row.spearman, ".3f"),
        Column("held out, points", lambda row: row.held_out, ".2f"),
    )
    return tag("div", table(columns, rows, "Predictors of the measured accuracy"), class_="plot")


def _plot(source: str, rows: Sequence[PredictionRow]) -> Markup:
    points = [
        Point(
            row.measured,
            row.predicted,
            "",
            f"{row.design}: measured {row.measured:.2f} %, predicted {row.predicted:.2f} %",
            "fitted" if row.fitted else "point",
            row.low,
            row.high,
        )
        for row in rows
        if row.measured is not None
    ]
    if not points:
        return tag("p", f"{source}: no design was measured.", class_="lack")
    plot = Plot("measured accuracy, %", "predicted accuracy, %", points, diagonal=True)
    caption = "Filled: the regression was fitted to it. Bars: intervals. Dashed: equal."
    drawn = draw(plot, f"predicted against measured accuracy, {source}")
    return tag("figure", tag("h3", source), drawn, tag("figcaption", caption), class_="plot")
