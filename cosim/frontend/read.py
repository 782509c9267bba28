"""Reads one module of a source text, by pyverilog if it can, and always checks it by pyslang."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError, VerilogError
from ...core.names import unknown_name
from .declaration import CannotReadError, ModuleDeclaration, SourceUnit
from .pyslang_reader import PyslangUnit
from .pyverilog_reader import PyverilogUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

_FRONT_ENDS: tuple[Callable[[str], SourceUnit], ...] = (PyverilogUnit, PyslangUnit)


@dataclass(frozen=True, slots=True)
class ReadModule:
    """A module, and which front end read it."""

    declaration: ModuleDeclaration
    front_end: str


def read_module(
    text: str,
    path: Path,
    *,
    top: str | None,
    overrides: Mapping[str, int],
    own: Collection[str] = (),
) -> ReadModule:
    """Find the top module of a text and resolve its ports.

    Args:
        text: preprocessed source; `line markers tell where errors are.
        path: the file, for messages and for its stem.
        top: the module's name if it is known.
        overrides: parameter overrides by name.
        own: modules that the file itself defines, if others were read with it.

    Raises:
        VerilogError: no front end can read the text.
        InterfaceError: there is no module, or several could be the multiplier.
        UnknownNameError: there is no module called ``top``.
    """
    refusals = []
    readings: list[ReadModule] = []
    for front_end in _FRONT_ENDS:
        try:
            unit = _parsed(front_end, text)
            name = readings[0].declaration.name if readings else choose_top(unit, path, top, own)
            readings.append(ReadModule(_declared(unit, name, overrides, path), unit.front_end))
        except CannotReadError as refusal:
            refusals.append(str(refusal))
    if not readings:
        raise VerilogError(f"{path} cannot be parsed", got="; ".join(refusals))
    # A misread sign or width would make a wrong table without a word. Where the two differ,
    # pyslang, which elaborates the text, is right: pyverilog is known to misread some.
    agreed = all(other.declaration.ports == readings[0].declaration.ports for other in readings)
    return readings[0] if agreed else readings[-1]


def _declared(
    unit: SourceUnit, name: str, overrides: Mapping[str, int], path: Path
) -> ModuleDeclaration:
    try:
        return unit.declare(name, overrides)
    except InterfaceError as error:
        # A front end knows the text, not the file.
        raise InterfaceError(
            f"{path}: {error.what}",
            got=error.got,
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def choose_top(unit: SourceUnit, path: Path, top: str | None, own: Collection[str] = ()) -> str:
    """Return the module that is the multiplier.

    That is the one that the sidecar names; else the only one that nothing instantiates; else,
    of several such, the only one in the design's own file, or the one called like the file.
    """
    if not unit.modules:
        raise InterfaceError(f"{path} contains no module", expected="a Verilog module")
    if top is not None:
        if top not in unit.modules:
            raise unknown_name(top, unit.modules, kind=f"top module for {path}:")
        return top
    candidates = unit.candidates or unit.modules
    candidates = tuple(name for name in candidates if name in own) or candidates
    if len(candidates) == 1:
        return candidates[0]
    if path.stem in candidates:
        return path.stem
    raise InterfaceError(
        f"{path} has several modules that could be the multiplier",
        got=", ".join(candidates),
        expected="one module that no other one instantiates, or one called like the file",
        remedy=f'name it in {path.with_suffix(".toml").name}: top = "{candidates[0]}"',
    )


@lru_cache(maxsize=64)
def _parsed(front_end: Callable[[str], SourceUnit], text: str) -> SourceUnit:
    return front_end(text)
