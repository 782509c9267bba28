"""Binary tables: tf-approximate's raw 16-bit words, and NumPy files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from .formats import Matrix

if TYPE_CHECKING:
    from pathlib import Path

_TF_SIDE = 256


def parse_words(data: bytes, path: Path) -> Matrix:
    """Read 65,536 little-endian unsigned 16-bit words, entry (row << 8) | column."""
    expected = 2 * _TF_SIDE * _TF_SIDE
    if len(data) != expected:
        raise ConfigError(
            f"{path} is not a table of 256 x 256 words of 16 bits",
            got=f"{len(data)} bytes",
            expected=f"{expected} bytes",
        )
    return Matrix(np.frombuffer(data, dtype="<u2").astype(np.int64).reshape(_TF_SIDE, _TF_SIDE))


def render_words(matrix: Matrix) -> bytes:
    """Write what `parse_words` reads."""
    return matrix.entries.astype("<u2").tobytes()


def parse_npy(data: bytes, path: Path) -> Matrix:
    """Read a two-dimensional integer array from a .npy file."""
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        # A damaged header fails in numpy in many ways: ValueError, TokenError, MemoryError, ...
        raise ConfigError(f"{path} is not a readable .npy file", got=error) from error
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ConfigError(
            f"{path} does not hold a table",
            got=f"{array.dtype} array of shape {array.shape}",
            expected="integers of shape [2^wa, 2^wb]",
        )
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ConfigError(f"{path} has entries that do not fit int64", got=array.max())
    return Matrix(array.astype(np.int64))


def parse_int32_npy(data: bytes, path: Path) -> Matrix:
    """Read a .npy file, which must be an int32 array of 256 x 256."""
    matrix = parse_npy(data, path)
    header = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if header.dtype != np.int32 or header.shape != (_TF_SIDE, _TF_SIDE):
        raise ConfigError(
            f"{path} is not a table that torchapprox takes",
            got=f"{header.dtype} array of shape {header.shape}",
            expected="an int32 array of shape (256, 256)",
            remedy="for other .npy files: --format npy",
        )
    return matrix


def render_npy(matrix: Matrix) -> bytes:
    """Write an int32 .npy file."""
    stream = io.BytesIO()
    np.save(stream, matrix.entries.astype("<i4"), allow_pickle=False)
    return stream.getvalue()
