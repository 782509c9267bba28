"""Boolean functions as Liberty files write them: parsed once, evaluated on 64 vectors a word.

The operators, from the tightest to the loosest, are inversion (``!x`` before, ``x'`` after its
operand), XOR (``^``), AND (``*``, ``&`` or juxtaposition) and OR (``+`` or ``|``), each
associating to the left (Liberty Reference Manual, "function" attribute of a pin). XOR binds
tighter than AND, unlike in C and Verilog.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

Operator = Literal["&", "|", "^"]

_WORD = re.compile(r"[A-Za-z_][\w.\[\]]*")
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
# What follows 0 or 1 must not continue a word: a pin may be called 1A only within quotes.
_TOKEN = re.compile(
    r"\s*(?:(?P<pin>[A-Za-z_][\w.\[\]]*)|\\?\"(?P<quoted>[^\"\\]+)\\?\""
    r"|(?P<constant>[01])(?!\w)|(?P<sign>[!'^*&+|()]))"
)


@dataclass(frozen=True, slots=True)
class Const:
    """0 or 1."""

    value: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """The value of a pin."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """The inverse of a function."""

    operand: Function


@dataclass(frozen=True, slots=True)
class Binary:
    """Two functions joined by AND (``&``), OR (``|``) or XOR (``^``)."""

    operator: Operator
    left: Function
    right: Function


Function = Const | Pin | Not | Binary


def parse_function(text: str) -> Function:
    """Parse a Liberty boolean function.

    Args:
        text: the value of a ``function`` or ``when`` attribute, without its quotes.

    Raises:
        ConfigError: the text is no such function; names the place.
    """
    parser = _Parser(text, _tokens(text))
    tree = parser.disjunction()
    if parser.position != len(parser.tokens):
        raise _unreadable(text, f"{parser.tokens[parser.position]!r} is out of place")
    return tree


def format_function(function: Function) -> str:
    """Render a function so that :func:`parse_function` gives it back."""
    match function:
        case Const(value):
            return "1" if value else "0"
        case Pin(name):
            return name if _WORD.fullmatch(name) else f'"{name}"'
        case Not(operand):
            return f"!{format_function(operand)}"
        case Binary(operator, left, right):
            return f"({format_function(left)}{operator}{format_function(right)})"


def pins_of(function: Function) -> frozenset[str]:
    """Return the names of the pins that a function reads."""
    match function:
        case Pin(name):
            return frozenset({name})
        case Not(operand):
            return pins_of(operand)
        case Binary(_, left, right):
            return pins_of(left) | pins_of(right)
        case _:
            return frozenset()


def substitute(function: Function, name: str, replacement: Function) -> Function:
    """Return a function in which a pin is replaced by another function."""
    match function:
        case Pin(found):
            return replacement if found == name else function
        case Not(operand):
            return Not(substitute(operand, name, replacement))
        case Binary(operator, left, right):
            return Binary(
                operator,
                substitute(left, name, replacement),
                substitute(right, name, replacement),
            )
        case _:
            return function


def evaluate(function: Function, values: Mapping[str, Words]) -> Words:
    """Evaluate a function on many vectors at once.

    Args:
        function: the function.
        values: pin -> uint64 [W]; bit k of word w is the pin's value in vector 64 w + k. At least
            one pin; all arrays of one shape.

    Returns:
        uint64 of the pins' shape, a new array or one of the inputs'; do not write to it.
    """
    match function:
        case Pin(name):
            return values[name]
        case Not(operand):
            return ~evaluate(operand, values)
        case Binary("&", left, right):
            return evaluate(left, values) & evaluate(right, values)
        case Binary("|", left, right):
            return evaluate(left, values) | evaluate(right, values)
        case Binary("^", left, right):
            return evaluate(left, values) ^ evaluate(right, values)
        case Const(value):
            like = next(iter(values.values()))
            return np.full_like(like, _ALL if value else 0)
        case _:  # the type checker does not see that the operators above are all there are
            raise AssertionError(function)


@cache
def compiled(function: Function, pins: tuple[str, ...]) -> Callable[..., Words]:
    """Return a Python function that does what :func:`evaluate` does, in a fraction of its time.

    Args:
        function: the function.
        pins: at least one, all of those that the function reads.

    Returns:
        A function of as many arrays as there are pins, in their order.
    """
    names = {pin: f"p{k}" for k, pin in enumerate(pins)}
    text = f"lambda {', '.join(names.values())}: {_expression(function, names)}"
    # The text is made from operators and the names p0, p1, ... alone, whatever the pins are called.
    result: Callable[..., Words] = eval(text, {"__builtins__": {}})
    return result


def _expression(function: Function, names: Mapping[str, str]) -> str:
    match function:
        case Pin(name):
            return names[name]
        case Not(operand):
            return f"(~{_expression(operand, names)})"
        case Binary(operator, left, right):
            return f"({_expression(left, names)} {operator} {_expression(right, names)})"
        case Const(value):
            return "(~(p0 ^ p0))" if value else "(p0 ^ p0)"


def truth_table(function: Function, pins: tuple[str, ...]) -> tuple[bool, ...]:
    """Return a function's value for each of the 2^n assignments to ``pins``.

    Entry i belongs to the assignment in which bit k of i is the value of ``pins[k]``. ``pins``
    must hold every pin of the function.
    """
    count = 1 << len(pins)
    columns = {
        pin: np.array([_ALL if (i >> k) & 1 else 0 for i in range(count)], dtype=np.uint64)
        for k, pin in enumerate(pins)
    }
    # A constant function needs an array to take its shape from.
    columns.setdefault("", np.zeros(count, dtype=np.uint64))
    return tuple(bool(word) for word in evaluate(function, columns))


def _tokens(text: str) -> list[str]:
    """Split into tokens; a pin's is its name after ``$``, which no operator starts with."""
    tokens, position, stripped = [], 0, text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if found is None:
            raise _unreadable(text, f"{stripped[position:].strip()[:12]!r} at column {position}")
        name = found["pin"] or found["quoted"]
        tokens.append(f"${name}" if name else found["constant"] or found["sign"])
        position = found.end()
    return tokens


