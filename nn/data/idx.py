"""MNIST and its relatives: the IDX format of https://yann.lecun.com/exdb/mnist (section "file formats")."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.errors import DataError
from .files import first_folder, missing_data, read_bytes, search_folders
from .images import ImageData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_UNSIGNED_BYTE = 0x08
_FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Labels 0 to 9 of Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747, table 2)."""


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip or raw.

    The file starts with two zero bytes, the type's code (8 = unsigned byte) and the number of
    dimensions; then come the sizes as big-endian int32 and the data, last index fastest.

    Args:
        path: the file.
        dimensions: how many the array must have (3 for images, 1 for labels).

    Returns:
        uint8 array of the sizes that the file states.

    Raises:
        DataError: the file is missing, damaged, of another type, or shorter or longer than its
            header says.
    """
    content = read_bytes(path)
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if content[:4] != magic:
        raise DataError(
            f"{path} is not an IDX file of {'images' if dimensions == 3 else 'labels'}",
            got=f"magic number 0x{content[:4].hex() or ' (empty file)'}",
            expected=f"0x{magic.hex()}",
            remedy="check that images and labels were not swapped, or fetch the file again",
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise _wrong_length(path, len(content), f"a header of {header} bytes")
    sizes = struct.unpack(f">{dimensions}i", content[4:header])
    if min(sizes) < 0:
        raise _wrong_length(path, len(content), f"no negative size, but the header says {sizes}")
    expected = header + int(np.prod(sizes, dtype=np.int64))
    if len(content) != expected:
        shape = "x".join(str(size) for size in sizes)
        raise _wrong_length(path, len(content), f"{expected:,} for {shape} as the header says")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes)


def load_idx_set(
    name: str, root: Path | None, *, folders: Sequence[str], classes: tuple[str, ...], how: str
) -> ImageData:
    """Load a data set of four IDX files, as MNIST is published.

    Args:
        name: the data set's name.
        root: the user's folder, searched first, or None.
        folders: names that the data set's own folder may have.
        classes: the classes' names, by label.
        how: what to tell a user who has no such files.

    Raises:
        DataError: files are missing or damaged, or counts or labels do not agree.
    """
    looked = search_folders(root, folders)
    folder = first_folder(looked, lambda place: any(_present(place, stem) for stem in _FILES))
    if folder is None:
        raise missing_data(
            name, [f"{_names(stem)[0]} (or unpacked)" for stem in _FILES], looked, how
        )
    train = _read_pair(folder, "train", len(classes))
    test = _read_pair(folder, "t10k", len(classes))
    return ImageData(name, *train, *test, classes=classes, source=str(folder))


def _read_pair(folder: Path, prefix: str, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    image_file = _find(folder, f"{prefix}-images")
    label_file = _find(folder, f"{prefix}-labels")
    images = read_idx(image_file, dimensions=3)
    labels = read_idx(label_file, dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{label_file} does not belong to {image_file.name}",
            got=f"{len(labels)} labels",
            expected=f"{len(images)}, one for each image",
            remedy="fetch both files again",
        )
    bad = np.flatnonzero(labels >= classes)
    if bad.size:
        raise DataError(
            f"{label_file}: label out of range",
            got=f"{labels[bad[0]]} for image {bad[0]}",
            expected=f"0 to {classes - 1}",
            remedy="the file is damaged or belongs to another data set: fetch it again",
        )
    return torch.from_numpy(images.copy())[:, None], torch.from_numpy(labels.astype(np.int64))


def _names(stem: str) -> list[str]:
    kind = "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"
    # Some archives unpack to "train-images.idx3-ubyte".
    return [f"{stem}{dot}{kind}{suffix}" for suffix in (".gz", "") for dot in "-."]


def _present(folder: Path, stem: str) -> Path | None:
    return next((folder / name for name in _names(stem) if (folder / name).is_file()), None)


def _find(folder: Path, stem: str) -> Path:
    path = _present(folder, stem)
    if path is None:
        raise DataError(
            f"{folder} holds a part of the data set only",
            got=f"no {stem} file",
            expected=f"{_names(stem)[0]} or {_names(stem)[2]}",
            remedy="put all four files into this folder",
        )
    return path


def _wrong_length(path: Path, length: int, expected: str) -> DataError:
    return DataError(
        f"{path} has the wrong length",
        got=f"{length:,} bytes (unpacked)",
        expected=expected,
        remedy="the file is truncated or damaged: fetch it again",
    )
