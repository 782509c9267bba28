"""Mantissa tables as kernels read them: a row for each number that is taken one at a time.

Of up to 7 bits, a mantissa and its carry are a byte, and what a kernel handles of a number is its
upper half: sign, exponent and 7 bits of mantissa. For an index of 7 bits, those that the table does
not have being ignored::

    carry << 7 | mantissa << (7 - m) = entries[row][index] + base[row] + (index & keep)

``keep`` is all ones where the right side's first term then fits a byte in every row, which is so for
all that resembles a product: the upper half of a number is then added to the entry as it stands.
Where it does not fit, ``keep`` leaves sign and exponent alone and base is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BITS = 11
NARROW_BITS = 7
"""The widest mantissas that are looked up as bytes."""

_KEEP_ALL, _KEEP_UPPER = 0xFFFF, 0xFF80


@dataclass(frozen=True, eq=False)
class MantissaLayout:
    """A mantissa table for kernels; the formula is in the module's text.

    Attributes:
        bits: of a mantissa.
        keep: of a number's upper half, what is added to the entry.
        entries: uint8 [2^bits, 128]; None for more than 7 bits.
        deltas: uint8 [2^bits, 128]: sixteen entries at a time, their exclusive or with the sixteen
            before; None for more than 7 bits.
        base: int32 [2^bits]; None for more than 7 bits.
        wide: uint16 [4^bits + 1], the codes row by row and one unused; None for up to 7 bits.
    """

    bits: int
    keep: int
    entries: NDArray[np.uint8] | None
    deltas: NDArray[np.uint8] | None
    base: NDArray[np.int32] | None
    wide: NDArray[np.uint16] | None

    def codes(self) -> NDArray[np.uint16]:
        """Return what the layout says, uint16 [2^bits, 2^bits]: ``carry << bits | mantissa``."""
        side = 1 << self.bits
        if self.entries is None or self.base is None:
            assert self.wide is not None
            return self.wide[:-1].reshape(side, side)
        index = np.arange(128) & self.keep
        bytes_ = self.entries.astype(np.int64) + self.base[:, None] + index
        return (bytes_[:, :: 128 // side] >> (NARROW_BITS - self.bits)).astype(np.uint16)


def mantissa_layout(codes: NDArray[np.uint16]) -> MantissaLayout:
    """Return the layout of a table [2^m, 2^m] of codes ``carry << m | mantissa``."""
    side = codes.shape[0]
    bits = side.bit_length() - 1
    if bits > NARROW_BITS:
        wide = np.append(codes.ravel(), np.uint16(0))  # kernels read two entries at a time
        return MantissaLayout(bits, _KEEP_UPPER, None, None, None, wide)
    whole = np.repeat(codes.astype(np.int64) << (NARROW_BITS - bits), 128 // side, axis=1)
    lifted = whole - np.arange(128)
    base = lifted.min(axis=1)
    keep = _KEEP_ALL
    entries = lifted - base[:, None]
    if entries.max() > 255:
        keep, entries, base = _KEEP_UPPER, whole, np.zeros_like(base)
    rows = entries.astype(np.uint8)
    sixteens = rows.reshape(side, 8, 16).copy()
    sixteens[:, 1:] ^= rows.reshape(side, 8, 16)[:, :-1]
    return MantissaLayout(
        bits, keep, rows, sixteens.reshape(side, 128), base.astype(np.int32), wide=None
    )
