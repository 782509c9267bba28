"""Operand and output codes of any width: how they travel to a simulation, and what they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .interface import Interface, Port

WORD = 64
FULL_BATCH = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Operand pairs by code.

    Attributes:
        a: uint64 [N], N >= 1.
        b: uint64 [N].
    """

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.a)

    def reversed(self) -> Pairs:
        """Return the same pairs, last first."""
        return Pairs(self.a[::-1], self.b[::-1])


def operand_bits(interface: Interface) -> int:
    """Bits that an operand code takes in a request: 32 or 64."""
    return 32 if max(interface.a.width, interface.b.width) <= 32 else 64


def answer_words(interface: Interface) -> int:
    """Words of 64 bits that an output code takes in an answer: 1 or 2."""
    return -(-interface.out.width // WORD)


def batch_size(interface: Interface) -> int:
    """Operand pairs in one request: what it takes, and its answer, fits a pipe of 64 KiB."""
    wide = operand_bits(interface) > 32 or answer_words(interface) > 1
    return FULL_BATCH // 2 if wide else FULL_BATCH


def request(interface: Interface, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> bytes:
    """Return the request for the products of a batch of operand codes, uint64 [N] each."""
    kind = f">u{operand_bits(interface) // 8}"
    pairs = np.stack([a, b], axis=1).astype(kind)
    return np.array(len(pairs), ">u4").tobytes() + pairs.tobytes()


def codes_of(values: Any, port: Port, role: str) -> NDArray[np.uint64]:
    """Return the codes of operand values, uint64 in their shape, checked to fit the port.

    Raises:
        ConfigError: they are not integers, or one does not fit.
    """
    array = _integers(values, f"operand {role} is not integer")
    low, high = port.limits
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise ConfigError(
            f"operand {role} does not fit port {port.name!r}",
            got=f"{array.min()} to {array.max()}",
            expected=f"{low} to {high} ({'signed' if port.signed else 'unsigned'}, {port.width} bits)",
        )
    mask = (1 << port.width) - 1
    if array.dtype == object:
        return np.asarray(array & mask, dtype=np.uint64)
    return array.astype(np.uint64) & np.uint64(mask)


def checked_codes(codes: Any, port: Port) -> NDArray[np.uint64]:
    """Return codes (bit patterns) as uint64, checked to be codes of the port.

    Raises:
        ConfigError: they are not integers, or one is out of range.
    """
    array = _integers(codes, f"operand codes for port {port.name!r} are not integer")
    if array.size and (int(array.min()) < 0 or int(array.max()) >> port.width):
        raise ConfigError(
            f"operand codes for port {port.name!r} are out of range",
            got=f"{array.min()} to {array.max()}",
            expected=f"0 to {(1 << port.width) - 1}",
        )
    return array.astype(np.uint64)


def port_values(codes: NDArray[np.uint64], port: Port) -> NDArray[Any]:
    """Return what codes stand for.

    Args:
        codes: uint64 [..., words]: bit patterns of the port, the low 64 bits first.
        port: whose codes they are, two's complement where signed.

    Returns:
        int64 [...], exact; of Python integers (dtype object) where the port is too wide for it.
    """
    low = codes[..., 0]
    if port.width < WORD or (port.signed and port.width == WORD):
        if not port.signed:
            return low.astype(np.int64)
        shift = np.int64(WORD - port.width)
        return (low.view(np.int64) << shift) >> shift
    whole = low.astype(object)
    for word in range(1, codes.shape[-1]):
        whole = whole + (codes[..., word].astype(object) << (WORD * word))
    if port.signed:
        whole = whole - ((whole >> (port.width - 1)) << port.width)
    return np.asarray(whole, dtype=object)


def _integers(values: Any, message: str) -> NDArray[Any]:
    array = np.asarray(values)
    whole = array.dtype == object and all(isinstance(item, int) for item in array.ravel())
    if not (whole or np.issubdtype(array.dtype, np.integer)):
        raise ConfigError(message, got=array.dtype, expected="integers")
    return array
