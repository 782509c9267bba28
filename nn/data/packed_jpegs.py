"""Images as JPEG files packed end to end in two NumPy archives. Needs Pillow.

``<name>_train.npz`` and ``<name>_test.npz`` each hold ``blob`` (uint8, the files end to end),
``offsets`` (file i is ``blob[offsets[i] : offsets[i + 1]]``), ``labels`` and ``classes``. JPEG
loses a little: accuracies do not compare with those of the images before packing, and so the
set has a name of its own.
"""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import DataError
from .files import first_folder, missing_data, search_folders
from .folders import pillow
from .images import ImageData

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_FIELDS = ("blob", "offsets", "labels", "classes")
_STEM = "cifar10_jpegbytes"


def load_cifar10_jpeg(root: Path | None) -> ImageData:
    """Load CIFAR-10 as re-encoded JPEG images, ``cifar10_jpegbytes_{train,test}.npz``.

    Args:
        root: the folder that holds the two files; None searches Debian's folder only.

    Raises:
        DataError: a file is missing, damaged or holds something else; names the file, and the
            image where it is one.
        MissingToolError: Pillow is not installed.
    """
    names = tuple(f"{_STEM}_{split}.npz" for split in ("train", "test"))
    looked = search_folders(root, ["cifar10-jpeg"])
    folder = first_folder(looked, lambda place: any((place / name).is_file() for name in names))
    if folder is None:
        how = "name the folder that holds both with --data-root"
        raise missing_data("cifar10-jpeg", names, looked, how)
    train, train_classes = _read_split(folder / names[0])
    test, test_classes = _read_split(folder / names[1])
    if train_classes != test_classes:
        raise DataError(
            f"{folder / names[1]} is of another data set than {names[0]}",
            got=f"classes {', '.join(test_classes)}",
            expected=", ".join(train_classes),
        )
    return ImageData(
        "cifar10-jpeg",
        *train,
        *test,
        classes=train_classes,
        source=str(folder),
        augment="crop-flip",
    )


def _read_split(path: Path) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[str, ...]]:
    arrays = _read_archive(path)
    offsets, labels = arrays["offsets"], arrays["labels"]
    blob = arrays["blob"]
    if len(offsets) != len(labels) + 1 or offsets[-1] != len(blob) or np.any(np.diff(offsets) <= 0):
        raise DataError(
            f"{path}: offsets do not divide the packed files",
            got=f"{len(offsets)} offsets for {len(labels)} labels and {len(blob):,} bytes",
            expected="one more offset than labels, rising from 0 to the number of bytes",
            remedy="the file is truncated or of another format: fetch it again",
        )
    pixels = [
        _decode(blob[start:stop], path, index)
        for index, (start, stop) in enumerate(pairwise(offsets))
    ]
    shapes = sorted({image.shape for image in pixels})
    if len(shapes) != 1:
        raise DataError(
            f"{path}: images differ in size", got=f"{shapes[0]} and {shapes[1]}", expected="one"
        )
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)))
    classes = tuple(str(name) for name in arrays["classes"])
    return (stacked, torch.from_numpy(labels.astype(np.int64))), classes


def _read_archive(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, since np.load leaves its own file open when this is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = list(archive)
            arrays = {name: archive[name] for name in _FIELDS if name in found}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}",
            got=str(error),
            expected="a NumPy archive (.npz)",
            remedy="put the file there, or fetch it again",
        ) from error
    if len(arrays) < len(_FIELDS) or not len(arrays["labels"]):
        raise DataError(
            f"{path} holds no packed images",
            got=", ".join(found) or "an empty archive",
            expected=", ".join(_FIELDS),
        )
    return arrays


def _decode(content: NDArray[np.uint8], path: Path, index: int) -> NDArray[np.uint8]:
    image_module = pillow("packed JPEG images")
    try:
        with image_module.open(io.BytesIO(content.tobytes())) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: image {index} is damaged",
            got=str(error),
            expected="a JPEG file",
            remedy="fetch the file again",
        ) from error
