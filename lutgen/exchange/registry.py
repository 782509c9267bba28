"""Reads and writes tables in any format; what is not known is asked for, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...core.files import sha256_bytes, write_atomic
from ...core.names import pick
from ..table import ProductTable
from .detect import content, detected
from .formats import Format, Matrix, by_code, decoded
from .known_formats import FORMATS
from .operands import Operands, Order, check_widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

Signs = tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table read from a file, and how it was read.

    Attributes:
        table: the table.
        path: the file.
        sha256: hash of the file's content.
        format: name of the format.
        order: which operand the file's rows, or first operands, were taken for.
        order_stated: whether the user said so, rather than the format.
        operands: widths and signs.
        signs_stated: whether the user said which operands are signed, rather than the format.
    """

    table: ProductTable
    path: Path
    sha256: str
    format: str
    order: Order
    order_stated: bool
    operands: Operands
    signs_stated: bool

    @property
    def options(self) -> str:
        """How it was read, in the words of the command line."""
        return f"--format {self.format} --order {self.order} --operands {self.operands}"


def read_file(
    path: str | Path,
    format: str | None = None,  # noqa: A002 - the word of the command line
    *,
    signed: bool | Signs | None = None,
    order: Order | str | None = None,
    width_a: int | None = None,
    width_b: int | None = None,
) -> TableFile:
    """Read a table and tell how it was read.

    Args:
        path: the file.
        format: name of its format; None if the file says so itself.
        signed: whether operands are signed, or a pair for a and b; None if the format says so.
        order: "ab" if rows (first operands) are a, the activation; "ba" if they are b, the
            weight; None for what the project that reads the format does.
        width_a: bits of a, checked against the file; None to take what it has.
        width_b: bits of b, likewise.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the file is not of that format, something has to be said that was not, or
            what was said does not fit the file.
    """
    path = Path(path)
    data = content(path)
    chosen = detected(path, data) if format is None else pick(FORMATS, format, kind="format")
    taken = _order(chosen, order, path)
    matrix = chosen.parse(data, path)
    operands = _operands(matrix, chosen, taken, signed, path)
    for name, said, has in (("a", width_a, operands.width_a), ("b", width_b, operands.width_b)):
        if said is not None and said != has:
            raise ConfigError(
                f"{path}: operand {name} has not the width that was said",
                got=f"{has} bits in the file",
                expected=f"{said} bits",
                remedy="say the widths of the file, or the other order (--order)",
            )
    products = _products(matrix, chosen, taken, operands)
    return TableFile(
        table=ProductTable(products, *operands.signs, name=path.stem),
        path=path,
        sha256=sha256_bytes(data),
        format=chosen.name,
        order=taken,
        order_stated=order is not None,
        operands=operands,
        signs_stated=signed is not None,
    )


def read_table(
    path: str | Path,
    format: str | None = None,  # noqa: A002 - the word of the command line
    *,
    signed: bool | Signs | None = None,
    order: Order | str | None = None,
    width_a: int | None = None,
    width_b: int | None = None,
) -> ProductTable:
    """Read a table; arguments and errors as for `read_file`."""
    return read_file(
        path, format, signed=signed, order=order, width_a=width_a, width_b=width_b
    ).table


def write_table(
    table: ProductTable,
    path: str | Path,
    format: str,  # noqa: A002 - the word of the command line
    *,
    order: Order | str | None = None,
) -> Order:
    """Write a table in a format and return the order that it was written in.

    Args:
        table: what to write.
        path: the file; replaced as a whole.
        format: name of the format.
        order: "ab" to make a, the activation, the row (first operand), "ba" to make it b, the
            weight; None for what the project that reads the format does.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the format cannot hold the table, the order has to be said, or the file
            cannot be written.
    """
    path = Path(path)
    chosen = pick(FORMATS, format, kind="format")
    taken = _order(chosen, order, path)
    operands = Operands(table.width_a, table.width_b, table.signed_a, table.signed_b)
    check_holds(chosen, table, operands)
    entries = table.products.astype(np.int64)
    signs = operands.signs
    if taken is Order.BA:
        entries, signs = entries.T, signs[::-1]
    if chosen.axis == "values":
        entries = by_code(entries, signs)
    if chosen.entry_bits is not None:
        entries = entries & ((1 << chosen.entry_bits) - 1)
    write_atomic(path, chosen.render(Matrix(entries, signs)))
    return taken


