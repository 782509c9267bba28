"""What a design costs in hardware, and against which cell library that was estimated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.files import sha256_file

if TYPE_CHECKING:
    from collections.abc import Mapping

SHIPPED_LIBRARY = Path(__file__).parent / "cells" / "osu_freepdk45.lib"


@dataclass(frozen=True, slots=True)
class CellLibrary:
    """A Liberty file.

    Attributes:
        path: where it is.
        name: the file's stem.
        sha256: hash of its content.
    """

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate of area, delay and power; a figure that could not be had is None.

    Attributes:
        area_um2: sum of the cells' areas.
        delay_ps: longest path, as ABC reports it after mapping and sizing.
        power_uw: power, at the conditions that ``method`` states.
        cells: cell type -> number of instances, in the mapped netlist.
        library: name of the cell library.
        library_sha256: hash of the Liberty file.
        method: how the figures were made, tools with versions.
        absent: figure -> why it is None.
    """

    area_um2: float | None
    delay_ps: float | None
    power_uw: float | None
    cells: Mapping[str, int]
    library: str
    library_sha256: str
    method: str
    absent: Mapping[str, str] = field(default_factory=dict)


def cell_library(path: Path | None = None) -> CellLibrary:
    """Open a Liberty file, by default the one that the project ships.

    Raises:
        ConfigError: it is missing, or is not a Liberty library with cells.
    """
    path = path or SHIPPED_LIBRARY
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ConfigError(
            f"cannot read the cell library {path}",
            got=error.strerror,
            expected="a Liberty file (.lib)",
            remedy="check the path given by LIBERTY= or --liberty",
        ) from error
    if "library" not in text or "cell" not in text:
        raise ConfigError(
            f"{path} is not a cell library",
            got="no 'library' group with cells",
            expected="a Liberty file (.lib), uncompressed",
        )
    return CellLibrary(path=path, name=path.stem, sha256=sha256_file(path))
