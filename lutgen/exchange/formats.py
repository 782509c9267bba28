"""A file format for tables, described as data: what it fixes, what it leaves open, what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from .operands import Order

INT16 = (-(1 << 15), (1 << 15) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
UINT16 = (0, (1 << 16) - 1)

ANY_SIGNS = ((False, False), (True, True), (True, False), (False, True))
EQUAL_SIGNS = ((False, False), (True, True))
SIGNED = ((True, True),)
UNSIGNED = ((False, False),)


class Axis(StrEnum):
    """How a signed operand runs along an axis; an unsigned one runs from 0 up either way."""

    CODES = "codes"
    """0 .. 2^(w-1) - 1, then -2^(w-1) .. -1: the order of bit patterns."""
    VALUES = "values"
    """-2^(w-1) .. 2^(w-1) - 1: the order of numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A table as a file has it, before it is known which axis is which operand.

    Attributes:
        entries: int64 [rows, columns].
        signs: whether the row operand and the column operand are signed, where the file says so.
    """

    entries: NDArray[np.int64]
    signs: tuple[bool, bool] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    Attributes:
        name: what it is called on the command line.
        summary: one line for people.
        suffix: the usual end of a file's name.
        axis: the order of a signed operand along rows and columns.
        order: which operand the rows are in the project that reads the format; None where the
            project itself has it both ways or says nothing.
        order_note: where that is known from.
        signs: pairs (a signed, b signed) that the format can hold.
        widths: pairs of widths that it can hold; None for any.
        limits: least and greatest product that it can hold.
        entry_bits: bits of an entry where it is a code: two's complement if an operand is
            signed, else unsigned. None where entries are values.
        parse: bytes and file name -> matrix as in the file.
        render: matrix as in the file -> bytes.
    """

    name: str
    summary: str
    suffix: str
    axis: Axis
    order: Order | None
    order_note: str
    signs: tuple[tuple[bool, bool], ...]
    widths: tuple[tuple[int, int], ...] | None
    limits: tuple[int, int]
    entry_bits: int | None
    parse: Callable[[bytes, Path], Matrix]
    render: Callable[[Matrix], bytes]

    def limits_for(self, signed_out: bool) -> tuple[int, int]:
        """Return the least and the greatest product that the format can hold."""
        if self.entry_bits is None:
            return self.limits
        if signed_out:
            return -(1 << (self.entry_bits - 1)), (1 << (self.entry_bits - 1)) - 1
        return 0, (1 << self.entry_bits) - 1


def by_code(matrix: NDArray[np.int64], signs: tuple[bool, bool]) -> NDArray[np.int64]:
    """Turn axes in order of values into axes in order of codes, or back: it is one half-turn.

    Args:
        matrix: [2^w rows, 2^w columns].
        signs: whether the operand of the rows, and that of the columns, is signed.
    """
    for axis, signed in enumerate(signs):
        if signed:
            matrix = np.roll(matrix, matrix.shape[axis] // 2, axis=axis)
    return matrix


def decoded(codes: NDArray[np.int64], bits: int, signed: bool) -> NDArray[np.int64]:
    """Return the values of output codes of ``bits`` bits."""
    return np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes) if signed else codes
