"""The digits of a table of low rank as the library reads them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from .lowrank_types import NoFactors, wrapped
from .native_library import address_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .isa import Isa
    from .lowrank_types import DigitProducts, LowRankFactors
    from .types import LookupTable

_BYTE_ISA = "vbmi"  # multiplies bytes; the others multiply 16 bits
_NARROWEST = 256  # entries of a digit's table, so that any byte is an index


class _DigitTable(ctypes.Structure):
    """`struct DigitTable` of lowrank.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("lefts", "rights", "pairs")),
        *((name, ctypes.c_void_p) for name in ("left", "right", "indices", "weights")),
        *((name, ctypes.c_void_p) for name in ("common", "bias", "base")),
        *((name, ctypes.c_int64) for name in ("left_side", "right_side")),
    )


@dataclass(frozen=True, eq=False, slots=True)
class NativeDigits:
    """A table's digits beside the structure that says where they lie.

    Attributes:
        products: the digits.
        rank: of the factors that they are made of.
        structure: what the library is given the address of.
        arrays: what the structure points to.
    """

    products: DigitProducts
    rank: int
    structure: ctypes.Structure
    arrays: tuple[NDArray[Any], ...]

    @property
    def sums(self) -> int:
        """Plain sums of left digits that are made besides: as much work as another output each."""
        return int(np.count_nonzero(self.products.common))

    @property
    def address(self) -> int:
        """Where the structure lies."""
        return ctypes.addressof(self.structure)


_known: WeakKeyDictionary[LookupTable, dict[bool, NativeDigits]] = WeakKeyDictionary()


def native_digits(table: LookupTable, isa: Isa) -> NativeDigits | NoFactors:
    """Return a table's digits for an instruction set, or why it has none."""
    factors = table.factors
    if isinstance(factors, NoFactors):
        return factors
    known, bytewise = _known.setdefault(table, {}), isa.name == _BYTE_ISA
    if bytewise not in known:
        known[bytewise] = _made(factors, bytewise)
    return known[bytewise]


def _made(factors: LowRankFactors, bytewise: bool) -> NativeDigits:
    digits = factors.bytes if bytewise else factors.halves
    left, bias = digits.left.astype(np.int64), np.zeros(len(digits.left), np.int32)
    if bytewise:
        bias = -left.min(axis=1).astype(np.int32)
    base, bias_left = _base(digits, bias)
    stored = (left + bias[:, None]).astype(np.uint8 if bytewise else np.int16)
    arrays = (
        *(_filled(stored), _filled(digits.right), digits.pairs, digits.weights),
        *(digits.common, bias_left, base),
    )
    structure = _DigitTable(
        *(len(left), len(digits.right), digits.count),
        *(address_of(array if array is not base or np.any(base) else None) for array in arrays),
        *(arrays[0].shape[1], arrays[1].shape[1]),
    )
    return NativeDigits(digits, factors.rank, structure, arrays)


def _base(
    digits: DigitProducts, bias: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return what is added for each weight, and the bias that the library is to allow for by itself.

    The library can take what the bias adds from sums of right digits, which is faster than looking up what
    is added for each weight, or the base has it already; the best is that nothing is left to do.
    """
    wide = digits.weights.astype(np.int64)[:, None] * digits.right[digits.pairs[:, 1]]
    vain = (bias.astype(np.int64)[digits.pairs[:, 0], None] * wrapped(wide)).sum(axis=0)
    vain += int(digits.common.astype(np.int64) @ bias)
    allowed = wrapped(digits.base - vain)
    if np.any(digits.base) or not np.any(allowed):
        return allowed, np.zeros_like(bias)
    return digits.base, bias


def _filled(digits: NDArray[Any]) -> NDArray[Any]:
    """Repeat the columns of narrow tables."""
    times = max(1, _NARROWEST // digits.shape[1])
    return np.ascontiguousarray(np.tile(digits, (1, times)))
