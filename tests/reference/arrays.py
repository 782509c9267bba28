"""Multipliers that leave out or merge dots of the partial-product array.

The dot of bit i of a and bit j of b stands in column i + j and is worth 2^(i+j).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .operands import bit, signed_operands, unsigned_operands

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operands import Table


def dots_kept(width: int, keep: Callable[[int, int], bool]) -> Table:
    """Sum the dots (i, j) for which ``keep(i, j)`` holds, for unsigned operands."""
    a, b = unsigned_operands(width)
    total = np.zeros((1 << width, 1 << width), dtype=np.int64)
    for i in range(width):
        for j in range(width):
            if keep(i, j):
                total += bit(a, i) * bit(b, j) * 2 ** (i + j)
    return total


def truncated(width: int, columns: int) -> Table:
    """Columns below ``columns`` left out (Schulte and Swartzlander 1993, no correction)."""
    return dots_kept(width, lambda i, j: i + j >= columns)


def truncated_corrected(columns: int) -> Table:
    """8x8, columns left out, their mean added (Schulte and Swartzlander 1993).

    The mean is measured here, over all operand pairs, and rounded to the nearest multiple of the
    weight of the lowest column kept.
    """
    kept = truncated(8, columns)
    a, b = unsigned_operands(8)
    unit = 2**columns
    mean = float((a * b - kept).mean())
    table: Table = kept + int(np.floor(mean / unit + 0.5)) * unit
    return table


def broken_array(rows: int, columns: int) -> Table:
    """8x8, rows of b below ``rows`` and columns below ``columns`` left out (Mahdiani et al. 2010)."""
    return dots_kept(8, lambda i, j: j >= rows and i + j >= columns)


def perforated(first: int, count: int) -> Table:
    """8x8, rows ``first`` to ``first + count - 1`` left out (Zervakis et al. 2016)."""
    a, b = unsigned_operands(8)
    table: Table = a * b
    for j in range(first, first + count):
        table = table - a * bit(b, j) * 2**j
    return table


def or_compressed(columns: int) -> Table:
    """8x8, each column below ``columns`` (at most 8) worth its weight if it holds any one."""
    a, b = unsigned_operands(8)
    total = truncated(8, columns)
    for column in range(columns):
        ones = np.zeros_like(total)
        for i in range(column + 1):
            ones += bit(a, i) * bit(b, column - i)
        total += (ones > 0) * 2**column
    return total


def baugh_wooley_truncated(columns: int) -> Table:
    """8x8 signed, dots of columns below ``columns`` left out (Baugh and Wooley 1973).

    In two's complement bit 7 has a negative weight, so a dot with exactly one index 7 counts
    -2^(i+j). The array holds it inverted, worth (1 - dot) * 2^(i+j), and its constants take those
    ones back: leaving such a dot out therefore subtracts the inverted dot.
    """
    a, b = signed_operands(8)
    missing = np.zeros((256, 256), dtype=np.int64)
    for i in range(8):
        for j in range(8):
            if i + j < columns:
                dot = bit(a, i) * bit(b, j)
                inverted = (i == 7) != (j == 7)
                missing += (1 - dot if inverted else dot) * 2 ** (i + j)
    return a * b - missing


def broken_booth(columns: int) -> Table:
    """8x8 signed, radix-4 Booth array of b, bits of columns below ``columns`` left out.

    Digits after MacSorley 1961; a negative row is the one's complement of its magnitude, that is
    -magnitude - 1, and a correction bit in the row's first column. Leaving out the low columns of
    a two's complement row rounds it down to a multiple of 2^columns.
    """
    a, b = signed_operands(8)
    unit = 2**columns
    total = np.zeros((256, 256), dtype=np.int64)
    for i in range(4):
        below = bit(b, 2 * i - 1) if i else np.zeros_like(b)
        digit = below + bit(b, 2 * i) - 2 * bit(b, 2 * i + 1)
        row = np.where(digit < 0, a * digit - 1, a * digit) * 4**i
        total += row // unit * unit
        if 2 * i >= columns:
            total += (digit < 0) * 4**i
    return total
