"""Whether what lies in a folder was made from the same configuration, table and data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ConfigError, DataError, IdentityError
from .config import differences

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..data import ImageData
    from ..multipliers import MultiplierTable
    from .checkpoint import Checkpoint
    from .config import TrainConfig
    from .results import RunResult


def check_same_run(
    earlier: Checkpoint | RunResult,
    path: Path,
    config: TrainConfig,
    table: MultiplierTable | None,
    data: ImageData,
    tables: Mapping[str, MultiplierTable] | None = None,
) -> None:
    """Make sure that a run in progress or finished is the one that is asked for.

    Args:
        earlier: what the folder holds.
        path: the file that it was read from.
        config: the configuration asked for.
        table: the table given, or None for fp32.
        data: the data set given.
        tables: those given for the designs of an assignment, by name.

    Raises:
        ConfigError: the configuration differs; names each differing field.
        IdentityError: the table, or one that the assignment names, is another one.
        DataError: the data set has other content.
    """
    changed = differences(config, earlier.config)
    if changed:
        raise ConfigError(
            f"{path.parent} holds a run of another configuration",
            got="; ".join(changed),
            expected="the configuration that it was begun with",
            remedy="name another folder, or delete this one to begin anew",
        )
    check_table(earlier, path, table)
    for layer, design in config.assignment:
        given = (tables or {}).get(design)
        if given is None or given.id != earlier.table_ids.get(layer):
            raise IdentityError(
                f"the table of {design!r} is not the one that {path} has in layer {layer!r}",
                got=_identity(design, None if given is None else given.id),
                expected=_identity(design, earlier.table_ids.get(layer)),
                remedy="give the tables of those characterizations, or train in another folder",
            )
    check_data(earlier, path, data)


def check_processes(earlier: Checkpoint, path: Path, count: int) -> None:
    """Make sure that a run goes on in as many processes as it was begun with.

    Raises:
        ConfigError: it was another number; sums would be rounded otherwise.
    """
    if earlier.processes != count:
        raise ConfigError(
            f"{path.parent} holds a run in another number of processes",
            got=count,
            expected=earlier.processes,
            remedy="go on as it was begun, or name another folder",
        )


def check_data(earlier: Checkpoint | RunResult, path: Path, data: ImageData) -> None:
    """Make sure that a data set has the content that a checkpoint or result was made with.

    Raises:
        DataError: it has another; gives both hashes.
    """
    digest = data.provenance["sha256"]
    if digest != earlier.data["sha256"]:
        raise DataError(
            f"the data set is not the one that {path} was trained on",
            got=f"{data.name} from {data.source}, sha256 {digest}",
            expected=f"sha256 {earlier.data['sha256']}, then from {earlier.data['source']}",
            remedy="restore the data set's files, or train in another folder",
        )


def check_table(earlier: Checkpoint | RunResult, path: Path, table: MultiplierTable | None) -> None:
    """Make sure that a table is the one that a checkpoint or result was made with.

    Raises:
        IdentityError: it is another one; gives both ids.
    """
    mine = None if table is None else table.id
    if mine != earlier.characterization_id:
        raise IdentityError(
            f"the table is not the one that {path} was trained with",
            got=_identity(None if table is None else table.name, mine),
            expected=_identity(earlier.config.design, earlier.characterization_id),
            remedy="give the table of that characterization, or train anew with this one",
        )


def _identity(name: str | None, table_id: str | None) -> str:
    return "no table (fp32)" if table_id is None else f"{name}, id {table_id}"
