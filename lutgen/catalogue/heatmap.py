"""The error over (a, b) as a picture of at most 256 by 256 cells, packed for the page."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..table import ProductTable

MAX_SIDE = 256
_LIMIT = int(np.iinfo(np.int16).max)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A table's error in the order of the operands' values.

    Attributes:
        cells: int16 [rows, columns]; row 0 belongs to the least value of a, column 0 to the least
            of b. A cell stands for ``codes_a`` by ``codes_b`` neighbouring operand values and
            holds, of their errors, the one of the greatest magnitude (the positive one of two
            equal ones), divided by ``quantum`` and rounded away from 0.
        codes_a: operand values per row.
        codes_b: operand values per column.
        quantum: LSB per unit of a cell; 1 where all errors fit 16 bits, and then cells are exact.
        low: least error of the table, LSB.
        high: greatest error of the table, LSB.
    """

    cells: NDArray[np.int16]
    codes_a: int
    codes_b: int
    quantum: int
    low: int
    high: int


def heat_map(table: ProductTable) -> HeatMap:
    """Draw a table's error; see `HeatMap` for what a cell says."""
    return error_map(table.error[np.argsort(table.values_a)][:, np.argsort(table.values_b)])


def error_map(error: NDArray[np.int64]) -> HeatMap:
    """Draw errors, [2^wa, 2^wb], whose rows and columns are in the order of the operands' values."""
    codes_a, codes_b = (max(1, side // MAX_SIDE) for side in error.shape)
    extremes = strongest(error, codes_a, codes_b)
    greatest = int(np.abs(extremes).max())
    quantum = max(1, -(-greatest // _LIMIT))
    magnitude = -(-np.abs(extremes) // quantum)
    return HeatMap(
        cells=(np.sign(extremes) * magnitude).astype(np.int16),
        codes_a=codes_a,
        codes_b=codes_b,
        quantum=quantum,
        low=int(error.min()),
        high=int(error.max()),
    )


def strongest(error: NDArray[np.int64], tall: int, wide: int) -> NDArray[np.int64]:
    """Return, of each ``tall`` by ``wide`` tile of errors, the one of the greatest magnitude.

    Of a positive and a negative error of equal magnitude, the positive one.
    """
    rows, columns = error.shape
    tiles = error.reshape(rows // tall, tall, columns // wide, wide)
    high = tiles.max(axis=(1, 3))
    low = tiles.min(axis=(1, 3))
    strong: NDArray[np.int64] = np.where(high >= -low, high, low)
    return strong


def packed(picture: HeatMap) -> dict[str, Any]:
    """Return a heat map as JSON data; ``data`` is base64 of zlib of little-endian int16 rows."""
    raw = picture.cells.astype("<i2").tobytes()
    return {
        "shape": list(picture.cells.shape),
        "codes": [picture.codes_a, picture.codes_b],
        "quantum": picture.quantum,
        "range": [picture.low, picture.high],
        "data": base64.b64encode(zlib.compress(raw, 9)).decode("ascii"),
    }
