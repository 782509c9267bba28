"""The candidates of a search as an SVG: accuracy lost against energy saved."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .outcome import Candidate
    from .results import StudyResult

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 56
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def draw_study(result: StudyResult) -> str:
    """Return an SVG with every candidate, the front, the single designs, and the loss allowed.

    Candidates whose evaluation was stopped, or that a predictor spared, are left out: their loss
    is known on a part of the images alone, or not at all.
    """
    shown = [one for one in result.candidates if one.is_complete and one.is_feasible]
    axes = _Axes(
        [result.saved_pct(one.assignment.by_layer) for one in shown] + [0.0],
        [one.loss_points for one in shown] + [0.0, result.max_loss],
    )
    singles = [one for one in shown if len(set(one.assignment.by_layer)) == 1]
    parts = [*axes.draw(), _limit(axes, result.max_loss)]
    parts += [_dot(axes, result, one, "#b8bec8", 2.5) for one in shown]
    parts += [_dot(axes, result, one, "#d9822b", 4.0) for one in singles]
    line = " ".join(
        f"{axes.x(result.saved_pct(one.assignment.by_layer)):.1f},{axes.y(one.loss_points):.1f}"
        for one in result.front
    )
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    parts += [_dot(axes, result, one, "#1f5fa8", 3.5) for one in result.front]
    if result.chosen is not None:
        chosen = result.chosen.candidate
        x, y = axes.x(result.saved_pct(chosen.assignment.by_layer)), axes.y(chosen.loss_points)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="#b0203a" stroke-width="2"/>'
        )
    legend = "grey: candidates; orange: one design for all layers; blue: front; red: chosen"
    parts.append(_text(_LEFT, 20, legend, "start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">'
        '<rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>\n"
    )


class _Axes:
    """Maps energy saved (percent) and loss (points) to places in the picture."""

    def __init__(self, saved: Sequence[float], losses: Sequence[float]) -> None:
        self._x = _range(saved)
        self._y = _range(losses)

    def x(self, saved: float) -> float:
        low, high = self._x
        return _LEFT + (saved - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, loss: float) -> float:
        low, high = self._y
        return _TOP + (high - loss) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def draw(self) -> Iterator[str]:
        """Yield grid lines, figures and titles."""
        bottom = _HEIGHT - _BOTTOM
        for at in _ticks(*self._x):
            x = self.x(at)
            yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#e8eaee"/>'
            yield _text(x, bottom + 18, f"{at:g}", "middle")
        for at in _ticks(*self._y):
            y = self.y(at)
            yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#e8eaee"/>'
            yield _text(_LEFT - 8, y + 4, f"{at:g}", "end")
        title = "multiplication energy saved, % of the exact design's"
        yield _text((_LEFT + _WIDTH) / 2, _HEIGHT - 14, title, "middle")
        middle = (_TOP + bottom) / 2
        yield (
            f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">'
            "accuracy lost on the images of the search, points</text>"
        )


def _dot(axes: _Axes, result: StudyResult, one: Candidate, fill: str, radius: float) -> str:
    saved = result.saved_pct(one.assignment.by_layer)
    title = f"candidate {one.number}: {saved:.1f} % saved, {one.loss_points:.2f} points lost; "
    title += ", ".join(one.assignment.designs)
    return (
        f'<circle cx="{axes.x(saved):.1f}" cy="{axes.y(one.loss_points):.1f}" r="{radius}" '
        f'fill="{fill}"><title>{escape(title)}</title></circle>'
    )


def _limit(axes: _Axes, points: float) -> str:
    y = axes.y(points)
    return (
        f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#b0203a" '
        f'stroke-dasharray="5 4"/>' + _text(_WIDTH - _RIGHT, y - 5, f"{points:g} points", "end")
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    step = next((step for step in _STEPS if (high - low) / step <= 10), _STEPS[-1])
    first = int(low / step) - 1
    places = (step * (first + k) for k in range(int((high - low) / step) + 3))
    return [round(at, 6) for at in places if low <= at <= high]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
