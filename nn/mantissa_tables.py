"""A mantissa table made ready for torch, once for all that use it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from .engines import MantissaLookup

if TYPE_CHECKING:
    from torch import Tensor

    from ..lutgen.mantissa import MantissaTable


@dataclass(frozen=True, eq=False)
class LoadedMantissas:
    """A table as layers hold it. Copies of a layer share it.

    Attributes:
        table: where it came from.
        codes: int16 [2^m, 2^m], from `load_mantissa_table`; must not be written to.
    """

    table: MantissaTable
    codes: Tensor

    def new_codes(self) -> Tensor:
        """Return another tensor on the memory of ``codes``, for one layer alone.

        torch.compile guards on which layers hold the same tensor object.
        """
        alias = self.codes.detach()
        _lookups[alias] = (alias._version, mantissa_lookup_of(self.codes))
        return alias

    def __deepcopy__(self, memo: object) -> LoadedMantissas:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (load_mantissas, (self.table,))


_loaded: weakref.WeakValueDictionary[str, Tensor] = weakref.WeakValueDictionary()
# Keyed by identity, as tensors compare element by element; holds (version, MantissaLookup).
_lookups: Any = WeakIdKeyDictionary()


def load_mantissa_table(table: MantissaTable) -> Tensor:
    """Return a table as the ops take it: int16 [2^m, 2^m], ``carry << m | mantissa``.

    Row = activation's mantissa, column = weight's. Tables of equal content share a tensor, which
    must not be written to.
    """
    loaded = _loaded.get(table.content_hash)
    if loaded is None:
        loaded = torch.from_numpy(MantissaLookup.of(table).codes.astype(np.int16))
        _loaded[table.content_hash] = loaded
    return loaded


def load_mantissas(table: MantissaTable) -> LoadedMantissas:
    """Return a table as layers hold it; equal tables share their tensor."""
    return LoadedMantissas(table, load_mantissa_table(table))


def mantissa_lookup_of(codes: Tensor) -> MantissaLookup:
    """Return a table tensor as engines read it, kept as long as the tensor lives unchanged.

    Args:
        codes: int16 [2^m, 2^m] on the CPU, as from `load_mantissa_table`.

    Raises:
        ConfigError: it is not such a tensor.
    """
    if codes.is_inference():  # such tensors do not count their changes
        return _lookup(codes)
    known = _lookups.get(codes)
    if known is None or known[0] != codes._version:
        known = (codes._version, _lookup(codes))
        _lookups[codes] = known
    lookup: MantissaLookup = known[1]
    return lookup


def _lookup(codes: Tensor) -> MantissaLookup:
    array = codes.numpy()
    # Another type is refused there, with its name; an entry below 0 becomes one that is too great.
    return MantissaLookup(array.astype(np.uint16) if array.dtype == np.int16 else array)
