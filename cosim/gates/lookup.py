"""Look-up tables over input slew and output load, as cell libraries give energies and delays."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A quantity sampled on a grid.

    Attributes:
        slews_ps: rising input slews; one entry if the quantity does not depend on the slew.
        loads_ff: rising output loads; one entry if it does not depend on the load.
        values: the samples, slew by slew: entry ``s * len(loads_ff) + l``.
    """

    slews_ps: tuple[float, ...]
    loads_ff: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, slew_ps: float, load_ff: float, *, extrapolate: bool = False) -> float:
        """Interpolate bilinearly.

        Args:
            slew_ps: input slew.
            load_ff: output load.
            extrapolate: beyond the grid, follow its last cell (what timing analysers do) rather
                than hold the value at its border (safe for energies, which must not turn
                negative because of a load beyond the table).
        """
        row, in_row = _place(self.slews_ps, slew_ps, extrapolate)
        column, in_column = _place(self.loads_ff, load_ff, extrapolate)
        width = len(self.loads_ff)
        low = self._along(row * width + column, in_column)
        if in_row == 0.0:
            return low
        high = self._along((row + 1) * width + column, in_column)
        return low + in_row * (high - low)

    def _along(self, index: int, fraction: float) -> float:
        value = self.values[index]
        return value if fraction == 0.0 else value + fraction * (self.values[index + 1] - value)


def _place(grid: Sequence[float], value: float, extrapolate: bool) -> tuple[int, float]:
    """Return the grid cell that holds a value, and where in the cell it lies (0 to 1)."""
    if len(grid) == 1:
        return 0, 0.0
    if not extrapolate:
        value = min(max(value, grid[0]), grid[-1])
    index = min(max(bisect_right(grid, value) - 1, 0), len(grid) - 2)
    return index, (value - grid[index]) / (grid[index + 1] - grid[index])


def constant(value: float) -> LookupTable:
    """Return a table that has one value everywhere."""
    return LookupTable((0.0,), (0.0,), (value,))


def weighted_sum(parts: Iterable[tuple[float, LookupTable]]) -> LookupTable | None:
    """Return the table of ``sum(weight * table)``, exactly, on the union of the grids.

    None for no parts. Beyond its own grid each part holds the value at its border.
    """
    parts = list(parts)
    if not parts:
        return None
    slews = sorted({slew for _, table in parts for slew in table.slews_ps})
    loads = sorted({load for _, table in parts for load in table.loads_ff})
    # An axis that no part depends on stays a single point.
    if all(len(table.slews_ps) == 1 for _, table in parts):
        slews = slews[:1]
    if all(len(table.loads_ff) == 1 for _, table in parts):
        loads = loads[:1]
    if all((table.slews_ps, table.loads_ff) == (tuple(slews), tuple(loads)) for _, table in parts):
        columns = zip(*(table.values for _, table in parts), strict=True)
        weights = [weight for weight, _ in parts]
        values = [sum(w * v for w, v in zip(weights, row, strict=True)) for row in columns]
    else:
        values = [
            sum(weight * table.at(slew, load) for weight, table in parts)
            for slew in slews
            for load in loads
        ]
    return LookupTable(tuple(slews), tuple(loads), tuple(values))
