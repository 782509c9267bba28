"""Accuracy against energy, area and error, design by design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lutgen.catalogue.markup import Markup, join, number, tag
from .charts import Plot, Point, draw
from .decision import pareto
from .tables import NUMBER, Column, lack, table
from .words import ENERGY_KINDS

if TYPE_CHECKING:
    from .rows import Decision, Study

_FLOOR = 8.0
"""Points below the best from which on designs are drawn at the lower edge of a plot."""


def trade_offs(study: Study) -> Markup:
    """Return the plots and the table of each network's designs."""
    if not study.decisions:
        return lack("No finished runs.", "rtlgrad train --design NAME")
    parts: list[Markup] = [
        tag(
            "p",
            "Accuracy on the test images of each run as it ended. A diamond is on the Pareto front: no "
            "other design has both a smaller cost and a greater accuracy. The star is the design to use. "
            "A triangle at the lower edge is far below, with its accuracy beside it. The dashed line is "
            "the network in fp32.",
        )
    ]
    for decision in study.decisions:
        parts += [_plots(study, decision), _designs(study, decision)]
    return join(*parts)


def _plots(study: Study, decision: Decision) -> Markup:
    kind = ENERGY_KINDS[decision.energy_kind]
    titles = {
        "energy_nj": (
            "Energy",
            "multiplication energy, nJ per image",
            f"Energy per product {kind}.",
        ),
        "area_um2": ("Area", "area of one multiplier, µm²", "Area of the mapped cells."),
        "mre_pct": (
            "Mean relative error",
            "MRE, %",
            "Over all pairs of operands whose product is not 0, each pair counted once.",
        ),
    }
    plots = []
    for figure, (title, axis, note) in titles.items():
        drawn, left_out = _plot(study, decision, figure, axis)
        remark = f" Left out: {', '.join(left_out)}." if left_out else ""
        caption = tag("figcaption", note, remark)
        plots.append(tag("figure", tag("h3", title), drawn, caption, class_="plot"))
    return tag("div", *plots, class_="plots")


def _plot(study: Study, decision: Decision, figure: str, axis: str) -> tuple[Markup, list[str]]:
    rows = study.designs
    mine = [at for at in decision.losses if rows[at].quantized]
    shown = [at for at in mine if getattr(rows[at], figure) is not None]
    left_out = [rows[at].label for at in mine if at not in shown]
    if not shown:
        return tag("p", "No design has this figure.", class_="lack"), left_out
    fp32 = [rows[at] for at in decision.losses if not rows[at].quantized]
    best = max(rows[at].accuracy for at in shown)
    front = pareto(rows, shown, figure)
    points = []
    for at in shown:
        row, value = rows[at], getattr(rows[at], figure)
        mark = "chosen" if at == decision.chosen else "front" if at in front else "point"
        title = f"{row.label}: {number(value)}, {row.accuracy:.2f} %"
        points.append(Point(value, row.accuracy, row.label, title, mark))
    plot = Plot(
        axis,
        "test accuracy, %",
        points,
        [(getattr(rows[at], figure), rows[at].accuracy) for at in front],
        [(row.accuracy, "fp32") for row in fp32[:1]],
        y_least=1.0,
        floor=best - _FLOOR if min(rows[at].accuracy for at in shown) < best - _FLOOR else None,
    )
    names = ", ".join(rows[at].label for at in front)
    return draw(plot, f"test accuracy against {axis}; Pareto front: {names}"), left_out


def _designs(study: Study, decision: Decision) -> Markup:
    marks = {
        decision.reference: "reference",
        decision.runner_up: "runner-up",
        decision.chosen: "use",
    }
    columns = (
        Column("design", lambda at: study.designs[at].label),
        Column("", lambda at: marks.get(at, "")),
        Column("before %", lambda at: study.designs[at].before, ".2f"),
        Column("test %", lambda at: study.designs[at].accuracy, ".2f"),
        Column("held-out %", lambda at: study.designs[at].validation, ".2f"),
        Column("lost, points", lambda at: decision.losses[at], ".2f"),
        Column("energy nJ", lambda at: study.designs[at].energy_nj, NUMBER),
        Column("saved %", lambda at: decision.saved_pct[at], ".1f"),
        Column("area µm²", lambda at: study.designs[at].area_um2, ",.0f"),
        Column("delay ps", lambda at: study.designs[at].delay_ps, ",.0f"),
        Column("MAE %", lambda at: study.designs[at].mae_pct, ".4f"),
        Column("MRE %", lambda at: study.designs[at].mre_pct, ".3f"),
    )
    caption = f"{decision.model} on {decision.data}; lost: on the {_images(decision)} images"
    return table(columns, list(decision.losses), caption, chosen=lambda at: at == decision.chosen)


def _images(decision: Decision) -> str:
    return "held-out" if decision.judged_on == "validation" else "test"
