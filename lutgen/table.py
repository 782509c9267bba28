"""The product table: what a multiplier answers to every pair of operand codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.errors import RecordError
from ..core.files import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def code_values(width: int, signed: bool) -> NDArray[np.int64]:
    """Return the value of each code of an operand.

    Args:
        width: bits of the operand.
        signed: whether codes are two's complement.

    Returns:
        int64 [2^width]; entry c is the value of bit pattern c.
    """
    codes = np.arange(1 << width, dtype=np.int64)
    if signed:
        codes[1 << (width - 1) :] -= 1 << width
    return codes


@dataclass(frozen=True, eq=False)
class ProductTable:
    """Every product of a two-operand multiplier.

    Attributes:
        products: int32 [2^wa, 2^wb], read-only and contiguous. ``products[a, b]`` is the
            sign-decoded output for operand *codes* (bit patterns) a and b; a is the activation
            (port A, row), b the weight (port B, column). Nothing is assumed about the content:
            it need not commute, and ``products[0, b]`` need not be 0. Integers of any type are
            taken, and checked to fit.
        signed_a: whether codes of a are two's complement.
        signed_b: whether codes of b are two's complement.
        name: the design's name, for people; it is not part of the table's identity.
        id: content hash of the characterization that the table came from (64 hexadecimal
            digits); for a table made otherwise, the hash of its own content.

    Raises:
        RecordError: the array is not two-dimensional, not integer, does not fit int32, or a side
            is not a power of two from 2^1 up.
    """

    products: NDArray[np.signedinteger[Any]]
    signed_a: bool = False
    signed_b: bool = False
    name: str = "table"
    id: str = ""

    identity_key: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        products = _checked_products(self.products, self.name)
        object.__setattr__(self, "products", products)
        if not self.id:
            object.__setattr__(self, "id", self.content_hash)

    @property
    def width_a(self) -> int:
        """Bits of operand a."""
        return int(self.products.shape[0]).bit_length() - 1

    @property
    def width_b(self) -> int:
        """Bits of operand b."""
        return int(self.products.shape[1]).bit_length() - 1

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, signedness and products: equal tables have equal hashes."""
        header = f"{self.products.shape}|{self.signed_a}|{self.signed_b}|int32-le|"
        return sha256_bytes(header.encode() + self.products.astype("<i4", copy=False).tobytes())

    @cached_property
    def max_abs(self) -> int:
        """Largest magnitude of any product."""
        return int(max(-int(self.products.min()), int(self.products.max())))

    @property
    def values_a(self) -> NDArray[np.int64]:
        """Value of each code of a, int64 [2^wa]."""
        return code_values(self.width_a, self.signed_a)

    @property
    def values_b(self) -> NDArray[np.int64]:
        """Value of each code of b, int64 [2^wb]."""
        return code_values(self.width_b, self.signed_b)

    @property
    def exact(self) -> NDArray[np.int64]:
        """The exact products, int64 [2^wa, 2^wb], by code."""
        return self.values_a[:, None] * self.values_b[None, :]

    @property
    def error(self) -> NDArray[np.int64]:
        """``products - exact``, int64 [2^wa, 2^wb], by code."""
        return self.products.astype(np.int64) - self.exact

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProductTable):
            return NotImplemented
        return self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        sign = {True: "s", False: "u"}
        kind = f"{sign[self.signed_a]}{self.width_a}x{sign[self.signed_b]}{self.width_b}"
        return f"ProductTable({self.name}, {kind}, id={self.id[:12]})"


def exact_table(width_a: int, width_b: int, *, signed: bool = False) -> ProductTable:
    """Return the table of the exact multiplier of the given widths (bits)."""
    products = code_values(width_a, signed)[:, None] * code_values(width_b, signed)[None, :]
    kind = "s" if signed else "u"
    name = f"exact{width_a}x{width_b}{kind}"
    return ProductTable(products.astype(np.int32), signed, signed, name=name)


def _checked_products(products: NDArray[Any], name: str) -> NDArray[np.int32]:
    array = np.asarray(products)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise RecordError(
            f"table {name!r} is not a product table",
            got=f"{array.dtype} array of shape {array.shape}",
            expected="integers of shape [2^wa, 2^wb]",
        )
    if any(side < 2 or side & (side - 1) for side in array.shape):
        raise RecordError(
            f"table {name!r} does not cover every code of its operands",
            got=f"shape {array.shape}",
            expected="both sides a power of two (2^wa rows for a, 2^wb columns for b)",
        )
    limits = np.iinfo(np.int32)
    if array.min() < limits.min or array.max() > limits.max:
        raise RecordError(
            f"table {name!r} has products that do not fit int32",
            got=f"{array.min()} to {array.max()}",
            expected=f"{limits.min} to {limits.max}",
        )
    # A private copy: the table is hashed once, so nobody may change it afterwards.
    private = np.array(array, dtype=np.int32, order="C")
    private.flags.writeable = False
    return private
