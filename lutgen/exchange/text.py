"""Text tables: ApproxTorch's matrix, AppMult's triples, and CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...cosim.interface import MAX_TABLE_OPERAND_BITS
from .formats import Matrix

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

APPMULT_MARK = "LUT for approximate multiplier:"
APPMULT_NEXT = "LUT for the gradient"
CSV_HEADER = "a,b,product"


def parse_matrix(data: bytes, path: Path) -> Matrix:
    """Read a matrix of integers separated by blanks, a row per line."""
    return Matrix(_integers(data.decode(errors="replace"), path, None))


def render_matrix(matrix: Matrix) -> bytes:
    """Write what `parse_matrix` reads."""
    return "".join(" ".join(map(str, line)) + "\n" for line in matrix.entries.tolist()).encode()


def parse_appmult(data: bytes, path: Path) -> Matrix:
    """Read the lines ``a b product`` between AppMult's heading and its gradient tables."""
    text = data.decode(errors="replace")
    _, mark, rest = text.partition(APPMULT_MARK)
    if not mark:
        raise ConfigError(
            f"{path} is not a table of AppMult-Aware-Retraining",
            got=f"no line {APPMULT_MARK!r}",
            expected=f"{APPMULT_MARK!r}, then a line 'a b product' for each pair of operands",
        )
    return _from_triples(_integers(rest.partition(APPMULT_NEXT)[0], path, None), path)


def render_appmult(matrix: Matrix) -> bytes:
    """Write the product table as AppMult's simulator prints it; its gradients are made from that."""
    return f"{APPMULT_MARK}\n{_triples(matrix, ' ')}".encode()


def parse_csv(data: bytes, path: Path) -> Matrix:
    """Read ``a,b,product`` lines: operands and products as values, in any order of lines."""
    heading, _, rest = data.decode(errors="replace").lstrip("\ufeff").partition("\n")
    if heading.strip() != CSV_HEADER:
        raise ConfigError(
            f"{path} does not say what its columns are",
            got=f"first line {heading.strip()[:60]!r}",
            expected=f"first line {CSV_HEADER!r}, then values, one pair of operands a line",
        )
    return _from_triples(_integers(rest, path, ","), path)


def render_csv(matrix: Matrix) -> bytes:
    """Write what `parse_csv` reads, a by a, b by b, in order of value."""
    return f"{CSV_HEADER}\n{_triples(matrix, ',')}".encode()


def _integers(text: str, path: Path, delimiter: str | None) -> NDArray[np.int64]:
    if not text.strip():
        raise ConfigError(f"{path} holds no entries")
    try:
        numbers = np.loadtxt(
            io.StringIO(text), dtype=np.int64, delimiter=delimiter, ndmin=2, comments=None
        )
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{path} is not a text table", got=error, expected="integers, as many in every line"
        ) from error
    return np.asarray(numbers, dtype=np.int64)


def _from_triples(triples: NDArray[np.int64], path: Path) -> Matrix:
    """Sort (first operand, second operand, product) into a matrix in order of values."""
    if triples.shape[1] != 3:
        raise ConfigError(
            f"{path}: a line has {triples.shape[1]} numbers", expected="three: a, b and the product"
        )
    (rows, low), (columns, left) = (_axis(triples[:, index], "ab"[index], path) for index in (0, 1))
    if len(triples) != rows * columns:
        raise ConfigError(
            f"{path} does not have every pair of operands once",
            got=f"{len(triples)} lines for operands of {rows} and {columns} values",
            expected=f"{rows * columns} lines",
        )
    cells = (triples[:, 0] - low) * columns + (triples[:, 1] - left)
    seen = np.bincount(cells, minlength=rows * columns)
    if seen.max() > 1:
        first, second = divmod(int(seen.argmax()), columns)
        raise ConfigError(
            f"{path} has the pair {first + low}, {second + left} more than once",
            expected="every pair of operands once",
        )
    entries = np.empty(rows * columns, dtype=np.int64)
    entries[cells] = triples[:, 2]
    return Matrix(entries.reshape(rows, columns), (low < 0, left < 0))


def _axis(values: NDArray[np.int64], name: str, path: Path) -> tuple[int, int]:
    """Return how many values an operand takes, and the least."""
    low, high = int(values.min()), int(values.max())
    count = high - low + 1
    whole = 1 < count <= 1 << MAX_TABLE_OPERAND_BITS and count & (count - 1) == 0
    whole = whole and low in (0, -(count // 2))
    if not whole:
        raise ConfigError(
            f"{path}: operand {name} does not run over all values of a width",
            got=f"{low} to {high}",
            expected="0 to 2^w - 1, or -2^(w-1) to 2^(w-1) - 1, of at most 12 bits",
        )
    return count, low


def _triples(matrix: Matrix, separator: str) -> str:
    rows, columns = matrix.entries.shape
    signs = matrix.signs or (False, False)
    first, second = (
        range(-(side // 2), side // 2) if signed else range(side)
        for side, signed in zip((rows, columns), signs, strict=True)
    )
    lines = (
        f"{a}{separator}{b}{separator}{product}\n"
        for a, line in zip(first, matrix.entries.tolist(), strict=True)
        for b, product in zip(second, line, strict=True)
    )
    return "".join(lines)
