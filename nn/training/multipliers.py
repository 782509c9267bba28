"""The tables that a configuration needs: its design's, and those of its schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lutgen.table import ProductTable
from .schedule import EXACT, designs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import TrainConfig


def tables_for(
    config: TrainConfig, load: Callable[[str], ProductTable]
) -> tuple[ProductTable | None, dict[str, ProductTable]]:
    """Return the table of a configuration's design, and those of its schedule by name.

    The schedule's "exact" is the table of exact products of its first design's operands.

    Args:
        config: what is to be run.
        load: gives the table of a design by name.
    """
    if config.multipliers is None:
        return (None if config.design is None else load(config.design)), {}
    tables = {name: load(name) for name in designs_of(config.phases)}
    if not tables:
        return None, {}
    tables[EXACT] = exact_like(next(iter(tables.values())))
    return tables[config.phases[-1].name], tables


def exact_like(table: ProductTable) -> ProductTable:
    """Return the table of the exact products of another table's operands, named "exact"."""
    return ProductTable(table.exact, table.signed_a, table.signed_b, name=EXACT)
