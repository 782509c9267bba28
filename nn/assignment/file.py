"""The file of an assignment: which design multiplies in each layer, by name and by id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.errors import IdentityError, RecordError
from ...core.files import readable_json, write_atomic
from .space import Accelerator, TileMap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..multipliers import MultiplierTable

FORMAT = "rtlgrad assignment"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of an accelerator.

    Attributes:
        design: name of its multipliers' design, with the suffix ``+tuned`` if the weights are
            mapped to suit it.
        table_id: id of the table that its layers multiply through.
        characterization_id: id of the characterization of the design, weights aside.
    """

    design: str
    table_id: str
    characterization_id: str


@dataclass(frozen=True, slots=True)
class AssignmentFile:
    """An assignment that training and evaluation take back in.

    Attributes:
        accelerator: how layers share tiles.
        tiles: of the accelerator.
        tile_of: layer -> number of its tile.
        source: where it comes from (study, checkpoint, figures), as plain JSON values.
    """

    accelerator: Accelerator
    tiles: tuple[Tile, ...]
    tile_of: Mapping[str, int]
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[tuple[str, str], ...]:
        """(layer, design), in the order of the layers, as `TrainConfig.assignment` has them."""
        return tuple((layer, self.tiles[tile].design) for layer, tile in self.tile_of.items())

    @property
    def tile_map(self) -> TileMap:
        """The assignment without names of layers."""
        return TileMap(tuple(tile.design for tile in self.tiles), tuple(self.tile_of.values()))


def check_tables(
    assignment: AssignmentFile, tables: Mapping[str, MultiplierTable], path: Path
) -> None:
    """Make sure that tables are those that a file names.

    Args:
        assignment: the file's content.
        tables: design -> table.
        path: the file, for messages.

    Raises:
        IdentityError: one has another id.
    """
    for tile in assignment.tiles:
        found = tables[tile.design]
        if found.id != tile.table_id:
            raise IdentityError(
                f"the table of {tile.design!r} is not the one that {path} was made with",
                got=found.id,
                expected=tile.table_id,
                remedy="restore that characterization, or search anew: rtlgrad assign",
            )


def save_assignment(assignment: AssignmentFile, path: Path) -> None:
    """Write an assignment as JSON, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    payload = {
        "format": FORMAT,
        "schema": _SCHEMA,
        "accelerator": str(assignment.accelerator),
        "tiles": [
            {
                "design": tile.design,
                "table_id": tile.table_id,
                "characterization_id": tile.characterization_id,
            }
            for tile in assignment.tiles
        ],
        # A list keeps the order of the layers, which the keys of an object would not.
        "layers": [
            {"layer": layer, "tile": tile, "design": assignment.tiles[tile].design}
            for layer, tile in assignment.tile_of.items()
        ],
        "source": dict(assignment.source),
    }
    write_atomic(path, readable_json(payload))


def load_assignment(path: Path) -> AssignmentFile:
    """Read an assignment.

    Raises:
        RecordError: the file is missing, damaged, contradicts itself, or is something else.
    """
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise _unreadable(path, "another kind of file")
    if payload.get("schema") != _SCHEMA:
        raise _unreadable(path, f"schema {payload.get('schema')}")
    try:
        found = AssignmentFile(
            Accelerator(payload["accelerator"]),
            tuple(Tile(**tile) for tile in payload["tiles"]),
            {str(one["layer"]): int(one["tile"]) for one in payload["layers"]},
            payload["source"],
        )
        said = tuple((str(one["layer"]), str(one["design"])) for one in payload["layers"])
        if said != found.layers or not said or min(found.tile_of.values()) < 0:
            raise ValueError("layers and tiles contradict each other")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    return found


def _unreadable(path: Path, got: object) -> RecordError:
    return RecordError(
        f"{path} is no assignment of designs to layers",
        got=got,
        expected=f"a file of format {FORMAT!r}, schema {_SCHEMA}, as rtlgrad assign writes it",
    )
