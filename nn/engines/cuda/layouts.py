"""Tables as CUDA kernels read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..mantissa_types import MantissaLookup
    from ..types import LookupTable

EXPANDED_CODES = 256
"""Activation codes of a row for `table_expanded`; narrower tables are repeated."""

NARROW_MANTISSA = 7
"""The widest mantissas whose table has one byte per entry, and is kept in shared memory."""


@dataclass(frozen=True, slots=True)
class EntryFormat:
    """How a product is stored.

    Attributes:
        bytes: 2 (unsigned) or 4.
        offset: what has to be added to an entry to make it the product. An entry of ``-offset``
            is nothing, and can be stored too.
    """

    bytes: int
    offset: int


def entry_format(table: LookupTable) -> EntryFormat:
    """Return the narrowest format that holds all products and 0."""
    low, high = min(table.limits[0], 0), max(table.limits[1], 0)
    return EntryFormat(2, low) if high - low <= np.iinfo(np.uint16).max else EntryFormat(4, 0)


def row_stride(activation_codes: int) -> int:
    """Return the entries of a row of `row_layout`: even, so that rows can be copied in words."""
    return activation_codes + 2


def row_layout(table: LookupTable) -> NDArray[np.uint16] | NDArray[np.int32]:
    """Return a row per weight code: an entry per activation code, then two that are nothing.

    Shape [2^wb, 2^wa + 2], uint16 or int32 after `entry_format`.
    """
    form = entry_format(table)
    rows = np.zeros((table.products.shape[1], row_stride(table.products.shape[0])), np.int64)
    rows[:, :-2] = table.columns
    return _stored(rows, form)


def expanded_layout(table: LookupTable) -> NDArray[np.uint16] | NDArray[np.int32]:
    """Return a row of 256 entries per weight code, for tables of up to 256 activation codes."""
    repeats = EXPANDED_CODES // table.products.shape[0]
    return _stored(np.tile(table.columns.astype(np.int64), (1, repeats)), entry_format(table))


def mantissa_layout(lookup: MantissaLookup) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a row per weight's mantissa, an entry ``carry << bits | mantissa`` per activation's.

    uint8 [128, 128] for mantissas of up to 7 bits, whose further bits have no effect; else uint16
    [2^m, 2^m].
    """
    missing = NARROW_MANTISSA - lookup.bits
    by_weight = np.ascontiguousarray(lookup.codes.T)
    if missing < 0:
        return by_weight
    wide = np.repeat(np.repeat(by_weight << missing, 1 << missing, axis=0), 1 << missing, axis=1)
    return wide.astype(np.uint8)


def _stored(
    products: NDArray[np.int64], form: EntryFormat
) -> NDArray[np.uint16] | NDArray[np.int32]:
    entries = products - form.offset
    return entries.astype(np.uint16) if form.bytes == 2 else entries.astype(np.int32)
