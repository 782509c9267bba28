"""What a design costs in hardware, and against which cell library that was estimated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import sha256_file
from .gates.liberty import read_library

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
        delay_ps: longest path by static timing analysis of the mapped netlist; of a clocked
            design the least clock period, setup times included.
        power_uw: zero-delay power: changes of settled values, at ``clock_mhz``, plus leakage.
        power_glitch_aware_uw: the same with glitches, every gate of unit delay.
        energy_fj: zero-delay energy of one operation, without leakage; of a clocked design over
            all its clock cycles, the clock's own energy included.
        energy_glitch_aware_fj: the same with glitches.
        leakage_nw: static power.
        clock_mhz: clock of the power figures; None without power. One operation a cycle, if
            ``stimulus`` does not say otherwise.
        stimulus: the operands of the power figures, with their number and seed, and the clock
            cycles of an operation that takes more than one.
        netlist_proven: whether the netlist, evaluated exhaustively from the library's functions,
            was compared with the simulated table and found equal.
        cells: cell type -> number of instances, in the mapped netlist.
        library: name of the cell library.
        library_sha256: hash of the Liberty file.
        method: how the figures were made, tools with versions.
        absent: figure -> why it is None.
        script: the script for ABC whose netlist was kept; empty without a netlist.
        paths_ps: longest path of each kind, "register to register" and so on; of a combinational
            design from inputs to outputs alone, which is its delay.
    """

    area_um2: float | None
    delay_ps: float | None
    power_uw: float | None
    cells: Mapping[str, int]
    library: str
    library_sha256: str
    method: str
    absent: Mapping[str, str] = field(default_factory=dict)
    power_glitch_aware_uw: float | None = None
    energy_fj: float | None = None
    energy_glitch_aware_fj: float | None = None
    leakage_nw: float | None = None
    clock_mhz: float | None = None
    stimulus: str = ""
    netlist_proven: bool = False
    script: str = ""
    paths_ps: Mapping[str, float] = field(default_factory=dict)


def cell_library(path: Path | None = None) -> CellLibrary:
    """Open a Liberty file, plain or gzipped; by default the one that the project ships.

    Raises:
        ConfigError: it is missing, is no Liberty library, or cannot serve; gives the reason.
        MissingToolError: the package liberty-parser is not installed.
    """
    path = path or SHIPPED_LIBRARY
    if path != SHIPPED_LIBRARY:
        read_library(path)
    return CellLibrary(path=path, name=path.stem, sha256=sha256_file(path))
