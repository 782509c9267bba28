"""Mistakes that people make with mantissa tables.

They act on combined entries, carry * 2^m + mantissa: the product's place among the 2^(m+1) that
there are.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from .mistakes import Mistake, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..mantissa import MantissaTable


def combined(table: MantissaTable) -> NDArray[np.int64]:
    """Return carry * 2^m + mantissa, int64 [2^m, 2^m]."""
    return table.mantissa.astype(np.int64) + (table.carry.astype(np.int64) << table.mantissa_bits)


def view_of(table: MantissaTable) -> View:
    """Return a mantissa table as mistakes see it."""
    return View(combined(table), (False, False), table.mantissa_bits + 1, out_signed=False)


def _transposed(view: View) -> View:
    return view.having(view.products.T)


def _off_by_one(view: View, step: int) -> View:
    """Mantissas one higher or lower, held within their bits; the carry as it was."""
    carry = view.products >> (view.out_bits - 1) << (view.out_bits - 1)
    mantissa = view.products - carry
    return view.having(carry + np.clip(mantissa + step, 0, (1 << (view.out_bits - 1)) - 1))


def _wrapped_by_one(view: View, step: int) -> View:
    """Entries one higher or lower, from mantissa to carry and round the end."""
    return view.having((view.products + step) & ((1 << view.out_bits) - 1))


def _shifted_by_one(view: View, axes: tuple[int, ...], step: int) -> View:
    return view.having(np.roll(view.products, step, axis=axes))


def _not_normalized(view: View) -> View:
    """With a carry, the bits below the leading one begin a place too high: its own one is kept."""
    half = 1 << (view.out_bits - 1)
    carry = view.products >= half
    shifted = half + ((view.products - half) >> 1) + half // 2
    return view.having(np.where(carry, shifted, view.products))


def _carry_lost(view: View) -> View:
    return view.having(view.products & ((1 << (view.out_bits - 1)) - 1))


def _carry_inverted(view: View) -> View:
    return view.having(view.products ^ (1 << (view.out_bits - 1)))


_ALL = (
    Mistake("transposed", "rows and columns are exchanged", _transposed),
    Mistake("one-high", "mantissas are one too high", partial(_off_by_one, step=1)),
    Mistake("one-low", "mantissas are one too low", partial(_off_by_one, step=-1)),
    Mistake(
        "one-high-carried",
        "entries are one too high, and the carry follows",
        partial(_wrapped_by_one, step=1),
    ),
    Mistake(
        "one-low-borrowed",
        "entries are one too low, and the carry follows",
        partial(_wrapped_by_one, step=-1),
    ),
    Mistake(
        "operands-one-high",
        "rows and columns are one place too far on",
        partial(_shifted_by_one, axes=(0, 1), step=1),
    ),
    Mistake(
        "operands-one-low",
        "rows and columns are one place too early",
        partial(_shifted_by_one, axes=(0, 1), step=-1),
    ),
    Mistake(
        "not-normalized",
        "where there is a carry, the mantissa is one place off: the leading one is still in it",
        _not_normalized,
    ),
    Mistake("carry-lost", "the carry is missing", _carry_lost),
    Mistake("carry-inverted", "the carry is inverted", _carry_inverted),
)

MANTISSA_MISTAKES: Mapping[str, Mistake] = MappingProxyType({entry.name: entry for entry in _ALL})
"""The known mistakes by name, in the order in which they are tried."""
