"""Several mappings of one design onto cells, and the choice of the best.

A single optimization script is at the mercy of the order in which a netlist lists its gates:
other names for the same nets change area and delay by some percent. So each design is mapped by
several scripts, and the netlist with the least product of area and delay is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import sha256_bytes
from ..gates.timing import analyse_timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..gates.netlist import Netlist
    from ..gates.timing import Timing
    from ..interface import Clocking

SCRIPTS = tuple(
    Path(__file__).parents[1] / "cells" / f"abc_{name}.script"
    for name in ("dch_nf", "dch_map", "synch_nf")
)
"""Scripts for ABC. Of ten tried, these three give the least mean area x delay."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A design mapped onto a cell library by one script.

    Attributes:
        script: stem of the script's file.
        netlist: the cells.
        timing: the netlist's timing; None if the library states no delays.
    """

    script: str
    netlist: Netlist
    timing: Timing | None


def scripts_hash() -> str:
    """Return a hash of all scripts."""
    return sha256_bytes(b"\0".join(script.read_bytes() for script in SCRIPTS))


def best_mapping(
    candidates: Sequence[tuple[str, Netlist]], clocking: Clocking | None = None
) -> Mapping:
    """Return the mapping with the least area x delay; the first of several.

    Where a library states no delays, or no areas, the other decides alone.

    Args:
        candidates: name of the script and the netlist that it gave.
        clocking: the design's clock, if it has one.

    Raises:
        DesignError: the clock is gated.
    """
    mappings = [
        Mapping(script, netlist, analyse_timing(netlist, clocking))
        for script, netlist in candidates
    ]
    return min(mappings, key=_area_times_delay)


def _area_times_delay(mapping: Mapping) -> float:
    delay = 1.0 if mapping.timing is None else mapping.timing.delay_ps
    return (mapping.netlist.area_um2 or 1.0) * (delay or 1.0)
