"""The mantissa table: how a floating-point multiplier multiplies the fractions of its operands.

The decomposition is that of AMSim (J. Gong et al., ApproxTrain, IEEE TCAD 2023): sign and exponent
of a product are exact, and a table over the operands' mantissa codes gives its mantissa.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.errors import RecordError
from ..core.files import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .table import ProductTable

MAX_MANTISSA_BITS = 11
"""4^11 entries; a significand of 12 bits is the widest operand of a product table."""


@dataclass(frozen=True, eq=False)
class MantissaTable:
    """Every product of two mantissas of m bits.

    For codes i, j in [0, 2^m) the operands are 1 + i / 2^m and 1 + j / 2^m. Their product is
    (1 + mantissa[i, j] / 2^m) * 2^carry[i, j]: mantissas are cut off to m bits, not rounded, and the
    carry says that the product reached 2. For numbers of a floating-point format, both mantissas
    are cut to m bits; the sign is the exclusive or of the signs, the biased exponent
    ea + eb - bias + carry; a zero or subnormal operand, or an exponent below 1, gives a zero of
    that sign, an exponent above the greatest gives an infinity of that sign.

    Attributes:
        mantissa_bits: m, 1 to 11.
        mantissa: uint16 [2^m, 2^m], read-only; row i is the activation's mantissa, column j the
            weight's. Integers of any type are taken, and checked to be below 2^m.
        carry: bool [2^m, 2^m], read-only.
        name: the design's name, for people; it is not part of the table's identity.
        id: content hash of the characterization that the table came from; for a table made
            otherwise, the hash of its own content.

    Raises:
        RecordError: shapes, types or values do not fit.
    """

    mantissa_bits: int
    mantissa: NDArray[np.integer[Any]]
    carry: NDArray[np.bool_]
    name: str = "mantissas"
    id: str = ""

    identity_key: ClassVar[str] = "mantissa"

    def __post_init__(self) -> None:
        if not 1 <= self.mantissa_bits <= MAX_MANTISSA_BITS:
            raise RecordError(
                f"mantissa table {self.name!r} has mantissas of {self.mantissa_bits} bits",
                expected=f"1 to {MAX_MANTISSA_BITS}",
            )
        side = 1 << self.mantissa_bits
        mantissa, carry = np.asarray(self.mantissa), np.asarray(self.carry)
        if not np.issubdtype(mantissa.dtype, np.integer) or carry.dtype != np.bool_:
            raise RecordError(
                f"mantissa table {self.name!r} has entries of the wrong type",
                got=f"mantissa {mantissa.dtype}, carry {carry.dtype}",
                expected="integers and bool",
            )
        if mantissa.shape != (side, side) or carry.shape != (side, side):
            raise RecordError(
                f"mantissa table {self.name!r} does not cover every pair of mantissas",
                got=f"mantissa {mantissa.shape}, carry {carry.shape}",
                expected=f"{(side, side)}, for {self.mantissa_bits} bits",
            )
        if mantissa.min() < 0 or mantissa.max() >= side:
            raise RecordError(
                f"mantissa table {self.name!r} has mantissas outside {self.mantissa_bits} bits",
                got=f"{mantissa.min()} to {mantissa.max()}",
                expected=f"0 to {side - 1}",
            )
        object.__setattr__(self, "mantissa", _private(mantissa, np.uint16))
        object.__setattr__(self, "carry", _private(carry, np.bool_))
        if not self.id:
            object.__setattr__(self, "id", self.content_hash)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over bits, mantissas and carries: equal tables have equal hashes."""
        header = f"mantissa|{self.mantissa_bits}|uint16-le|bool|"
        body = self.mantissa.astype("<u2").tobytes() + self.carry.tobytes()
        return sha256_bytes(header.encode() + body)

    @property
    def codes(self) -> NDArray[np.uint16]:
        """What is kept of it: uint16 [2^m, 2^m], the mantissa in the low m bits, the carry above."""
        return self.mantissa.astype(np.uint16) | (
            self.carry.astype(np.uint16) << np.uint16(self.mantissa_bits)
        )

    @property
    def values(self) -> NDArray[np.float64]:
        """The products as numbers from 1 up, below 4: float64 [2^m, 2^m]."""
        fraction = self.mantissa.astype(np.float64) / (1 << self.mantissa_bits)
        return np.asarray(np.ldexp(1.0 + fraction, self.carry.astype(np.int32)))

    @property
    def exact(self) -> NDArray[np.float64]:
        """The exact products of the operands, float64 [2^m, 2^m]."""
        side = 1 << self.mantissa_bits
        operand = 1.0 + np.arange(side) / side
        return np.asarray(operand[:, None] * operand[None, :])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MantissaTable):
            return NotImplemented
        return self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        return f"MantissaTable({self.name}, {self.mantissa_bits} bits, id={self.id[:12]})"


