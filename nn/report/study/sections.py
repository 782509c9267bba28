"""The sections of a study's page; one without data says what is lacking, and what makes it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ....lutgen.catalogue.markup import Markup, join, number, tag
from .charts import Plot, Point, Series, draw, legend
from .pictures import count_image, error_image, weighted_image
from .predicted import predictions
from .tables import NUMBER, Column, bars, lack, table
from .trade_offs import trade_offs
from .words import search_verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import EpochRow, LayerRow, OperandPicture, Search, Study


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        content: what it shows.
    """

    anchor: str
    title: str
    content: Markup


def sections(study: Study) -> list[Section]:
    """Return all sections in the order of the page."""
    return [
        Section("summary", "Which multiplier, and why", _summary(study)),
        Section("trade-offs", "Accuracy against cost", trade_offs(study)),
        Section("layers", "Layer by layer", _layers(study)),
        Section("training", "Training", _training(study)),
        Section("operands", "Errors that the network meets", _operands(study)),
        Section("prediction", "Predicted and measured accuracy", predictions(study)),
        Section("trace", "Where the numbers come from", _trace(study)),
        *_left_out(study),
    ]


def _summary(study: Study) -> Markup:
    # Runs that leave nothing to choose need no box of their own beside a search.
    decided = [one for one in study.decisions if one.chosen is not None or not study.searches]
    boxes = [verdict(study, one) for one in decided]
    boxes += [search_verdict(one) for one in study.searches]
    if not boxes:
        return lack("No runs and no search here, so nothing to choose from.", "rtlgrad train")
    return join(*boxes)


def _layers(study: Study) -> Markup:
    parts = [tag("div", *(_search(one) for one in study.searches), class_="plots")]
    for (source, of), group in groupby(study.layers, key=lambda row: (row.source, row.of)):
        parts.append(_layer_table(source, of, list(group)))
    if not study.searches:
        parts.append(
            lack(
                "No search for a design per layer here.",
                "rtlgrad assign RUN --designs 'mul8u_*' --tiles 3 --out FOLDER/assign",
            )
        )
    return join(*parts)


def _layer_table(source: str, of: str, rows: Sequence[LayerRow]) -> Markup:
    greatest = max([row.energy_nj for row in rows] + [row.reference_nj or 0.0 for row in rows])
    columns = (
        Column("layer", lambda row: row.layer),
        Column("design", lambda row: row.design),
        Column("products per image", lambda row: row.products, ",d"),
        Column("energy nJ", lambda row: row.energy_nj, NUMBER),
        Column("reference nJ", lambda row: row.reference_nj, NUMBER),
        Column("", lambda row: bars(row.energy_nj, row.reference_nj, greatest)),
    )
    total = sum(row.energy_nj for row in rows)
    caption = f"{source}, {of}: {number(total)} nJ per image; grey: the reference"
    return table(columns, rows, caption)


def _search(search: Search) -> Markup:
    points = []
    for one in search.candidates:
        kind = "front" if one.front else "point" if one.single else "faint"
        label = one.designs[0] if one.best_single else "chosen" if one.chosen else ""
        title = f"candidate {one.number}: {one.saved_pct:.1f} % saved, {one.search_loss:.2f} points lost; "
        title += ", ".join(one.designs)
        points.append(
            Point(one.saved_pct, -one.search_loss, label, title, "chosen" if one.chosen else kind)
        )
    if not points:
        return tag("p", f"{search.source}: no candidate was measured whole.", class_="lack")
    plot = Plot(
        "multiplication energy saved, %",
        "accuracy against the base, points",
        sorted(points, key=lambda one: one.mark != "faint"),
        levels=[(-search.max_loss, f"{search.max_loss:g} points lost")],
    )
    caption = (
        f"{search.source}: {len(points)} candidates on the images of the search. Diamonds: the front; star: "
        f"chosen; circles: one design in all layers; energy: {search.figure}."
    )
    drawn = draw(plot, caption)
    title = tag("h3", f"Search, {search.accelerator}")
    return tag("figure", title, drawn, tag("figcaption", caption), class_="plot")


def _training(study: Study) -> Markup:
    if not study.epochs:
        return lack("No run here has trained an epoch.", "rtlgrad train")
    runs = {source: list(rows) for source, rows in groupby(study.epochs, lambda row: row.source)}
    figures = [
        _curves(runs, "validation", "Accuracy on held-out images", "held-out accuracy, %"),
        _curves(runs, "train_loss", "Training loss", "mean loss of the epoch"),
    ]
    columns = (
        Column("run", lambda row: row.source),
        Column("multiplier", lambda row: row.design),
        Column("epoch", lambda row: row.epoch, "d"),
        Column("training loss", lambda row: row.train_loss, ".4f"),
        Column("held-out %", lambda row: row.validation, ".2f"),
    )
    listing = tag(
        "details", tag("summary", "All epochs"), table(columns, study.epochs, "Epochs of all runs")
    )
    return join(tag("div", *figures, class_="plots"), listing)


