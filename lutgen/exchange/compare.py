"""Compares two tables entry by entry: how many differ, where, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 5
"""How many differing entries are given one by one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that differs.

    Attributes:
        a: value of operand a.
        b: value of operand b.
        found: the entry in question.
        expected: the entry of the circuit.
    """

    a: int
    b: int
    found: int
    expected: int


@dataclass(frozen=True, slots=True)
class Region:
    """A quarter of the table.

    Attributes:
        where: its operands, for example "a < 0, b < 0".
        differing: entries that differ.
        entries: all entries.
    """

    where: str
    differing: int
    entries: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where and by how much two tables of one shape differ.

    Attributes:
        entries: number of entries.
        differing: how many differ.
        max_abs: greatest absolute difference.
        mean_abs: mean absolute difference over the entries that differ; 0 if none does.
        mean_signed: mean of found - expected over the entries that differ; 0 if none does.
        rows: how many rows (values of a) have an entry that differs.
        columns: how many columns (values of b) have one.
        regions: the quarters of the table in which entries differ: by the operands' signs, or
            by their top bits where they are unsigned.
        first: the first few that differ, by code.
    """

    entries: int
    differing: int
    max_abs: int
    mean_abs: float
    mean_signed: float
    rows: int
    columns: int
    regions: tuple[Region, ...]
    first: tuple[Difference, ...]


def compare(
    found: NDArray[np.signedinteger[Any]],
    expected: NDArray[np.signedinteger[Any]],
    values_a: NDArray[np.int64],
    values_b: NDArray[np.int64],
) -> Comparison:
    """Compare two tables of one shape.

    Args:
        found: the table in question, [2^wa, 2^wb] by code.
        expected: the circuit's, the same shape.
        values_a: value of each code of a, int64 [2^wa].
        values_b: value of each code of b, int64 [2^wb].
    """
    difference = found.astype(np.int64) - expected.astype(np.int64)
    wrong = difference != 0
    count = int(np.count_nonzero(wrong))
    places = np.argwhere(wrong)[:SHOWN]
    return Comparison(
        entries=wrong.size,
        differing=count,
        max_abs=int(np.abs(difference).max()),
        mean_abs=float(np.abs(difference).sum()) / count if count else 0.0,
        mean_signed=float(difference.sum()) / count if count else 0.0,
        rows=int(wrong.any(axis=1).sum()),
        columns=int(wrong.any(axis=0).sum()),
        regions=_regions(wrong, values_a, values_b),
        first=tuple(
            Difference(int(values_a[i]), int(values_b[j]), int(found[i, j]), int(expected[i, j]))
            for i, j in places
        ),
    )


def _regions(
    wrong: NDArray[np.bool_], values_a: NDArray[np.int64], values_b: NDArray[np.int64]
) -> tuple[Region, ...]:
    # Codes with the top bit clear come first, whether it is a sign or not.
    found = []
    halves_a, halves_b = _halves("a", values_a), _halves("b", values_b)
    for name_a, part_a in halves_a:
        for name_b, part_b in halves_b:
            part = wrong[part_a, part_b]
            if part.any():
                found.append(Region(f"{name_a}, {name_b}", int(part.sum()), part.size))
    return tuple(found)


def _halves(name: str, values: NDArray[np.int64]) -> tuple[tuple[str, slice], tuple[str, slice]]:
    middle = len(values) // 2
    border = 0 if values[middle] < 0 else middle
    lower, upper = slice(0, middle), slice(middle, None)
    if border:
        return (f"{name} < {border}", lower), (f"{name} >= {border}", upper)
    return (f"{name} >= 0", lower), (f"{name} < 0", upper)
