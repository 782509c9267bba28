"""CIFAR-10 as published: https://www.cs.toronto.edu/~kriz/cifar.html, both versions, packed or not.

Binary version: 6 files of 10,000 records, each one label byte and 3,072 pixel bytes (1,024 red,
green, blue; row by row). Python version: the same as pickled dictionaries with ``b"data"``
(uint8 [10000, 3072]) and ``b"labels"``.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.errors import DataError
from .files import missing_data, read_bytes, search_folders
from .images import ImageData
from .pickles import as_bytes_array, load_pickled_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_PIXELS = 3 * 32 * 32
_PUBLISHED_BATCH = 10_000
_TRAIN = tuple(f"data_batch_{index}" for index in range(1, 6))

_Batch = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]


@dataclass(frozen=True, slots=True)
class _Version:
    folder: str
    archive: str
    suffix: str
    parse: Callable[[bytes, Path], _Batch]

    @property
    def files(self) -> tuple[str, ...]:
        return (*(name + self.suffix for name in _TRAIN), "test_batch" + self.suffix)


def load_cifar10(root: Path | None, *, batch_images: int = _PUBLISHED_BATCH) -> ImageData:
    """Load CIFAR-10 from its unpacked folder or its tar.gz, binary or Python version.

    Args:
        root: the folder that holds ``cifar-10-batches-bin``, ``cifar-10-batches-py`` or one of
            the archives, or is one of these itself; None searches Debian's folder only.
        batch_images: images that each of the six files must hold; 10,000 as published.

    Raises:
        DataError: nothing was found, or a file is missing, truncated, damaged or of another
            format.
    """
    looked = search_folders(root, ["cifar10", "cifar-10"])
    for place in looked:
        for version in _VERSIONS:
            source = _source(place, version)
            if source is not None:
                contents = _unpack(source, version) if source.is_file() else _read(source, version)
                return _assemble(contents, source, version, batch_images)
    expected = [name for version in _VERSIONS for name in (version.archive, version.folder + "/")]
    how = "get one of them from https://www.cs.toronto.edu/~kriz/cifar.html and name its folder with --data-root"
    raise missing_data("cifar10", expected, looked, how)


def _source(place: Path, version: _Version) -> Path | None:
    candidates = [place / version.folder, place, place / version.archive]
    for folder in candidates[:2]:
        if folder.is_dir() and any((folder / name).is_file() for name in version.files):
            return folder
    if place.is_file() and place.name == version.archive:
        return place
    return candidates[2] if candidates[2].is_file() else None


def _read(folder: Path, version: _Version) -> dict[str, bytes]:
    return {name: read_bytes(folder / name) for name in version.files}


def _unpack(archive: Path, version: _Version) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                stream = tar.extractfile(member) if name in version.files else None
                if stream is not None:
                    contents[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive} is a damaged archive",
            got=f"{archive.stat().st_size:,} bytes; {error}",
            expected="a whole tar.gz file",
            remedy="fetch the archive again",
        ) from error
    absent = [name for name in version.files if name not in contents]
    if absent:
        raise DataError(
            f"{archive} is not the published archive",
            got=f"no {', '.join(absent)} in it",
            expected=", ".join(version.files),
            remedy="fetch the archive again",
        )
    return contents


def _assemble(
    contents: dict[str, bytes], source: Path, version: _Version, batch_images: int
) -> ImageData:
    batches = []
    for name in version.files:
        images, labels = version.parse(contents[name], source / name)
        _check_batch(source / name, images, labels, batch_images)
        batches.append((images, labels))
    return ImageData(
        "cifar10",
        *_stack(batches[:-1]),
        *_stack(batches[-1:]),
        classes=CIFAR10_CLASSES,
        source=str(source),
        augment="crop-flip",
    )


def _check_batch(
    path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], batch_images: int
) -> None:
    if images.shape != (batch_images, _PIXELS) or len(labels) != batch_images:
        raise DataError(
            f"{path} does not hold what CIFAR-10 publishes",
            got=f"pixels of shape {images.shape} and {len(labels)} labels",
            expected=f"pixels of shape ({batch_images}, {_PIXELS}) and {batch_images} labels",
            remedy="the file is truncated or damaged: fetch it again",
        )
    bad = np.flatnonzero((labels < 0) | (labels >= len(CIFAR10_CLASSES)))
    if bad.size:
        raise DataError(
            f"{path}: label out of range",
            got=f"{labels[bad[0]]} for image {bad[0]}",
            expected=f"0 to {len(CIFAR10_CLASSES) - 1}",
            remedy="the file is damaged or of another data set (CIFAR-100?): fetch it again",
        )


def _parse_binary(content: bytes, path: Path) -> _Batch:
    record = 1 + _PIXELS
    if not content or len(content) % record:
        raise DataError(
            f"{path} has the wrong length",
            got=f"{len(content):,} bytes",
            expected=f"a whole number of records of {record:,} bytes",
            remedy="the file is truncated or not a CIFAR-10 batch: fetch it again",
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _parse_python(content: bytes, path: Path) -> _Batch:
    batch = load_pickled_dict(content, path)
    absent = [key.decode() for key in (b"data", b"labels") if key not in batch]
    if absent:
        raise DataError(
            f"{path} is not a CIFAR-10 batch",
            got=f"a dictionary without {' and '.join(absent)}",
            expected="data and labels",
            remedy="fetch the file again (CIFAR-100 is another data set)",
        )
    try:
        labels = np.asarray(batch[b"labels"], dtype=np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: labels are not numbers", got=str(error), expected="a list of 0 to 9"
        ) from error
    return as_bytes_array(batch[b"data"], path), labels


def _stack(batches: Sequence[_Batch]) -> tuple[torch.Tensor, torch.Tensor]:
    images = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([numbers for _, numbers in batches])
    return torch.from_numpy(images), torch.from_numpy(labels)


_VERSIONS = (
    _Version("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin", _parse_binary),
    _Version("cifar-10-batches-py", "cifar-10-python.tar.gz", "", _parse_python),
)
