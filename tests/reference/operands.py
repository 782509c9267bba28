"""Operand values and bits, laid out so that NumPy broadcasting forms the whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table: TypeAlias = NDArray[np.int64]


def unsigned_operands(width: int) -> tuple[Table, Table]:
    """Return a as int64 [2^width, 1] and b as int64 [1, 2^width]: entry c is the value c."""
    values = np.arange(1 << width, dtype=np.int64)
    return values[:, None], values[None, :]


def signed_operands(width: int) -> tuple[Table, Table]:
    """Return a as int64 [2^width, 1] and b as int64 [1, 2^width]: code c read as two's complement."""
    half = 1 << (width - 1)
    values = (np.arange(1 << width, dtype=np.int64) + half) % (2 * half) - half
    return values[:, None], values[None, :]


def bit(value: Table, position: int) -> Table:
    """Return one bit (0 or 1) of each value; negative values are read as two's complement."""
    return (value >> position) & 1


def leading_one(value: Table) -> Table:
    """Return floor(log2(value)) for values from 1 up, and 0 for 0."""
    # frexp is exact for integers below 2^53: value = m * 2^e with 0.5 <= m < 1.
    exponent = np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1
    return np.maximum(exponent, 0)