def check_holds(chosen: Format, table: ProductTable, operands: Operands) -> None:
    """Check that a format can hold a table.

    Raises:
        ConfigError: widths, signs or products are outside what the format can hold.
    """
    what = f"format {chosen.name} cannot hold table {table.name!r}"
    widths = (operands.width_a, operands.width_b)
    if chosen.widths is not None and widths not in chosen.widths:
        raise ConfigError(what, got=f"operands {operands}", expected=_widths_text(chosen))
    if operands.signs not in chosen.signs:
        raise ConfigError(what, got=f"operands {operands}", expected=_signs_text(chosen))
    low, high = chosen.limits_for(operands.signed_out)
    if table.products.min() < low or table.products.max() > high:
        raise ConfigError(
            what,
            got=f"products from {table.products.min()} to {table.products.max()}",
            expected=f"{low} to {high}",
        )


def _order(chosen: Format, order: Order | str | None, path: Path) -> Order:
    if order is not None:
        return pick({str(entry): entry for entry in Order}, str(order), kind="order of operands")
    if chosen.order is None:
        raise ConfigError(
            f"{path}: format {chosen.name} does not settle which operand comes first: "
            f"{chosen.order_note}",
            expected="an order",
            remedy="--order ab if rows are the activation (a), --order ba if they are the weight (b)",
        )
    return chosen.order


def _operands(
    matrix: Matrix, chosen: Format, order: Order, signed: bool | Signs | None, path: Path
) -> Operands:
    """Settle widths and signs from the file, the format and what was said."""
    shape = matrix.entries.shape
    if any(side < 2 or side & (side - 1) for side in shape):
        raise ConfigError(
            f"{path} does not cover every code of its operands",
            got=f"{shape[0]} rows of {shape[1]} entries",
            expected="2^w rows and 2^w columns",
        )
    widths = tuple(side.bit_length() - 1 for side in shape)
    found = matrix.signs
    if order is Order.BA:
        widths, found = widths[::-1], found and found[::-1]
    check_widths(widths[0], widths[1], str(path))
    if chosen.widths is not None and widths not in chosen.widths:
        raise ConfigError(
            f"{path}: format {chosen.name} does not have tables of this size",
            got=f"operands of {widths[0]} and {widths[1]} bits",
            expected=_widths_text(chosen),
        )
    signs = _signs(found, chosen, signed, path)
    return Operands(widths[0], widths[1], *signs)


def _signs(found: Signs | None, chosen: Format, signed: bool | Signs | None, path: Path) -> Signs:
    said = (signed, signed) if isinstance(signed, bool) else signed
    if found is None and len(chosen.signs) == 1:
        found = chosen.signs[0]
    if said is None and found is None:
        raise ConfigError(
            f"{path}: format {chosen.name} does not say whether operands are signed",
            expected="signs and widths",
            remedy="--operands s8xs8 for two's complement, --operands u8xu8 for unsigned",
        )
    signs = found if said is None else said
    assert signs is not None
    if found is not None and signs != found:
        raise ConfigError(
            f"{path}: its operands are not signed as was said",
            got=_sign_text(found),
            expected=_sign_text(signs),
        )
    if signs not in chosen.signs:
        raise ConfigError(
            f"{path}: format {chosen.name} does not have tables of this kind",
            got=_sign_text(signs),
            expected=_signs_text(chosen),
        )
    return signs


def _products(
    matrix: Matrix, chosen: Format, order: Order, operands: Operands
) -> NDArray[np.int64]:
    """Bring a file's matrix into the order of codes, row = a."""
    entries = matrix.entries
    signs = operands.signs if order is Order.AB else operands.signs[::-1]
    if chosen.entry_bits is not None:
        entries = decoded(entries, chosen.entry_bits, operands.signed_out)
    if chosen.axis == "values":
        entries = by_code(entries, signs)
    return entries if order is Order.AB else entries.T


def _sign_text(signs: Signs) -> str:
    a, b = ("signed" if signed else "unsigned" for signed in signs)
    return f"a {a}, b {b}"


def _signs_text(chosen: Format) -> str:
    return " or ".join(_sign_text(signs) for signs in chosen.signs)


def _widths_text(chosen: Format) -> str:
    return "operands of " + " or ".join(f"{a} and {b} bits" for a, b in chosen.widths or ())