@dataclass(slots=True)
class _Parser:
    text: str
    tokens: list[str]
    position: int = 0

    def disjunction(self) -> Function:
        return self._chain("|", self.conjunction, lambda token: token in ("|", "+"))

    def conjunction(self) -> Function:
        return self._chain("&", self.parity, lambda token: token in ("&", "*"), implied=True)

    def parity(self) -> Function:
        return self._chain("^", self.inversion, lambda token: token == "^")

    def _chain(
        self,
        operator: Operator,
        operand: Callable[[], Function],
        joins: Callable[[str], bool],
        *,
        implied: bool = False,
    ) -> Function:
        left = operand()
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if joins(token):
                self.position += 1
            elif not (implied and (token[0] in "$!(01")):
                break
            left = Binary(operator, left, operand())
        return left

    def inversion(self) -> Function:
        if self.position == len(self.tokens):
            raise _unreadable(self.text, "an operand is missing at the end")
        token = self.tokens[self.position]
        self.position += 1
        if token == "!":
            return Not(self.inversion())
        operand = self._operand(token)
        while self.position < len(self.tokens) and self.tokens[self.position] == "'":
            self.position += 1
            operand = Not(operand)
        return operand

    def _operand(self, token: str) -> Function:
        if token.startswith("$"):
            return Pin(token[1:])
        if token in ("0", "1"):
            return Const(token == "1")
        if token != "(":
            raise _unreadable(self.text, f"{token!r} where an operand is due")
        inner = self.disjunction()
        if self.position == len(self.tokens) or self.tokens[self.position] != ")":
            raise _unreadable(self.text, "a closing parenthesis is missing")
        self.position += 1
        return inner


def _unreadable(text: str, reason: str) -> ConfigError:
    return ConfigError(
        f"cannot read the Liberty function {text!r}",
        got=reason,
        expected="pins, 0, 1, parentheses and the operators ! ' ^ * & + |",
    )
