"""Pictures of studies, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .study import Row

_WIDTH, _HEIGHT = 6.4, 4.0  # inches


def _figure(panels: int = 1) -> Figure:
    figure = Figure(figsize=(_WIDTH if panels == 1 else 4.4 * panels, _HEIGHT), layout="tight")
    FigureCanvasSVG(figure)
    return figure


def curves(panels: Mapping[str, Mapping[str, Sequence[Row]]]) -> Figure:
    """Draw validation accuracy over epochs: a panel each, in it a line for each label.

    Lines are means over seeds; where there are several, a band goes from the least to the greatest.
    """
    figure = _figure(len(panels))
    axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axis, (title, groups) in zip(axes, panels.items(), strict=False):
        for label, rows in groups.items():
            if not rows:
                continue
            values = np.array([row.curve for row in rows])
            epochs = np.arange(1, values.shape[1] + 1)
            (line,) = axis.plot(epochs, values.mean(axis=0), label=label, linewidth=1.2)
            if len(rows) > 1:
                axis.fill_between(
                    epochs,
                    values.min(axis=0),
                    values.max(axis=0),
                    alpha=0.2,
                    color=line.get_color(),
                    linewidth=0,
                )
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("validation accuracy, %")
    axes[0].legend(fontsize=8)  # the first has every line, also while runs are missing
    return figure


def grouped_bars(
    groups: Mapping[str, Mapping[str, tuple[float, float | None]]], label: str
) -> Figure:
    """Draw bars of (mean, spread or None), side by side in each group."""
    figure = _figure()
    axis = figure.subplots()
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        found = [(at, bars[name]) for at, bars in enumerate(groups.values()) if name in bars]
        axis.bar(
            [at + (place - (len(names) - 1) / 2) * width for at, _ in found],
            [mean for _, (mean, _) in found],
            width,
            yerr=[spread or 0.0 for _, (_, spread) in found],
            capsize=2,
            label=name,
        )
    axis.set_xticks(range(len(groups)), list(groups), rotation=25, ha="right", fontsize=8)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, axis="y")
    if names:
        axis.legend(fontsize=8)
    return figure


def scatter_and_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    points: Sequence[tuple[float, float, str]],
    *,
    level: float | None,
    labels: tuple[str, str, str],
) -> Figure:
    """Draw lines and named points over a logarithmic axis, and a level.

    Args:
        lines: label -> (x, y) of each point.
        points: (x, y, name).
        level: of a dashed line, or None.
        labels: of x, of y, of the points.
    """
    figure = _figure()
    axis = figure.subplots()
    for label, pairs in lines.items():
        axis.plot(
            *zip(*pairs, strict=True), marker=".", linewidth=1.2, label=label
        ) if pairs else None
    if points:
        x, y, names = zip(*points, strict=True)
        axis.plot(x, y, "k^", markersize=4, label=labels[2])
        for place in zip(x, y, names, strict=True):
            axis.annotate(
                place[2], place[:2], fontsize=5, xytext=(3, -6), textcoords="offset points"
            )
    if level is not None:
        axis.axhline(level, linestyle="--", linewidth=0.8, color="grey", label="float32")
    axis.set_xscale("log")
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
    return figure
