"""The tables that a configuration needs: its design's, and those of its schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...lutgen.mantissa import MantissaTable, from_significands
from ...lutgen.table import ProductTable
from .schedule import EXACT, designs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..multipliers import MultiplierTable
    from .config import TrainConfig


def tables_for(
    config: TrainConfig, load: Callable[[str], MultiplierTable]
) -> tuple[MultiplierTable | None, dict[str, MultiplierTable]]:
    """Return the table of a configuration's design, and those of its schedule by name.

    The schedule's "exact" is the table of exact products of its first design's operands. With
    noise there is no table to multiply through, but those whose errors are drawn. With an
    assignment there is no table of the whole run, but those of its designs.

    Args:
        config: what is to be run.
        load: gives the table of a design by name.
    """
    if config.assignment:
        return None, {design: load(design) for _, design in config.assignment}
    if config.multipliers is None:
        return (None if config.design is None else load(config.design)), {}
    tables = {name: load(name) for name in designs_of(config.phases)}
    if config.is_noisy:
        return None, tables
    tables[EXACT] = exact_like(next(iter(tables.values())))
    return tables[config.phases[-1].name], tables


def exact_like(table: MultiplierTable) -> MultiplierTable:
    """Return the table of the exact products of another table's operands, named "exact".

    Of mantissas, the exact product of the operands, which are cut to the table's bits, is cut to
    as many, because no entry of such a table has more.
    """
    if isinstance(table, ProductTable):
        return ProductTable(table.exact, table.signed_a, table.signed_b, name=EXACT)
    significands = np.arange(2 << table.mantissa_bits)
    products = ProductTable(significands[:, None] * significands, name=EXACT)
    found = from_significands(products)
    return MantissaTable(found.mantissa_bits, found.mantissa, found.carry, name=EXACT)
