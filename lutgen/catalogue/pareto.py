"""Pareto fronts of designs by two figures, and which designs may be compared at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .figures import COST_FIGURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .collect import Catalogue, Entry

_PREFERRED = (
    ("area_um2", "mae_pct"),
    ("power_uw", "mre_nonzero_pct"),
    ("delay_ps", "mre_nonzero_pct"),
    ("wce_pct", "mae_pct"),
)
"""Axes (x, y) to begin with, as far as designs have them."""
PLOTS = 2


@dataclass(frozen=True, slots=True)
class Plot:
    """A scatter plot as the page first shows it.

    Attributes:
        x: key of the figure to the right.
        y: key of the figure upwards.
        kind: the operands that designs must have to be compared.
        library: SHA-256 of the cell library that their cost must be from, if an axis is a cost.
        points: indices of the designs shown.
        front: those of them that no other dominates, by x, then y.
    """

    x: str
    y: str
    kind: str
    library: str
    points: tuple[int, ...]
    front: tuple[int, ...]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points that no other point dominates, by x, then y.

    A point dominates another if it is no greater in both coordinates and smaller in one; so equal
    points are on the front together.
    """
    order = sorted(range(len(points)), key=lambda index: points[index])
    found: list[int] = []
    for index in order:
        if (
            not found
            or points[index][1] < points[found[-1]][1]
            or points[index] == points[found[-1]]
        ):
            found.append(index)
    return found


def default_plots(catalogue: Catalogue) -> list[Plot]:
    """Return the plots that the page shows first.

    Figures of designs with unlike operands do not compare, nor do costs from unlike cell libraries;
    a plot therefore takes the most frequent operands and, if an axis is a cost, of these the most
    frequent library.
    """
    plots: list[Plot] = []
    for x, y in _PREFERRED:
        points = [
            (index, entry)
            for index, entry in enumerate(catalogue.entries)
            if entry.values.get(x) is not None and entry.values.get(y) is not None
        ]
        if points and len(plots) < PLOTS:
            plots.append(_plot(x, y, points))
    return plots


def _plot(x: str, y: str, points: Sequence[tuple[int, Entry]]) -> Plot:
    kind = Counter(entry.kind for _, entry in points).most_common(1)[0][0]
    alike = [(index, entry) for index, entry in points if entry.kind == kind]
    library = Counter(entry.library for _, entry in alike).most_common(1)[0][0]
    of_cost = {figure.key for figure in COST_FIGURES} & {x, y}
    shown = [(index, entry) for index, entry in alike if entry.library == library or not of_cost]
    places = [(entry.axis_value(x), entry.axis_value(y)) for _, entry in shown]
    return Plot(
        x=x,
        y=y,
        kind=kind,
        library=library,
        points=tuple(index for index, _ in shown),
        front=tuple(shown[place][0] for place in front(places)),
    )
