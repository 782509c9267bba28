"""C headers with a table as an initialized array, as AdaPT and TransAxx compile them in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from .formats import INT16, INT32, Matrix
from .source_text import without_comments, without_directives

if TYPE_CHECKING:
    from pathlib import Path

ARRAY = "lut"
"""The name that the projects' kernels read."""

_DECLARATION = re.compile(
    r"(?P<type>(?:[A-Za-z_]\w*\s+)+)(?P<name>[A-Za-z_]\w*)\s*"
    r"\[\s*(?P<rows>\d+)\s*\]\s*\[\s*(?P<columns>\d+)\s*\]\s*=\s*\{(?P<body>.*?)\}\s*;",
    re.DOTALL,
)
_QUALIFIERS = {"const", "static", "constexpr", "__device__", "__constant__", "extern"}
_TYPES = {
    "int8_t": (-128, 127),
    "int16_t": INT16,
    "short": INT16,
    "short int": INT16,
    "uint16_t": (0, (1 << 16) - 1),
    "unsigned short": (0, (1 << 16) - 1),
    "int32_t": INT32,
    "int": INT32,
}


def parse_header(data: bytes, path: Path) -> Matrix:
    """Read ``<integer type> lut[rows][columns] = {{...}, ...};``."""
    text = without_directives(without_comments(data.decode(errors="replace")))
    found = {match["name"]: match for match in _DECLARATION.finditer(text)}
    if ARRAY not in found:
        raise ConfigError(
            f"{path} has no initialized array {ARRAY}[rows][columns]",
            got=f"arrays {', '.join(sorted(found))}" if found else "no two-dimensional array",
            expected=f"const int16_t {ARRAY}[256][256] = {{{{...}}, ...}};",
        )
    match = found[ARRAY]
    rows, columns = int(match["rows"]), int(match["columns"])
    lines = [line.strip() for line in re.findall(r"\{([^{}]*)\}", match["body"])]
    entries = [_numbers(line, path) for line in lines]
    if len(entries) != rows or any(len(line) != columns for line in entries):
        raise ConfigError(
            f"{path}: array {ARRAY} does not have the shape that it declares",
            got=f"{len(entries)} rows of {_range([len(line) for line in entries])} entries",
            expected=f"{rows} rows of {columns} entries",
        )
    array = np.array(entries, dtype=np.int64)
    _check_type(array, match["type"], path)
    return Matrix(array)


def _numbers(line: str, path: Path) -> list[int]:
    try:
        # A trailing comma is legal in an initializer.
        return [int(part, 0) for part in line.rstrip(", \t\r\n").split(",")]
    except ValueError as error:
        raise ConfigError(
            f"{path}: array {ARRAY} has an entry that is not an integer constant", got=error
        ) from error


def _range(lengths: list[int]) -> str:
    if not lengths:
        return "0"
    low, high = min(lengths), max(lengths)
    return str(low) if low == high else f"{low} to {high}"


def _check_type(
    array: np.ndarray[tuple[int, ...], np.dtype[np.int64]], text: str, path: Path
) -> None:
    # The compiler would wrap what does not fit: then the file does not say what it seems to say.
    words = [word for word in text.split() if word not in _QUALIFIERS]
    limits = _TYPES.get(" ".join(words))
    if limits is None:
        raise ConfigError(
            f"{path}: array {ARRAY} has entries of type {' '.join(words)!r}",
            expected=f"one of {', '.join(_TYPES)}",
        )
    if array.min() < limits[0] or array.max() > limits[1]:
        raise ConfigError(
            f"{path}: array {ARRAY} has entries that do not fit its type {' '.join(words)}",
            got=f"{array.min()} to {array.max()}",
            expected=f"{limits[0]} to {limits[1]}",
        )


def render_adapt(matrix: Matrix) -> bytes:
    """Write a header for AdaPT: int16_t where every entry fits, else int32_t."""
    kind = "int16_t" if _fits_int16(matrix) else "int32_t"
    return f"#include <stdint.h>\n\nconst {kind} {_definition(matrix)}".encode()


def render_transaxx(matrix: Matrix) -> bytes:
    """Write a header for TransAxx: the same, in the memory of the GPU."""
    kind = "short" if _fits_int16(matrix) else "int"
    return f"#pragma once\n\nconst __device__ {kind} {_definition(matrix)}".encode()


def _fits_int16(matrix: Matrix) -> bool:
    return INT16[0] <= int(matrix.entries.min()) and int(matrix.entries.max()) <= INT16[1]


def _definition(matrix: Matrix) -> str:
    rows, columns = matrix.entries.shape
    lines = (f"{{{', '.join(map(str, line))}}}" for line in matrix.entries.tolist())
    return f"{ARRAY}[{rows}][{columns}] = {{\n" + ",\n".join(lines) + "};\n"
