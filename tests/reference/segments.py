"""Multipliers that shorten, round or take the logarithm of their operands (8x8 unsigned)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .operands import leading_one, unsigned_operands

if TYPE_CHECKING:
    from .operands import Table


def drum(bits: int) -> Table:
    """Dynamic range unbiased multiplier (Hashemi et al. 2015), ``bits`` kept per operand."""
    a, b = unsigned_operands(8)
    return drum_operand(a, bits) * drum_operand(b, bits)


def drum_operand(value: Table, bits: int) -> Table:
    """Return what the multiplier takes each operand for; operands of any width."""
    # The cut part is replaced by half the weight of the lowest bit left of the segment's last one.
    step = 2 ** np.maximum(leading_one(value) - bits + 1, 0)
    kept_exactly = value // (2 * step) * (2 * step)
    return np.where(value < 2**bits, value, kept_exactly + step)


def static_segment(bits: int) -> Table:
    """Static segment method (Narayanamoorthy et al. 2015), ``bits`` kept per operand."""
    a, b = unsigned_operands(8)
    unit = 2 ** (8 - bits)

    def segment(value: Table) -> Table:
        return np.where(value < 2**bits, value, value // unit * unit)

    return segment(a) * segment(b)


def mitchell() -> Table:
    """Logarithmic multiplier (Mitchell 1962).

    With a = 2^k1 (1 + x1) and b = 2^k2 (1 + x2) the result is 2^(k1+k2) (1 + x1 + x2) if
    x1 + x2 < 1, else 2^(k1+k2+1) (x1 + x2). Everything is scaled by 2^(k1+k2) here, so that no
    fraction is left: 2^(k1+k2) x1 = (a - 2^k1) 2^k2.
    """
    a, b = unsigned_operands(8)
    power_a, power_b = 2 ** leading_one(a), 2 ** leading_one(b)
    fractions = (a - power_a) * power_b + (b - power_b) * power_a
    whole = power_a * power_b
    result = np.where(fractions < whole, whole + fractions, 2 * fractions)
    return np.where((a == 0) | (b == 0), 0, result)


def rounded_operands() -> Table:
    """Rounding-based multiplier, unsigned (Zendegani et al. 2017)."""
    a, b = unsigned_operands(8)
    return a * b - (nearest_power(a) - a) * (nearest_power(b) - b)


def nearest_power(value: Table) -> Table:
    """Return the power of two nearest to each value: a tie goes up, but 3 to 2, and 0 stays 0."""
    below = 2 ** leading_one(value)
    nearest = np.where(2 * below - value <= value - below, 2 * below, below)
    nearest = np.where(value == 3, 2, nearest)
    return np.where(value == 0, 0, nearest)
