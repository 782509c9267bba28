"""The tables of a run: that a schedule's are there and alike, and a checkpoint's the same as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ConfigError, IdentityError
from ...lutgen.mantissa import MantissaTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..multipliers import MultiplierTable
    from .checkpoint import Checkpoint
    from .config import TrainConfig

SCHEDULED = "schedule: "
"""Before the name of a scheduled multiplier, among the table ids of a checkpoint."""


def check_tables(
    config: TrainConfig, table: MultiplierTable | None, tables: Mapping[str, MultiplierTable]
) -> dict[str, str]:
    """Make sure that a schedule's tables are there and alike; return their ids by name.

    Raises:
        ConfigError: one is missing, or has operands of other widths or signs.
    """
    if config.multipliers is None:
        return {}
    if config.is_noisy:
        return _check_noise(config, tables)
    ids = {}
    for name in dict.fromkeys(phase.name for phase in config.phases):
        found = tables.get(name)
        if found is None or table is None or _operands_of(found) != _operands_of(table):
            raise ConfigError(
                f"the schedule's multiplier {name!r} does not fit",
                got="no table" if found is None else repr(found),
                expected=f"a table with the operands of {table!r}",
            )
        ids[name] = found.id
    return ids


def _check_noise(config: TrainConfig, tables: Mapping[str, MultiplierTable]) -> dict[str, str]:
    names = dict.fromkeys(phase.drawn_from for phase in config.phases)
    for name in names:
        if name is not None and name not in tables:
            raise ConfigError(
                f"the relative errors of {name!r} are to be drawn", got="no table of it"
            )
    return {name: tables[name].id for name in names if name is not None}


def scheduled_ids(
    config: TrainConfig, table: MultiplierTable | None, tables: Mapping[str, MultiplierTable]
) -> dict[str, str]:
    """Return the ids of `check_tables` as a checkpoint keeps them, beside those of the layers."""
    ids = check_tables(config, table, tables)
    return {f"{SCHEDULED}{name}": id_ for name, id_ in ids.items()}


def _operands_of(table: MultiplierTable) -> tuple[object, ...]:
    if isinstance(table, MantissaTable):
        return ("mantissas", table.mantissa_bits)
    return table.width_a, table.width_b, table.signed_a, table.signed_b


def check_layer_tables(
    mine: Mapping[str, str], checkpoint: Checkpoint, path: Path, *, scheduled: bool = True
) -> None:
    """Make sure that each layer has the table that it was trained with.

    Args:
        mine: layer (or scheduled multiplier) to id.
        checkpoint: what to compare with.
        path: its file.
        scheduled: whether to compare the schedule's multipliers, which only training needs.

    Raises:
        IdentityError: one has another, or none.
    """
    theirs = {
        layer: id_
        for layer, id_ in checkpoint.table_ids.items()
        if scheduled or not layer.startswith(SCHEDULED)
    }
    for layer in sorted(mine.keys() | theirs.keys()):
        if mine.get(layer) != theirs.get(layer):
            raise IdentityError(
                f"layer {layer!r} of {path} was trained with another table",
                got=mine.get(layer, "no table"),
                expected=theirs.get(layer, "no table"),
                remedy="use the rules and the table of that run",
            )
