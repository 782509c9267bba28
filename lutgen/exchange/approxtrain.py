"""ApproxTrain's mantissa tables: a byte per pair, the carry in bit 7."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.errors import ConfigError
from ...core.files import write_atomic
from ..mantissa import MantissaTable
from .operands import Order

NAME = "approxtrain"
SUMMARY = "a byte for each pair of mantissas, entry (i << m) | j, bit 7 the carry"
MAX_BITS = 7
"""The carry takes the top bit of the byte."""
_CARRY = 0x80


def read_mantissas(
    path: str | Path, *, mantissa_bits: int | None = None, order: Order | str = Order.AB
) -> MantissaTable:
    """Read 4^m bytes, entry (i << m) | j: bit 7 the carry, the bits below the mantissa.

    Args:
        path: the file.
        mantissa_bits: m, checked against the file; None to take it from the file's size.
        order: "ab" if i belongs to the activation, as in ApproxTrain's forward pass, "ba" if it
            belongs to the weight.

    Raises:
        ConfigError: the size is no 4^m with m = 1 to 7, is another than was said, or an entry
            has bits set that no mantissa of m bits has.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}", got=error.strerror or error) from error
    sizes = {4**bits: bits for bits in range(1, MAX_BITS + 1)}
    bits = sizes.get(len(data))
    if bits is None or (mantissa_bits is not None and bits != mantissa_bits):
        wanted = [str(4**mantissa_bits)] if mantissa_bits is not None else map(str, sizes)
        raise ConfigError(
            f"{path} is not a mantissa table of ApproxTrain",
            got=f"{len(data)} bytes",
            expected=f"{', '.join(wanted)} bytes (4^m for mantissas of m bits)",
        )
    side = 1 << bits
    entries = np.frombuffer(data, dtype=np.uint8).reshape(side, side)
    mantissa = entries & (_CARRY - 1)
    if mantissa.max() >= side:
        i, j = (int(index) for index in np.argwhere(mantissa >= side)[0])
        raise ConfigError(
            f"{path} has an entry that is no mantissa of {bits} bits",
            got=f"0x{entries[i, j]:02x} for i = {i}, j = {j}",
            expected=f"0x00 to 0x{side - 1:02x}, with or without bit 7",
        )
    carry = entries >= _CARRY
    if Order(order) is Order.BA:
        mantissa, carry = mantissa.T, carry.T
    return MantissaTable(bits, mantissa, carry, name=path.stem)


def write_mantissas(
    table: MantissaTable, path: str | Path, *, order: Order | str = Order.AB
) -> None:
    """Write what `read_mantissas` reads.

    Raises:
        ConfigError: mantissas of more than 7 bits, or the file cannot be written.
    """
    if table.mantissa_bits > MAX_BITS:
        raise ConfigError(
            f"format {NAME} cannot hold mantissa table {table.name!r}",
            got=f"mantissas of {table.mantissa_bits} bits",
            expected=f"at most {MAX_BITS}: the carry takes bit 7 of a byte",
        )
    entries = table.mantissa.astype(np.uint8) | (table.carry.astype(np.uint8) << 7)
    if Order(order) is Order.BA:
        entries = entries.T
    write_atomic(Path(path), entries.tobytes())
