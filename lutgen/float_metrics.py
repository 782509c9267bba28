"""Relative errors of a mantissa table: those of a floating-point multiplier for normal operands.

Sign and exponent being exact, the relative error of a product depends on the mantissas alone. All
figures are over the 4^m pairs of mantissas, each counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .rounding import Rounding, rounding_of, significand_products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .mantissa import MantissaTable


@dataclass(frozen=True, slots=True)
class FloatMetrics:
    """Errors relative to the exact product of the operands, which have m mantissa bits.

    Attributes:
        mre_pct: mean relative error, 100 * mean |err| / exact; also MRED.
        bias_pct: 100 * mean err / exact; negative if the products are too small on average.
        worst_pct: worst relative error, 100 * max |err| / exact.
        nmed: mean |err| / max exact, a fraction, both of products of numbers in [1, 2).
    """

    mre_pct: float
    bias_pct: float
    worst_pct: float
    nmed: float


def float_metrics(table: MantissaTable) -> FloatMetrics:
    """Compute the error metrics of a mantissa table."""
    exact = _products(table)
    error = mantissa_errors(table)
    relative = error / exact
    return FloatMetrics(
        mre_pct=100.0 * float(np.abs(relative).mean()),
        bias_pct=100.0 * float(relative.mean()),
        worst_pct=100.0 * float(np.abs(relative).max()),
        nmed=float(np.abs(error).mean()) / int(exact.max()),
    )


def mantissa_errors(table: MantissaTable) -> NDArray[np.int64]:
    """Return table minus exact product, int64 [2^m, 2^m].

    The unit is 2^-2m, the last bit of a product of significands.
    """
    return _scaled(table) - _products(table)


def table_rounding(table: MantissaTable) -> Rounding:
    """Return how a table's mantissas come from the exact products."""
    return rounding_of(_products(table), table.mantissa_bits, table.mantissa, table.carry)


def _products(table: MantissaTable) -> NDArray[np.int64]:
    """Return the exact products of significands, in units of 2^-2m."""
    codes = np.arange(1 << table.mantissa_bits)
    return significand_products(codes[:, None], codes[None, :], table.mantissa_bits)


def _scaled(table: MantissaTable) -> NDArray[np.int64]:
    """Return the table's products in units of 2^-2m."""
    significand = table.mantissa.astype(np.int64) + (1 << table.mantissa_bits)
    return (significand << table.carry.astype(np.int64)) << table.mantissa_bits
