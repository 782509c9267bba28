"""Maps over pairs of operands as PNG images inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ....lutgen.catalogue.heatmap import MAX_SIDE, strongest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import OperandPicture

_ZERO = (247, 247, 247)
_BELOW = ((158, 202, 233), (59, 130, 196), (8, 48, 107))
_ABOVE = ((253, 191, 120), (217, 103, 11), (107, 42, 4))
"""As in the catalogue: blue too small, orange too large, white exact."""
_LEAST_TINT = 0.14


def error_image(picture: OperandPicture) -> str:
    """Return the error of every operand pair; the colour goes with the root of its magnitude."""
    cells = strongest(picture.error, *_tile(picture.error)).astype(np.float64)
    return data_uri(_signed(np.sign(cells) * np.sqrt(np.abs(cells))))


def count_image(picture: OperandPicture) -> str:
    """Return how often each pair was multiplied, on a logarithmic scale; white is never."""
    cells = _sums(picture.counts)
    return data_uri(_signed(np.log1p(cells), _BELOW))


def weighted_image(picture: OperandPicture) -> str:
    """Return the error of every pair times its share of the products.

    The cells add up to the mean error of the recorded products. The colour goes with the fourth
    root of the magnitude, because shares span many powers of ten.
    """
    cells = _sums(picture.error * picture.counts)
    return data_uri(_signed(np.sign(cells) * np.abs(cells) ** 0.25))


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image as a ``data:`` URL.

    Args:
        pixels: RGB, uint8 [rows, columns, 3]; the first row is drawn at the top.
    """
    rows, columns, _ = pixels.shape
    lines = np.zeros((rows, 1 + 3 * columns), dtype=np.uint8)  # each begins with filter 0: none
    lines[:, 1:] = pixels.reshape(rows, -1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    image = b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    # PNG specification, section 5.3: length, type, data, CRC of type and data.
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _tile(cells: NDArray[np.int64]) -> tuple[int, int]:
    return max(1, cells.shape[0] // MAX_SIDE), max(1, cells.shape[1] // MAX_SIDE)


def _sums(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    tall, wide = _tile(cells)
    rows, columns = cells.shape
    tiles = cells.reshape(rows // tall, tall, columns // wide, wide)
    sums: NDArray[np.float64] = tiles.sum(axis=(1, 3)).astype(np.float64)
    return sums


def _signed(
    cells: NDArray[np.float64], above: tuple[tuple[int, int, int], ...] = _ABOVE
) -> NDArray[np.uint8]:
    """Colour cells, a upwards and b to the right; the scale ends at the greatest magnitude."""
    greatest = float(np.abs(cells).max()) or 1.0
    share = np.abs(cells) / greatest
    tint = np.where(cells == 0, 0.0, _LEAST_TINT + (1 - _LEAST_TINT) * share)
    pixels = np.empty((*cells.shape, 3), dtype=np.uint8)
    for part in range(3):
        stops = np.linspace(0.0, 1.0, 4)
        low, high = ([_ZERO[part], *(c[part] for c in ramp)] for ramp in (_BELOW, above))
        coloured = np.where(cells < 0, np.interp(tint, stops, low), np.interp(tint, stops, high))
        pixels[..., part] = np.rint(coloured)
    return pixels[::-1]