def mantissas_from_codes(
    codes: NDArray[np.integer[Any]],
    name: str = "mantissas",
    id: str = "",  # noqa: A002 - the field's name
) -> MantissaTable:
    """Return the table whose `MantissaTable.codes` are given, [2^m, 2^m].

    Raises:
        RecordError: they are not such codes.
    """
    bits = int(codes.shape[0]).bit_length() - 1
    return MantissaTable(bits, codes & ((1 << bits) - 1), _carries(codes, bits, name), name, id)


def _carries(codes: NDArray[np.integer[Any]], bits: int, name: str) -> NDArray[np.bool_]:
    if codes.size and (int(codes.min()) < 0 or int(codes.max()) >> (bits + 1)):
        raise RecordError(
            f"mantissa table {name!r} has entries of more than {bits + 1} bits",
            got=f"{codes.min()} to {codes.max()}",
            expected=f"a carry and a mantissa of {bits} bits",
        )
    return np.asarray(codes >> bits, dtype=np.bool_)


def from_significands(table: ProductTable) -> MantissaTable:
    """Return the mantissa table of an integer multiplier used for significands.

    Of an unsigned (m+1) x (m+1) table, the rows and columns with the top bit set are the products of
    significands 2^m + i and 2^m + j. A product of 2^(2m+1) or more sets the carry. The mantissa is
    the m bits below the leading one; the bits below are cut off.

    Raises:
        RecordError: the operands are signed, of unequal width, or of fewer than 2 bits, or a
            product of significands is below 1 or not below 4, which has no mantissa.
    """
    bits = table.width_a - 1
    if table.width_a != table.width_b or table.signed_a or table.signed_b or bits < 1:
        raise RecordError(
            f"table {table.name!r} cannot multiply significands",
            got=repr(table),
            expected="unsigned operands of equal width, 2 to 12 bits",
        )
    side = 1 << bits
    products = table.products[side:, side:].astype(np.int64)
    outside = (products < side * side) | (products >= 4 * side * side)
    if outside.any():
        i, j = (int(index) for index in np.argwhere(outside)[0])
        raise RecordError(
            f"table {table.name!r} cannot multiply significands: a product has no mantissa",
            got=f"{products[i, j]} for {side + i} x {side + j}",
            expected=f"{side * side} to {4 * side * side - 1}",
        )
    return mantissas_from_codes(significand_codes(products, bits), table.name, table.id)


def significand_codes(products: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return what a mantissa table holds for products of significands of m + 1 bits.

    Args:
        products: int64, any shape.
        bits: m.

    Returns:
        ``carry << m | mantissa``, int64 of the same shape; -1 for a product outside 2^(2m) to
        2^(2m+2) - 1, which has no mantissa.
    """
    side = 1 << bits
    carry = products >= 2 * side * side
    mantissa = (products >> np.where(carry, bits + 1, bits)) & (side - 1)
    inside = (products >= side * side) & (products < 4 * side * side)
    return np.where(inside, carry.astype(np.int64) << bits | mantissa, -1)


def _private(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    private = np.array(array, dtype=dtype, order="C")
    private.flags.writeable = False
    return private
