"""A product table made ready for torch, once for all layers that use it."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from .engines import LookupTable
from .quantize import OperandFormat

if TYPE_CHECKING:
    from torch import Tensor

    from ..lutgen.table import ProductTable


@dataclass(frozen=True, eq=False)
class LoadedTable:
    """A table as layers hold it. Copies of a layer share it.

    Attributes:
        table: where it came from.
        products: int32 [2^wa, 2^wb], the same numbers; must not be written to.
    """

    table: ProductTable
    products: Tensor

    def new_products(self) -> Tensor:
        """Return another tensor on the memory of ``products``.

        torch.compile guards on which layers hold the same tensor object; with one of its own
        each, a layer's table can be swapped without a recompilation.
        """
        alias = self.products.detach()
        _lookups[alias] = (alias._version, lookup_of(self.products))
        return alias

    def new_formats(self) -> tuple[OperandFormat, OperandFormat]:
        """Return the formats of the operands (a, b), as new objects for the same reason."""
        table = self.table
        return (
            OperandFormat(table.width_a, table.signed_a),
            OperandFormat(table.width_b, table.signed_b),
        )

    def __deepcopy__(self, memo: object) -> LoadedTable:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (load_table, (self.table,))


_loaded: weakref.WeakValueDictionary[tuple[str, str, str], LoadedTable] = (
    weakref.WeakValueDictionary()
)
# Keyed by identity, as tensors compare element by element; holds (version, LookupTable).
_lookups: Any = WeakIdKeyDictionary()


def load_table(table: ProductTable) -> LoadedTable:
    """Return the torch form of a table; equal tables of one design share it.

    Raises:
        ConfigError: an operand narrower than 2 or wider than 12 bits.
    """
    key = (table.content_hash, table.id, table.name)
    loaded = _loaded.get(key)
    if loaded is None:
        loaded = LoadedTable(table, torch.tensor(table.products))
        loaded.new_formats()  # refuses unsupported widths
        _loaded[key] = loaded
    return loaded


def lookup_of(products: Tensor) -> LookupTable:
    """Return a table tensor as engines read it, kept as long as the tensor lives unchanged.

    Args:
        products: int32 [2^wa, 2^wb] on the CPU.

    Raises:
        ConfigError: it is not such a tensor.
    """
    if products.is_inference():  # such tensors do not count their changes
        return LookupTable(products.numpy())
    known = _lookups.get(products)
    if known is None or known[0] != products._version:
        known = (products._version, LookupTable(products.numpy()))
        _lookups[products] = known
    lookup: LookupTable = known[1]
    return lookup