def _curves(runs: dict[str, list[EpochRow]], figure: str, title: str, axis: str) -> Markup:
    series = []
    for source, rows in runs.items():
        points = [(row.epoch, value) for row in rows if (value := getattr(row, figure)) is not None]
        if points:
            series.append(Series(tuple(points), source.rsplit("/", 1)[-1]))
    if not series:
        return tag("p", f"{title}: nothing was measured.", class_="lack")
    drawn = draw(Plot("epoch", axis, series=series), f"{title} by epoch")
    return tag("figure", tag("h3", title), drawn, legend(series), class_="plot")


def _operands(study: Study) -> Markup:
    if not study.operands:
        return lack("No operands were recorded.", "rtlgrad record RUN")
    intro = tag(
        "p",
        "A design's mean error counts all pairs of operands alike; a network uses some often and others "
        "never. b (weight) to the right, a (activation) upwards, in the order of their values; blue: too "
        "small, orange: too large, white: exact or never. Each map has a scale of its own.",
    )
    columns = (
        Column("design", lambda row: row.design),
        Column("layer", lambda row: row.layer),
        Column("products", lambda row: row.products, ",d"),
        Column("pairs used", lambda row: row.pairs, ",d"),
        Column("MAE, all alike", lambda row: row.mae_uniform, ",.2f"),
        Column("MAE, as used", lambda row: row.mae_weighted, ",.2f"),
        Column("bias, all alike", lambda row: row.bias_uniform, ",.2f"),
        Column("bias, as used", lambda row: row.bias_weighted, ",.2f"),
    )
    whole = [row for row in study.operands if row.layer == "all layers"]
    by_layer = tag(
        "details",
        tag("summary", "Layer by layer"),
        table(columns, study.operands, "Errors in LSB of the product, by layer"),
    )
    summed = table(columns, whole, "Errors in LSB of the product, all layers together")
    chosen = {
        folder
        for one in study.decisions
        if one.chosen is not None
        for folder in study.designs[one.chosen].folders
    }
    maps = [_maps(one, one.row.source in chosen) for one in study.pictures if one.error.any()]
    return join(intro, summed, by_layer, *maps)


def _maps(picture: OperandPicture, is_open: bool) -> Markup:
    row = picture.row
    (rows, columns), (a, b) = picture.error.shape, picture.low
    axes = f"a {a} to {a + rows - 1} upwards, b {b} to {b + columns - 1} to the right"
    images = (
        (error_image(picture), "Error of each pair, all alike", f"mean {row.bias_uniform:,.2f} LSB, mean magnitude {row.mae_uniform:,.2f}; colour: square root"),
        (count_image(picture), "How often the network uses each pair", f"{row.products:,} products, {row.pairs:,} of {row.table_pairs:,} pairs; colour: logarithm"),
        (weighted_image(picture), "Error times use", f"mean {row.bias_weighted:,.2f} LSB, mean magnitude {row.mae_weighted:,.2f}; colour: fourth root"),
    )  # fmt: skip
    figures = [
        tag(
            "figure",
            tag("img", src=uri, alt=f"{title}, {row.design}: {axes}"),
            tag("figcaption", tag("strong", title), f": {words}."),
        )
        for uri, title, words in images
    ]
    title = tag("summary", tag("strong", row.design), f" ({row.source}; {axes})")
    return tag("details", title, tag("div", *figures, class_="maps"), open=is_open)


def _trace(study: Study) -> Markup:
    if not study.trace:
        return lack("No finished runs.", "rtlgrad train")
    intro = tag(
        "p",
        "What each run's record says that its accuracy was made with. ",
        tag("code", "rtlgrad trace RUN"),
        " checks every line against the files as they are now; with ",
        tag("code", "--resimulate"),
        " it runs the RTL again, with ",
        tag("code", "--evaluate"),
        " the network.",
    )
    columns = (
        Column("what", lambda row: row.item, long=True),
        Column("value", lambda row: tag("code", row.value), long=True),
        Column("", lambda row: row.remark),
    )
    parts = [
        tag("details", tag("summary", source), table(columns, list(rows), f"Trace of {source}"))
        for source, rows in groupby(study.trace, key=lambda row: row.source)
    ]
    return join(intro, *parts)


def _left_out(study: Study) -> list[Section]:
    if not study.skipped:
        return []
    items = [tag("li", tag("strong", name), ": ", reason) for name, reason in study.skipped]
    return [Section("left-out", f"Left out: {len(items)}", tag("ul", *items, class_="remarks"))]
