"""Operand streams from files: NumPy arrays and CSV, one operand pair a row, in order of time."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ConfigError
from ...core.files import sha256_file
from .stimulus import recorded_stimulus

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..interface import Interface, Port
    from .stimulus import Stimulus

SUFFIXES = (".npy", ".npz", ".csv")
_EXPECTED = (
    "an .npy file with integers [N, 2], an .npz file with integers a [N] and b [N], or a .csv file "
    "with two columns a,b (a heading may name them in either order)"
)


def read_stream(path: Path, interface: Interface, *, values: bool = False) -> Stimulus:
    """Read a stream of operand pairs: a (activation) first, b (weight) second.

    Args:
        path: the file.
        interface: the design's interface.
        values: the numbers are values (negative for signed operands) rather than codes (bit
            patterns, 0 to 2^w - 1). For unsigned operands both are the same.

    Raises:
        ConfigError: the file cannot be read, has another shape, or numbers that are no codes, or
            no values, of the operands.
    """
    a, b = _columns(path)
    if values:
        a, b = _codes(a, interface.a, "a"), _codes(b, interface.b, "b")
    kind = "values" if values else "codes"
    description = f"operand pairs of {path.name} ({kind}), sha256 {sha256_file(path)}"
    return recorded_stimulus(interface, a, b, description=description)


def _columns(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        if path.suffix == ".npy":
            pairs = np.load(path, allow_pickle=False)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as content:
                return content["a"], content["b"]
        elif path.suffix == ".csv":
            pairs = _read_csv(path)
        else:
            raise ConfigError(f"{path} is no operand stream", expected=_EXPECTED)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"cannot read {path}", got=error, expected=_EXPECTED) from error
    if not isinstance(pairs, np.ndarray) or pairs.ndim != 2 or pairs.shape[1] != 2:
        shape = getattr(pairs, "shape", None)
        raise ConfigError(f"{path} is no operand stream", got=f"shape {shape}", expected=_EXPECTED)
    return pairs[:, 0], pairs[:, 1]


def _read_csv(path: Path) -> NDArray[np.int64]:
    with path.open(encoding="utf-8") as stream:
        heading = [cell.strip().lower() for cell in stream.readline().split(",")]
    named = sorted(heading) == ["a", "b"]
    pairs = np.loadtxt(path, delimiter=",", dtype=np.int64, skiprows=int(named), ndmin=2)
    return pairs[:, ::-1] if heading == ["b", "a"] else pairs


def _codes(values: NDArray[Any], port: Port, role: str) -> NDArray[Any]:
    """Turn values of an operand into its codes."""
    low = -(1 << (port.width - 1)) if port.signed else 0
    high = low + (1 << port.width) - 1
    if not np.issubdtype(values.dtype, np.integer):
        return values
    if values.size and (int(values.min()) < low or int(values.max()) > high):
        raise ConfigError(
            f"operand stream {role} has numbers that are no values of the operand",
            got=f"{values.min()} to {values.max()}",
            expected=f"{low} to {high}",
        )
    return values.astype(np.int64) & ((1 << port.width) - 1)
