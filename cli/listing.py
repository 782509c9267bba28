"""``rtlgrad list``: what can be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.names import pick
from .console import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = tuple[tuple[str, ...], list[list[str]]]


def run(what: str, *, rtl: Path, store: Path, as_json: bool) -> None:
    """Print one kind of names with what there is to say about each."""
    kinds: dict[str, Callable[[], Rows]] = {
        "designs": lambda: _designs(rtl, store),
        "models": _models,
        "data": _data,
        "engines": _engines,
        "calibrations": _calibrations,
    }
    headings, rows = pick(kinds, what, kind="list")()
    if as_json:
        print_json([dict(zip(headings, row, strict=True)) for row in rows])
    else:
        print_table(headings, rows, left=len(headings))


def _designs(rtl: Path, store: Path) -> Rows:
    from ..cosim.design import references, verilog_files
    from ..lutgen.store import stored_names

    known = set(stored_names(store))
    found = [design for path in verilog_files(rtl) for design in references(path)]
    rows = [
        [
            design.name,
            "yes" if design.name in known else "no",
            str(design.path),
            " ".join(f"{name}={value}" for name, value in design.overrides.items()),
            design.sidecar.title,
        ]
        for design in found
    ]
    own = known - {design.name for design in found}
    rows += [[name, "yes", str(store / name), "", ""] for name in sorted(own)]
    return ("design", "characterized", "file", "parameters", "title"), rows


def _models() -> Rows:
    from ..nn.models import MODELS

    return ("model", "what it is"), [[name, MODELS[name].summary] for name in sorted(MODELS)]


def _data() -> Rows:
    from ..nn.data import DATASETS

    return ("data",), [[name] for name in sorted(DATASETS)]


def _engines() -> Rows:
    from ..nn.engines.registry import ENGINES

    rows = []
    for name, entry in ENGINES.items():
        found = entry.availability()
        rows.append([name, entry.device, "yes" if found.usable else "no", found.reason])
    return ("engine", "device", "usable here", "reason"), rows


def _calibrations() -> Rows:
    from ..nn.calibrate import OBSERVERS

    rows = [
        [name, (make.__doc__ or "").strip().splitlines()[0]] for name, make in OBSERVERS.items()
    ]
    return ("calibration", "what it does"), rows
