"""Reading the pickles of the CIFAR archives without running anything that is in them.

A pickle is a program: `pickle.load` on a file from the net can run any code. Here every name that
it may ask for stands for an inert record of our own, so that loading builds dictionaries, lists,
byte strings and such records, and nothing else; arrays are made afterwards, with checks.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class _Inert:
    """Stands in for an object of numpy: keeps what it is given, does nothing."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _latin1(text: str, encoding: str) -> bytes:
    # Python 3 writes byte strings this way in the old protocols; no other codec is needed.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding!r} is not allowed")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Inert,
    ("numpy._core.multiarray", "_reconstruct"): _Inert,
    ("numpy", "ndarray"): _Inert,
    ("numpy", "dtype"): _Inert,
    ("_codecs", "encode"): _latin1,
}


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_pickled_dict(content: bytes, path: Path) -> dict[bytes, Any]:
    """Return the dictionary in a pickle of Python 2 or 3, keys as byte strings.

    Arrays in it are inert records: turn them into arrays with `as_bytes_array`.

    Args:
        content: the pickle.
        path: where it came from, for messages.

    Raises:
        DataError: it is damaged, holds no dictionary, or asks for anything but plain data.
    """
    try:
        loaded = _SafeUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(
            f"{path} is not a pickle of plain data",
            got=f"{len(content):,} bytes; {error or type(error).__name__}",
            expected="a dictionary of numbers, byte strings and numpy arrays",
            remedy="the file is damaged or not a CIFAR batch: fetch it again",
        ) from error
    if not isinstance(loaded, dict):
        raise DataError(
            f"{path} holds no dictionary", got=type(loaded).__name__, expected="a CIFAR batch"
        )
    return {key.encode() if isinstance(key, str) else key: item for key, item in loaded.items()}


def as_bytes_array(record: object, path: Path) -> NDArray[np.uint8]:
    """Turn an inert record into the uint8 array that it describes.

    Raises:
        DataError: it describes no array of unsigned bytes, or its length is not that of its shape.
    """
    try:
        _, shape, dtype, fortran, content = record.state  # type: ignore[attr-defined]
        sizes = tuple(int(side) for side in shape)
        kind = dtype.arguments[0]
        flat = np.frombuffer(content, dtype=np.uint8)
        if kind not in (b"u1", "u1") or min(sizes) < 0 or flat.size != np.prod(sizes):
            raise ValueError(f"type {kind!r}, shape {sizes}, {flat.size:,} bytes")
        return flat.reshape(sizes, order="F" if fortran else "C")
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} holds no array of bytes where the images should be",
            got=str(error),
            expected="a numpy array of type uint8",
            remedy="fetch the file again",
        ) from error
