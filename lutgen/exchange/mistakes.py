"""Mistakes that people make with product tables: each turns a right table into a wrong one.

All of them have been seen in published tables or are one step away from it. A wrong table that
equals a mistake made with the right one, in every entry, is explained by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..table import code_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A table as a mistake sees it.

    Attributes:
        products: int64 [2^wa, 2^wb] by code.
        signs: whether a and b are signed.
        out_bits: bits of a product.
        out_signed: whether products are signed.
    """

    products: NDArray[np.int64]
    signs: tuple[bool, bool]
    out_bits: int
    out_signed: bool

    def values(self, axis: int) -> NDArray[np.int64]:
        """Value of each code of operand a (axis 0) or b (axis 1)."""
        return code_values(self.products.shape[axis].bit_length() - 1, self.signs[axis])

    def having(self, products: NDArray[np.int64]) -> View:
        """Return the same with other products."""
        return replace(self, products=products)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes:
        name: short name.
        text: what was done wrong, to follow "explained by:".
        make: makes it; None where it cannot be made with such a table.
    """

    name: str
    text: str
    make: Callable[[View], View | None]


def _transposed(view: View) -> View:
    return replace(view, products=view.products.T, signs=view.signs[::-1])


def _magnitude_codes(width: int) -> NDArray[np.int64]:
    """Code of |v| for each code of a signed operand v; the least value is its own magnitude."""
    return np.abs(code_values(width, signed=True)) & ((1 << width) - 1)


def _of_magnitudes(view: View) -> NDArray[np.int64] | None:
    if view.signs != (True, True):
        return None
    rows, columns = (_magnitude_codes(side.bit_length() - 1) for side in view.products.shape)
    return view.products[np.ix_(rows, columns)]


def _magnitudes_where_negative(view: View) -> View | None:
    of_magnitudes = _of_magnitudes(view)
    if of_magnitudes is None:
        return None
    negative = (view.values(0) < 0)[:, None] & (view.values(1) < 0)[None, :]
    return view.having(np.where(negative, of_magnitudes, view.products))


def _sign_times_magnitudes(view: View) -> View | None:
    of_magnitudes = _of_magnitudes(view)
    if of_magnitudes is None:
        return None
    opposite = (view.values(0) < 0)[:, None] != (view.values(1) < 0)[None, :]
    return view.having(np.where(opposite, -of_magnitudes, of_magnitudes))


def _rolled(view: View, axes: tuple[int, ...]) -> View:
    products = view.products
    for axis in axes:
        products = np.roll(products, products.shape[axis] // 2, axis=axis)
    return view.having(products)


def _sign_magnitude_operands(view: View, axes: tuple[int, ...]) -> View | None:
    products = view.products
    for axis in axes:
        if not view.signs[axis]:
            return None
        side = products.shape[axis]
        # The code of -k is half + k there, and side - k in two's complement; half itself is -0.
        codes = np.arange(side)
        negative = (side - (codes - side // 2)) % side
        products = np.take(products, np.where(codes < side // 2, codes, negative), axis=axis)
    return view.having(products)


def _sign_magnitude_out(view: View) -> View | None:
    half = 1 << (view.out_bits - 1)
    if not view.out_signed or int(np.abs(view.products).max()) >= half:
        return None
    # Code half + k stands for -k; read as two's complement it is k - half.
    return view.having(np.where(view.products < 0, -view.products - half, view.products))


def _other_sign(view: View, axis: int, to_signed: bool) -> View | None:
    """The exact product under the other sign of one operand, with the circuit's error kept."""
    if view.signs[axis] is to_signed:
        return None
    other = list(view.signs)
    other[axis] = to_signed
    values = code_values(view.products.shape[axis].bit_length() - 1, to_signed)
    change = values - view.values(axis)
    product = np.outer(change, view.values(1)) if axis == 0 else np.outer(view.values(0), change)
    return replace(view, products=view.products + product, signs=(other[0], other[1]))


