"""``rtlgrad engines``: what computes table sums here, which route a layer takes and why."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from .console import out, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..nn.engines import Workload
    from ..nn.engines.calibration import Calibration

RESNET20 = ("16x144x131072", "32x288x32768", "64x576x8192", "10x64x128")
"""The layers of ResNet-20 at a batch of 128: its three stages and the last one."""


def run(
    *, explain: str | None, shapes: Sequence[str], store: Path, calibrate: bool, as_json: bool
) -> None:
    """Print the engines; measure the routes first if asked to; explain a design's routes.

    Raises:
        ConfigError: a shape that is none, or shapes without a design to explain.
        EngineError: the native engine, which alone has routes, cannot run here.
    """
    if shapes and explain is None:
        raise ConfigError(
            "shapes without a design", got=" ".join(shapes), remedy="name one: --explain DESIGN"
        )
    works = [_workload(shape) for shape in shapes or RESNET20]
    measured = _calibrated() if calibrate else None
    engines = _engines()
    routes = [] if explain is None else _explained(explain, works, store)
    if as_json:
        print_json(
            {
                "engines": engines,
                "routes": [text.splitlines() for text in routes],
                "calibration": None if measured is None else asdict(measured),
            }
        )
        return
    headings = ("engine", "device", "usable here", "instruction set", "threads", "reason")
    rows = [[str(engine[heading]) for heading in headings] for engine in engines]
    print_table(headings, rows, left=len(headings))
    if measured is not None:
        print_table(
            ("way", "time by estimate"),
            [[way, f"{ratio:.2f}"] for way, ratio in measured.ratios.items()],
        )
    for text in routes:
        out().print(text, markup=False)


def _engines() -> list[dict[str, object]]:
    from ..nn.engines.native_library import current_isa
    from ..nn.engines.registry import ENGINES
    from ..nn.table_ops import layer_threads

    found: list[dict[str, object]] = []
    for name, entry in ENGINES.items():
        status = entry.availability()
        native = name == "native" and status.usable
        found.append(
            {
                "engine": name,
                "device": entry.device,
                "usable here": "yes" if status.usable else "no",
                "reason": status.reason,
                "instruction set": current_isa().name if native else "-",
                "threads": layer_threads() if native else "-",
            }
        )
    return found


def _calibrated() -> Calibration:
    from ..nn.engines.calibrate_routes import calibrate

    return calibrate()


def _explained(design: str, works: Sequence[Workload], store: Path) -> list[str]:
    from ..lutgen.store import find, load_table
    from ..nn.engines import LookupTable
    from ..nn.engines.native_library import current_isa
    from ..nn.engines.routes import explain_route

    table = LookupTable(load_table(find(store, design)).products)
    return [explain_route(work, table, current_isa()) for work in works]


def _workload(shape: str) -> Workload:
    """Return the size that MxKxN names: outputs, products of each, positions."""
    from ..nn.engines import Workload

    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", shape)
    if found is None:
        raise ConfigError(
            "not the shape of a layer",
            got=shape,
            expected="MxKxN: outputs, products per output, positions, as in 16x144x32768",
        )
    return Workload(*(int(part) for part in found.groups()))
