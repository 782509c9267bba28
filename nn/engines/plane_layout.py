"""Tables of up to 256 activation codes as byte planes, for look-ups in vector registers.

Any table can be written, in many ways, as::

    T[a, b] = base[b] + scale * ((slopes[b] + common) * (a ^ flip)
                                 + unit * sum_p 256^p * planes[b][p][a])

An engine looks the planes up, a byte at a time, and gets the term with the slopes from dot
products of bytes. Without slopes a table takes as many planes as its widest column needs bytes.
With slopes near the exact product only the error of the multiplier is left to look up: often a
single plane, or none.

The slope of a column need not be the weight's value. A multiplier that drops its low six result
bits has products 64 * (0 .. 1016); a line of slope round(b / 64) leaves less than a byte of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .native_library import address_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 256
"""Activation codes of a plane; narrower tables are repeated."""


@dataclass(frozen=True, eq=False)
class PlaneLayout:
    """A table as planes; the formula is in the module's text, modulo 2^32.

    Attributes:
        rows: activation codes that the table has; planes repeat them up to 256.
        scale: common divisor of what the table adds to ``base``.
        unit: greatest common divisor of what the planes hold, which is divided by it.
        flip: what turns an activation code into the unsigned number that slopes multiply.
        common: part of every slope that does not fit a signed byte.
        base: int32 [2^wb].
        planes: uint8 [2^wb, count, 256], aligned to 64 bytes; count 0 to 4.
        slopes: int8 [2^wb], or None where there are none.
    """

    rows: int
    scale: int
    unit: int
    flip: int
    common: int
    base: NDArray[np.int32]
    planes: NDArray[np.uint8]
    slopes: NDArray[np.int8] | None

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """What `struct TableConv` holds of it: count, scale, unit, flip, common."""
        return self.count, self.scale, self.unit, self.flip, self.common

    @cached_property
    def addresses(self) -> tuple[int | None, ...]:
        """Where planes, base and slopes begin."""
        return address_of(self.planes), address_of(self.base), address_of(self.slopes)

    @property
    def count(self) -> int:
        """Planes per weight code."""
        return int(self.planes.shape[1])

    def table(self) -> NDArray[np.int32]:
        """Return what the layout says, int32 [rows, 2^wb] modulo 2^32."""
        weights = 256 ** np.arange(self.count, dtype=np.int64)
        planes = self.planes[:, :, : self.rows].astype(np.int64)
        looked_up = (planes * weights[:, None]).sum(axis=1).T
        scaled = self.unit * looked_up
        if self.slopes is not None:
            flipped = np.arange(self.rows, dtype=np.int64) ^ self.flip
            scaled = scaled + flipped[:, None] * (self.slopes.astype(np.int64) + self.common)
        return _wrapped(self.base.astype(np.int64) + self.scale * scaled)


def plane_layout(products: NDArray[np.int32]) -> PlaneLayout | None:
    """Return a table's planes without slopes, or None for more than 256 activation codes."""
    if products.shape[0] > ROWS:
        return None
    return _layout(products.astype(np.int64), flip=0, scale=1, slopes=None)


def residual_layout(products: NDArray[np.int32]) -> PlaneLayout | None:
    """Return the layout of at most one plane beside dot products, or None if there is none.

    A table does not say whether its operands are signed, nor what it approximates. Tried are the
    exact products of signed and unsigned operands, and the straight line that leaves each column
    the narrowest.
    """
    rows, columns = products.shape
    if rows > ROWS or columns > ROWS:
        return None
    table = products.astype(np.int64)
    codes = np.arange(columns, dtype=np.int64)
    half_a, half_b = rows // 2, columns // 2
    scale = _divisor(table - table.min(axis=0))
    found = []
    for flip in (0, half_a):
        for slopes in (codes, (codes ^ half_b) - half_b):
            found.append(_layout(table, flip=flip, scale=1, slopes=slopes))
        lines = _narrowest_lines((table - table[0]) // scale, flip)
        if int(np.ptp(lines)) < 256:
            found.append(_layout(table, flip=flip, scale=scale, slopes=lines))
    best = min(found, key=lambda layout: (layout.count, layout.common != 0))
    return best if best.count <= 1 else None


def _narrowest_lines(table: NDArray[np.int64], flip: int) -> NDArray[np.int64]:
    """Return the integer slope of each column that leaves it narrow: near the least squares'."""
    x = (np.arange(len(table), dtype=np.int64) ^ flip)[:, None]
    centred = x - x.mean()
    fitted = np.floor((centred * table).sum(axis=0) / (centred**2).sum()).astype(np.int64)
    tried = fitted + np.arange(-1, 3)[:, None]
    widths = np.stack([np.ptp(table - x * slopes, axis=0) for slopes in tried])
    chosen: NDArray[np.int64] = tried[widths.argmin(axis=0), np.arange(table.shape[1])]
    return chosen


def _layout(
    table: NDArray[np.int64], *, flip: int, scale: int, slopes: NDArray[np.int64] | None
) -> PlaneLayout:
    rows, columns = table.shape
    rest, common = table, 0
    if slopes is not None:
        rest = table - scale * (np.arange(rows, dtype=np.int64) ^ flip)[:, None] * slopes
        if slopes.min() < -128 or slopes.max() > 127:
            common = int(slopes.min()) + 128
        slopes = slopes - common
    base = rest.min(axis=0)
    rest = (rest - base) // scale
    unit = _divisor(rest)
    entries = np.tile((rest // unit).T, (1, ROWS // rows))
    count = (int(entries.max()).bit_length() + 7) // 8
    planes = _aligned((columns, count, ROWS))
    for p in range(count):
        planes[:, p] = entries >> 8 * p & 0xFF
    return PlaneLayout(
        rows=rows,
        scale=scale,
        unit=unit,
        flip=flip,
        common=common,
        base=_wrapped(base),
        planes=planes,
        slopes=None if slopes is None else slopes.astype(np.int8),
    )


def _divisor(values: NDArray[np.int64]) -> int:
    return int(np.gcd.reduce(values, axis=None)) or 1


def _wrapped(values: NDArray[np.int64]) -> NDArray[np.int32]:
    return values.astype(np.uint32).view(np.int32)


def _aligned(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = int(np.prod(shape))
    memory = np.empty(size + 64, dtype=np.uint8)
    skip = -memory.ctypes.data % 64
    return memory[skip : skip + size].reshape(shape)
