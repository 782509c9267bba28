"""Gives the layers of a finished model other tables, with nothing else changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.names import pick
from ..lutgen.table import ProductTable
from .kinds import approx_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from .multipliers import MultiplierTable
    from .table_layer import TableLayer


def set_tables(model: nn.Module, tables: Mapping[str, MultiplierTable]) -> None:
    """Let layers multiply through other tables from now on; weights and ranges stay.

    Args:
        model: with layers that multiply through tables.
        tables: layer -> table; layers that are not named keep theirs.

    Raises:
        UnknownNameError: no such layer with a table.
        ConfigError: a table's operands are not the layer's. Nothing is changed then.
    """
    layers = dict(approx_layers(model))
    fitting: list[tuple[TableLayer, ProductTable]] = []
    for name, table in tables.items():
        layer = pick(layers, name, kind="layer with a table")
        check_operands(name, layer, table)
        assert isinstance(table, ProductTable)
        fitting.append((layer, table))
    for layer, table in fitting:
        layer.set_table(table)


def check_operands(name: str, layer: TableLayer, table: MultiplierTable) -> None:
    """Make sure that a table takes the operands that a layer has.

    Args:
        name: of the layer, for messages.
        layer: with a table of its own.
        table: to take its place.

    Raises:
        ConfigError: it has operands of other widths or signs.
    """
    if operands_of(table) != operands_of(layer.table):
        raise ConfigError(
            f"{table.name} does not take the operands of layer {name!r}",
            got=operands_of(table),
            expected=operands_of(layer.table),
            remedy="name designs of the same widths and signs as the one that the network was "
            "quantized for, or quantize it for such designs first",
        )


def operands_of(table: MultiplierTable) -> str:
    """Say for people which operands a table takes, as ``u8 x u8``."""
    if not isinstance(table, ProductTable):
        return f"mantissas of {table.mantissa_bits} bits"
    a, b = ("s" if signed else "u" for signed in (table.signed_a, table.signed_b))
    return f"{a}{table.width_a} x {b}{table.width_b}"
