"""Multipliers built from inexact blocks: 2x2 multipliers and 4:2 compressors."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .operands import bit, unsigned_operands

if TYPE_CHECKING:
    from .operands import Table

    Columns: TypeAlias = dict[int, list[Table]]


def underdesigned(width: int) -> Table:
    """Recursive multiplier from 2x2 blocks with 3 * 3 = 7 (Kulkarni et al. 2011)."""
    if width == 2:
        block = np.outer(np.arange(4), np.arange(4)).astype(np.int64)
        block[3, 3] = 7
        return block
    half = width // 2
    part = underdesigned(half)
    a, b = unsigned_operands(width)
    unit = 2**half
    a_high, a_low, b_high, b_low = a // unit, a % unit, b // unit, b % unit
    cross = part[a_high, b_low] + part[a_low, b_high]
    result: Table = part[a_high, b_high] * unit**2 + cross * unit + part[a_low, b_low]
    return result


def approximate_compressor(x1: Table, x2: Table, x3: Table, x4: Table) -> tuple[Table, Table]:
    """Return sum and carry of compressor design 2 (Momeni et al. 2015)."""
    total = x1 + x2 + x3 + x4
    no_ones, all_ones = total == 0, total == 4
    one_pair = (total == 2) & (x1 == x2)
    # The four wrong entries of the truth table; the others are exact.
    value = np.where(no_ones | one_pair, 1, np.where(all_ones, 3, total))
    return value % 2, value // 2


def compressor_tree(approximate_columns: int) -> Table:
    """8x8 from approximate compressors in the columns below ``approximate_columns``.

    First rows 0-3 and rows 4-7 are reduced apart, then what they give together. A group of four
    dots in one column goes through the approximate compressor, smaller groups through exact
    adders. Higher columns are exact, so there only the sum of the dots counts.
    """
    a, b = unsigned_operands(8)
    dots: list[Columns] = [defaultdict(list), defaultdict(list)]
    for j in range(8):
        for i in range(8):
            dots[j // 4][i + j].append(bit(a, i) * bit(b, j))

    second: Columns = defaultdict(list)
    for group in dots:
        for column, members in _reduce(group, approximate_columns).items():
            second[column].extend(members)
    final = _reduce(second, approximate_columns)
    total = np.zeros((256, 256), dtype=np.int64)
    for column, members in final.items():
        for dot in members:
            total += dot * 2**column
    return total % 2**16


def _reduce(columns: Columns, approximate_columns: int) -> Columns:
    sums: Columns = defaultdict(list)
    carries: Columns = defaultdict(list)
    for column, members in sorted(columns.items()):
        if column >= approximate_columns or len(members) < 2:
            sums[column].extend(members)
            continue
        if len(members) == 4:
            low, high = approximate_compressor(*members)
        else:
            count = np.asarray(sum(members))
            low, high = count % 2, count // 2
        sums[column].append(low)
        carries[column + 1].append(high)
    # The sum comes before the carry: the compressor of the next layer pairs its inputs in order.
    return {c: sums[c] + carries[c] for c in sorted({*sums, *carries})}
