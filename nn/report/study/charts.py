"""Plots as inline SVG: points with names and a front, and lines over epochs.

Colours come from classes of the page's style, so that a plot follows light and dark. The drawing
is narrow enough to be read on a telephone without being scaled down much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from ....lutgen.catalogue.markup import Markup, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 460, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_CHARACTER, _LINE = 6.9, 12.0
"""Size of a letter of a label, for keeping labels apart."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a plot.

    Attributes:
        x: to the right.
        y: upwards.
        label: written beside it where there is room; "" for nothing.
        title: shown on hovering, and read aloud.
        mark: class of its mark: "point", "front", "chosen", "faint", "fitted".
        low: lower end of an interval in y, or None.
        high: upper end.
    """

    x: float
    y: float
    label: str
    title: str
    mark: str = "point"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A line through points, by x.

    Attributes:
        points: (x, y).
        label: its name.
    """

    points: tuple[tuple[float, float], ...]
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What to draw.

    Attributes:
        x_title: of the axis to the right.
        y_title: of the axis upwards.
        points: to mark.
        front: points that a staircase joins, by x; y may rise or fall.
        levels: (y, name) of horizontal lines.
        diagonal: whether to draw y = x.
        floor: y below which points are drawn at the lower edge, with their value; None for none.
        series: lines.
        y_least: least span of the axis upwards, so that noise does not fill it.
    """

    x_title: str
    y_title: str
    points: Sequence[Point] = ()
    front: Sequence[tuple[float, float]] = ()
    levels: Sequence[tuple[float, str]] = ()
    diagonal: bool = False
    floor: float | None = None
    series: Sequence[Series] = field(default=())
    y_least: float = 0.0


def draw(plot: Plot, name: str) -> Markup:
    """Return a plot as an SVG element.

    Args:
        plot: what to draw.
        name: what it is, for those who cannot see it.
    """
    frame = _Frame(plot)
    parts = [*frame.axes(), *_levels(plot, frame)]
    if plot.diagonal:
        low, high = max(frame.x_range[0], frame.y_range[0]), min(frame.x_range[1], frame.y_range[1])
        parts.append(_path("level", [(low, low), (high, high)], frame))
    if plot.front:
        parts.append(_staircase(plot, frame))
    parts += [
        _path(f"line tone-{index % 8}", series.points, frame)
        for index, series in enumerate(plot.series)
    ]
    parts += [
        tag(
            "circle",
            cx=f"{frame.x(x):.1f}",
            cy=f"{frame.y(y):.1f}",
            r=2.5,
            class_=f"dot tone-{i % 8}",
        )
        for i, series in enumerate(plot.series)
        for x, y in series.points
    ]
    # All intervals first: a bar would cover the points behind it.
    parts += [_interval(point, frame) for point in plot.points]
    parts += [_mark(point, plot, frame) for point in plot.points]
    parts += _labels(plot, frame)
    return tag(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=name, class_="chart"
    )


class _Frame:
    """Maps figures to places in the drawing."""

    def __init__(self, plot: Plot) -> None:
        xs = [one.x for one in plot.points] + [x for one in plot.series for x, _ in one.points]
        ys = [y for one in plot.series for _, y in one.points] + [y for y, _ in plot.levels]
        for one in plot.points:
            ys += [value for value in (one.y, one.low, one.high) if value is not None]
        if plot.floor is not None:
            ys = [y for y in ys if y >= plot.floor] + [plot.floor]
        self.plot = plot
        self.x_range, self.y_range = _range(xs), _range(ys, plot.y_least)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        place = _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return min(place, HEIGHT - _BOTTOM - 7)

    def axes(self) -> Iterator[Markup]:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        yield tag("path", d=f"M{_LEFT} {_TOP}V{bottom}H{right}", class_="axis")
        for at in ticks(*self.x_range):
            x = self.x(at)
            yield tag("path", d=f"M{x:.1f} {_TOP}V{bottom}", class_="grid")
            yield _text(x, bottom + 16, f"{at:,g}", "middle")
        for at in ticks(*self.y_range):
            y = self.y(at)
            yield tag("path", d=f"M{_LEFT} {y:.1f}H{right}", class_="grid")
            yield _text(_LEFT - 6, y + 4, f"{at:,g}", "end")
        yield _text((_LEFT + right) / 2, HEIGHT - 8, self.plot.x_title, "middle")
        middle = f"translate(13 {(_TOP + bottom) / 2:.0f}) rotate(-90)"
        yield tag("text", self.plot.y_title, transform=middle, text_anchor="middle")


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Return round values between two others: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / wanted
    power = 1.0
    while power > rough:
        power /= 10
    while power * 10 <= rough:
        power *= 10
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = int(low // step)
    places = (round(step * (first + k), 10) for k in range(2 * wanted + 4))
    return [at for at in places if low <= at <= high]


def _range(values: Sequence[float], least: float = 0.0) -> tuple[float, float]:
    low, high = min(values), max(values)
    short = max(0.0, least - (high - low)) / 2
    low, high = low - short, high + short
    margin = 0.06 * (high - low) or max(0.5, 0.01 * abs(high))
    return low - margin, high + margin


def _levels(plot: Plot, frame: _Frame) -> Iterator[Markup]:
    for value, name in plot.levels:
        y = frame.y(value)
        yield tag("path", d=f"M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}", class_="level")
        yield tag("text", name, x=_LEFT + 4, y=f"{y - 3:.1f}", class_="level-name")


def _staircase(plot: Plot, frame: _Frame) -> Markup:
    places = [(frame.x(x), frame.y(y)) for x, y in plot.front]
    path = f"M{places[0][0]:.1f} {HEIGHT - _BOTTOM}V{places[0][1]:.1f}"
    for x, y in places[1:]:
        path += f"H{x:.1f}V{y:.1f}"
    return tag("path", d=f"{path}H{WIDTH - _RIGHT}", class_="front-line")


def _path(kind: str, points: Sequence[tuple[float, float]], frame: _Frame) -> Markup:
    places = "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in points)
    return tag("path", d=f"M{places}", class_=kind)


def _interval(point: Point, frame: _Frame) -> Markup:
    if point.low is None or point.high is None:
        return Markup()
    span = f"M{frame.x(point.x):.1f} {frame.y(point.low):.1f}V{frame.y(point.high):.1f}"
    return tag("path", d=span, class_="interval")


def _mark(point: Point, plot: Plot, frame: _Frame) -> Markup:
    x, y = frame.x(point.x), frame.y(point.y)
    shapes = {
        "front": "M0-5L5 0L0 5L-5 0Z",
        "chosen": "M0-8L2.4-2.6L8-2.5L3.6 1.2L5.2 7L0 3.6L-5.2 7L-3.6 1.2L-8-2.5L-2.4-2.6Z",
    }
    shape = shapes.get(point.mark, "M3.5 0A3.5 3.5 0 1 1-3.5 0A3.5 3.5 0 1 1 3.5 0Z")
    if plot.floor is not None and point.y < plot.floor:
        shape = "M-5-4H5L0 5Z"
    mark = tag("path", tag("title", point.title), d=shape, transform=f"translate({x:.1f} {y:.1f})")
    return tag("g", mark, class_=f"mark {point.mark}")


def _labels(plot: Plot, frame: _Frame) -> Iterator[Markup]:
    """Write each label beside its point where it covers nothing; else leave it to the table."""
    taken = [
        _around(frame.x(p.x), frame.y(p.y), 8 if p.mark == "chosen" else 5) for p in plot.points
    ]
    taken += [
        (_LEFT + 2.0, frame.y(value) - 14, _CHARACTER * len(name), 14.0)
        for value, name in plot.levels
    ]
    lines = _front_boxes(plot, frame)
    order = {"chosen": 0, "front": 1}
    for point in sorted(plot.points, key=lambda one: order.get(one.mark, 2)):
        hidden = plot.floor is not None and point.y < plot.floor
        text = f"{point.label} {point.y:.1f}" if hidden and point.label else point.label
        width, x, y = _CHARACTER * len(text), frame.x(point.x), frame.y(point.y)
        choices = [
            (x + 8, y - 6), (x - width - 8, y - 6), (x - width / 2, y - 20),
            (x - width / 2, y + 8), (x + 6, y - 18), (x + 6, y + 6),
            (x - width - 6, y - 18), (x - width - 6, y + 6),
        ]  # fmt: skip
        boxes = [
            (left, top, width, _LINE)
            for left, top in choices
            if left >= _LEFT + 2 and left + width <= WIDTH and 0 <= top <= HEIGHT - _BOTTOM - _LINE
        ]
        free = [box for box in boxes if text and not any(_meet(box, t) for t in taken)]
        clear = [box for box in free if not any(_meet(box, line) for line in lines)]
        for left, top, *_ in (clear or free)[:1]:
            taken.append((left, top, width, _LINE))
            yield tag("text", text, x=f"{left:.1f}", y=f"{top + 10:.1f}", class_="name")


def _around(x: float, y: float, reach: float) -> tuple[float, float, float, float]:
    return x - reach, y - reach, 2 * reach, 2 * reach


def _front_boxes(plot: Plot, frame: _Frame) -> list[tuple[float, ...]]:
    """Return thin boxes along the staircase; a label covers it only if there is no other room."""
    places = [(frame.x(x), frame.y(y)) for x, y in plot.front]
    places = [(places[0][0], HEIGHT - _BOTTOM), *places, (WIDTH - _RIGHT, 0.0)] if places else []
    boxes: list[tuple[float, ...]] = []
    for (x, y), (next_x, next_y) in pairwise(places):
        boxes.append((x, y - 1, next_x - x, 2.0))
        boxes.append((next_x - 1, min(y, next_y), 2.0, abs(next_y - y)))
    return boxes


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return tag("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def legend(series: Sequence[Series]) -> Markup:
    """Return the names of lines in their colours."""
    items = [
        tag("li", tag("span", class_=f"swatch tone-{index % 8}"), one.label)
        for index, one in enumerate(series)
    ]
    return join(tag("ul", *items, class_="legend-list"))
