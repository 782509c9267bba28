"""Evaluates the constant expressions of port ranges and parameters in pyverilog's syntax tree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .declaration import CannotReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LITERAL = re.compile(r"(?:(\d+)?'([sS]?)([bodhBODH]))?([0-9a-fA-F]+)\Z")
_MAX_EXPONENT = 62
_RADIX = {"b": 2, "o": 8, "d": 10, "h": 16}

_BINARY: dict[str, Callable[[int, int], int]] = {
    "Plus": lambda x, y: x + y,
    "Minus": lambda x, y: x - y,
    "Times": lambda x, y: x * y,
    "Power": lambda x, y: x**y,
    "Sll": lambda x, y: x << y,
    "Srl": lambda x, y: x >> y,
    "LessThan": lambda x, y: int(x < y),
    "GreaterThan": lambda x, y: int(x > y),
    "LessEq": lambda x, y: int(x <= y),
    "GreaterEq": lambda x, y: int(x >= y),
    "Eq": lambda x, y: int(x == y),
    "NotEq": lambda x, y: int(x != y),
    "Land": lambda x, y: int(bool(x and y)),
    "Lor": lambda x, y: int(bool(x or y)),
}


def evaluate(node: Any, values: Mapping[str, int]) -> int:
    """Return the value of a constant expression.

    Only what cannot be misread is evaluated: unsized arithmetic on integers. Anything else
    (functions, negative shifts and divisions, part selects) is left to the other front end.

    Args:
        node: a pyverilog expression.
        values: parameters known so far, by name.

    Raises:
        CannotReadError: the expression is beyond this evaluator.
    """
    kind = type(node).__name__
    if kind == "Rvalue":
        return evaluate(node.var, values)
    if kind == "IntConst":
        return _literal(node.value)
    if kind == "Identifier" and node.scope is None and node.name in values:
        return values[node.name]
    if kind == "Uminus":
        return -evaluate(node.right, values)
    if kind == "Cond":
        branch = node.true_value if evaluate(node.cond, values) else node.false_value
        return evaluate(branch, values)
    if kind == "SystemCall" and node.syscall == "clog2":
        return max(evaluate(node.args[0], values) - 1, 0).bit_length()
    if kind in ("Divide", "Mod"):
        left, right = evaluate(node.left, values), evaluate(node.right, values)
        if left < 0 or right <= 0:
            raise CannotReadError(f"{kind} of {left} by {right}")
        return left // right if kind == "Divide" else left % right
    if kind in _BINARY:
        left, right = evaluate(node.left, values), evaluate(node.right, values)
        if not 0 <= right <= _MAX_EXPONENT and kind in ("Power", "Sll", "Srl"):
            raise CannotReadError(f"{kind} by {right}")
        result = _BINARY[kind](left, right)
        if not -(1 << 31) <= result < 1 << 31:
            raise CannotReadError(f"{kind} beyond 32 bits")
        return result
    raise CannotReadError(f"constant expression of kind {kind}")


def _literal(text: str) -> int:
    found = _LITERAL.match(text.replace("_", "").replace(" ", ""))
    if found is None:
        raise CannotReadError(f"literal {text}")
    size, sign, base, digits = found.groups()
    try:
        value = int(digits, _RADIX[base.lower()] if base else 10)
    except ValueError as error:
        raise CannotReadError(f"literal {text}") from error
    if value.bit_length() > int(size or 32) - bool(sign or not base):
        raise CannotReadError(f"literal {text}, which is cut or negative")
    return value
