"""How fast the routes are on this very machine: measured once, kept in the cache, read by the router.

The router's figures (`routes.py`) were measured on one CPU. `calibrate` times every way of adding up
table entries on two small layers and keeps, for each, the ratio of the time taken to the time
estimated: one number, by which the router multiplies its estimates from then on. Sums do not depend
on it: every route gives the same bits.

A calibration belongs to a CPU model, an instruction set and a build of the library; with another of them
the shipped figures hold until it is made anew.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import cache_folder, readable_json, sha256_bytes, write_atomic
from .native_library import library, native_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .isa import Isa

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured.

    Attributes:
        cpu: the CPU's model.
        build: the library's name, which has the hash of its sources and compiler.
        isa: the instruction set's name.
        ratios: time taken by time estimated, of each way (`Estimate.way`).
    """

    cpu: str
    build: str
    isa: str
    ratios: Mapping[str, float]

    @property
    def path(self) -> Path:
        """Where the cache has it."""
        return _path(self.cpu, self.build, self.isa)

    def store(self) -> None:
        """Keep it in the cache.

        Raises:
            ConfigError: the cache cannot be written.
        """
        content = {
            "format": FORMAT,
            "cpu": self.cpu,
            "build": self.build,
            "isa": self.isa,
            "ratios": dict(self.ratios),
        }
        write_atomic(self.path, readable_json(content))


def load_calibration(isa: Isa) -> Calibration | None:
    """Return what was measured here for an instruction set, None if nothing was.

    A file that is damaged or of another format counts as none.
    """
    if not native_runs():
        return None
    cpu, build = cpu_model(), build_name()
    try:
        content = json.loads(_path(cpu, build, isa.name).read_text(encoding="utf-8"))
        ratios = {str(way): float(ratio) for way, ratio in content["ratios"].items()}
        known = content["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not known or not all(math.isfinite(ratio) and ratio > 0 for ratio in ratios.values()):
        return None
    return Calibration(cpu, build, isa.name, ratios)


def cpu_model() -> str:
    """Return the CPU's model as the system names it, else the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    wanted = ("vendor_id", "cpu family", "model", "model name", "stepping")
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            found.setdefault(name.strip(), value.strip())
    return " ".join(found.get(name, "-") for name in wanted) if found else platform.machine()


def build_name() -> str:
    """Return the name of the library at hand.

    Raises:
        EngineError: it cannot be built.
    """
    return Path(library()._name).stem


def _path(cpu: str, build: str, isa: str) -> Path:
    key = sha256_bytes("\n".join((cpu, build, isa)).encode())[:24]
    return cache_folder() / "native" / f"calibration-{key}.json"
