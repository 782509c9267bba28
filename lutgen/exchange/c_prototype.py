"""Finds functions in C source, and which of their parameters is operand a and which is b."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.names import unknown_name
from ...cosim.reading.binding import OPERAND_NAMES
from .operands import Order
from .source_text import without_comments, without_directives

if TYPE_CHECKING:
    from pathlib import Path

_DEFINITION = re.compile(
    r"(?P<result>[A-Za-z_][\w\s]*?)\s+(?P<name>[A-Za-z_]\w*)\s*\((?P<parameters>[^(){};]*)\)\s*\{"
)
_PARAMETER = re.compile(r"(?P<type>[A-Za-z_][\w\s]*?)\s+(?P<name>[A-Za-z_]\w*)")
_NOT_TYPES = {"return", "else", "do", "case", "goto"}
_NOT_FUNCTIONS = {"if", "for", "while", "switch"}
_SCHEME = re.compile(r"mul(\d+)(?:x(\d+))?([su])(?:_|\Z)", re.IGNORECASE)
_SPECIFIERS = {"static", "inline", "extern", "__inline", "__inline__", "register", "const"}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of two integers.

    Attributes:
        name: its name.
        result: type of its result, without specifiers.
        parameters: type and name of its parameters, in order.
    """

    name: str
    result: str
    parameters: tuple[tuple[str, str], tuple[str, str]]


def find_function(text: str, name: str, path: Path) -> Function:
    """Return the function of that name, as defined in C source.

    Raises:
        UnknownNameError: it is not defined there; the message lists the functions that are.
        ConfigError: it does not take two plain integers.
    """
    found = {match["name"]: match for match in _definitions(text)}
    if name not in found:
        raise unknown_name(name, found, kind=f"function of {path}:")
    match = found[name]
    listed = match["parameters"].strip()
    parts = [part.strip() for part in listed.split(",")] if listed not in ("", "void") else []
    parameters = [_PARAMETER.fullmatch(part) for part in parts]
    if len(parameters) != 2 or None in parameters:
        raise ConfigError(
            f"{path}: function {name!r} does not take two operands",
            got=f"{name}({listed})",
            expected="two parameters that are plain integers, such as (uint8_t A, uint8_t B)",
        )
    first, second = ((_plain(p["type"]), p["name"]) for p in parameters if p is not None)
    return Function(name, _plain(match["result"]), (first, second))


def _definitions(text: str) -> list[re.Match[str]]:
    source = without_directives(without_comments(text))
    return [
        match
        for match in _DEFINITION.finditer(source)
        if match["name"] not in _NOT_FUNCTIONS and not _NOT_TYPES & set(match["result"].split())
    ]


def _plain(words: str) -> str:
    return " ".join(word for word in words.split() if word not in _SPECIFIERS)


def bind_order(function: Function, said: Order | None, path: Path) -> Order:
    """Tell which operand a function's first parameter is: as was said, or by their names.

    Never by position: EvoApproxLib has both (A, B) and (B, A).

    Raises:
        ConfigError: nothing was said, and the names tell nothing.
    """
    if said is not None:
        return said
    first, second = (name.lower() for _, name in function.parameters)
    if (first, second) in OPERAND_NAMES:
        return Order.AB
    if (second, first) in OPERAND_NAMES:
        return Order.BA
    raise ConfigError(
        f"{path}: the parameters of {function.name!r} do not tell which is which operand",
        got=", ".join(name for _, name in function.parameters),
        expected="a pair such as A, B (A is the activation)",
        remedy="--order ab if the first is the activation (a), --order ba if it is the weight (b)",
    )


def scheme(name: str) -> tuple[int, int, bool] | None:
    """Read bits of a, bits of b and signedness from a name such as mul8u_1JFF or mul8x4u_1AV."""
    found = _SCHEME.match(name)
    if found is None:
        return None
    return int(found[1]), int(found[2] or found[1]), found[3].lower() == "s"