def _out_as_signed(view: View) -> View:
    span = 1 << view.out_bits
    codes = view.products & (span - 1)
    products = np.where(codes >= span // 2, codes - span, codes)
    return replace(view, products=products, out_signed=True)


def _out_as_unsigned(view: View) -> View:
    products = view.products & ((1 << view.out_bits) - 1)
    return replace(view, products=products, out_signed=False)


def _bytes_swapped(view: View, size: int) -> View | None:
    bits = 8 * size
    low, high = int(view.products.min()), int(view.products.max())
    signed = view.out_signed or low < 0
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if low < least or high > most:
        return None
    kind = np.dtype(f"<{'i' if signed else 'u'}{size}")
    return view.having(view.products.astype(kind).byteswap().astype(np.int64))


def _zeroed(view: View, axes: tuple[int, ...]) -> View:
    products = view.products.copy()
    if 0 in axes:
        products[0, :] = 0
    if 1 in axes:
        products[:, 0] = 0
    return view.having(products)


_ALL = (
    Mistake("transposed", "rows and columns (a and b) are exchanged", _transposed),
    Mistake(
        "magnitudes-where-negative",
        "where both operands are negative, the entry is that of |a| and |b|",
        _magnitudes_where_negative,
    ),
    Mistake(
        "sign-times-magnitudes",
        "every entry is that of |a| and |b|, with the sign put on afterwards",
        _sign_times_magnitudes,
    ),
    Mistake(
        "rolled",
        "rows and columns in order of values (-2^(w-1) .. 2^(w-1) - 1) were taken for order of "
        "codes, or the reverse",
        partial(_rolled, axes=(0, 1)),
    ),
    Mistake("rolled-a", "the same, of rows (a) alone", partial(_rolled, axes=(0,))),
    Mistake("rolled-b", "the same, of columns (b) alone", partial(_rolled, axes=(1,))),
    Mistake("out-as-signed", "unsigned products were read as two's complement", _out_as_signed),
    Mistake("out-as-unsigned", "signed products were read as unsigned", _out_as_unsigned),
    Mistake(
        "a-as-signed",
        "operand a, unsigned, was multiplied as if signed",
        partial(_other_sign, axis=0, to_signed=True),
    ),
    Mistake(
        "a-as-unsigned",
        "operand a, signed, was multiplied as if unsigned",
        partial(_other_sign, axis=0, to_signed=False),
    ),
    Mistake(
        "b-as-signed",
        "operand b, unsigned, was multiplied as if signed",
        partial(_other_sign, axis=1, to_signed=True),
    ),
    Mistake(
        "b-as-unsigned",
        "operand b, signed, was multiplied as if unsigned",
        partial(_other_sign, axis=1, to_signed=False),
    ),
    Mistake(
        "sign-magnitude-operands",
        "rows and columns run by sign and magnitude, not by two's complement",
        partial(_sign_magnitude_operands, axes=(0, 1)),
    ),
    Mistake(
        "sign-magnitude-a",
        "rows (a) run by sign and magnitude, not by two's complement",
        partial(_sign_magnitude_operands, axes=(0,)),
    ),
    Mistake(
        "sign-magnitude-b",
        "columns (b) run by sign and magnitude, not by two's complement",
        partial(_sign_magnitude_operands, axes=(1,)),
    ),
    Mistake(
        "sign-magnitude-out",
        "products in sign and magnitude were read as two's complement",
        _sign_magnitude_out,
    ),
    Mistake(
        "bytes-swapped-16",
        "the two bytes of each entry are exchanged",
        partial(_bytes_swapped, size=2),
    ),
    Mistake(
        "bytes-swapped-32",
        "the four bytes of each entry are in reverse order",
        partial(_bytes_swapped, size=4),
    ),
    Mistake("zeroed-a", "products with a = 0 are set to 0", partial(_zeroed, axes=(0,))),
    Mistake("zeroed-b", "products with b = 0 are set to 0", partial(_zeroed, axes=(1,))),
    Mistake("zeroed", "products with a = 0 or b = 0 are set to 0", partial(_zeroed, axes=(0, 1))),
)

MISTAKES: Mapping[str, Mistake] = MappingProxyType({entry.name: entry for entry in _ALL})
"""The known mistakes by name, in the order in which they are tried."""
