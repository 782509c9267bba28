"""Tables on a device: each layout is made and copied once, for as long as its table lives."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..lowrank_types import NoFactors
from ..types import LookupTable
from .digit_layout import digit_layout
from .layouts import entry_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .digit_layout import DigitLayout


@dataclass(frozen=True, eq=False)
class DigitTensors:
    """The arrays of a `DigitLayout` on a device."""

    activations: Tensor
    weights: Tensor
    base: Tensor
    factors: Tensor


class DeviceTables:
    """What is known of tables on one device.

    Args:
        place: the device, as torch names it.
    """

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._known: Any = weakref.WeakKeyDictionary()

    def layout(self, table: Any, make: Callable[[Any], np.ndarray[Any, Any]]) -> Tensor:
        """Return what ``make`` makes of a table, on the device."""
        tensor: Tensor = self._once(table, make, lambda: self._copy(make(table)))
        return tensor

    def digits_of(self, table: LookupTable) -> DigitLayout | None:
        """Return a table as tensor cores multiply it, or None if its rank is too high."""

        def make() -> DigitLayout | None:
            factors = table.factors
            return None if isinstance(factors, NoFactors) else digit_layout(factors.bytes)

        digits: DigitLayout | None = self._once(table, "digits", make)
        return digits

    def less_activations(
        self, table: LookupTable, factor: int, values: np.ndarray[Any, Any]
    ) -> LookupTable | None:
        """Return ``T[a, b] - factor * values[a]``, or None if its entries take more bytes than T's.

        Args:
            table: T.
            factor: of the values.
            values: of activation codes, [2^wa], as integers or in two's complement.
        """

        def make() -> LookupTable | None:
            products = table.products - factor * values.astype(np.int64)[:, None]
            if max(-int(products.min()), int(products.max())) > np.iinfo(np.int32).max:
                return None
            less = LookupTable(products.astype(np.int32))
            return less if entry_format(less).bytes <= entry_format(table).bytes else None

        less: LookupTable | None = self._once(table, (factor, *values[-1:].tolist()), make)
        return less

    def digits(self, layout: DigitLayout) -> DigitTensors:
        """Return a layout's arrays on the device."""

        def make() -> DigitTensors:
            arrays = (layout.activations, layout.weights, layout.base, layout.factors)
            return DigitTensors(*(self._copy(array) for array in arrays))

        tensors: DigitTensors = self._once(layout, "tensors", make)
        return tensors

    def _once(self, owner: Any, key: Any, make: Callable[[], Any]) -> Any:
        known = self._known.setdefault(owner, {})
        if key not in known:
            known[key] = make()
        return known[key]

    def _copy(self, array: np.ndarray[Any, Any]) -> Tensor:
        # Tensors of 16-bit entries are signed: torch has no arithmetic on uint16, and needs none.
        signed = array.view(np.int16) if array.dtype == np.uint16 else array
        return torch.from_numpy(np.ascontiguousarray(signed)).to(self._place)
