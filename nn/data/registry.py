"""The data sets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import DataError
from ...core.names import pick
from .cifar import load_cifar10
from .digits import load_digits
from .folders import load_image_folder
from .idx import DIGIT_CLASSES, FASHION_CLASSES, load_idx_set
from .packed_jpegs import load_cifar10_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .images import ImageData


def _load_mnist(root: Path | None) -> ImageData:
    return load_idx_set(
        "mnist",
        root,
        folders=("mnist", "MNIST", "MNIST/raw"),
        classes=DIGIT_CLASSES,
        how="get the four files of MNIST and name their folder with --data-root",
    )


def _load_fashion_mnist(root: Path | None) -> ImageData:
    return load_idx_set(
        "fashion-mnist",
        root,
        folders=("fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
        classes=FASHION_CLASSES,
        how="on Debian: apt install dataset-fashion-mnist; else get the four files and name their folder with --data-root",
    )


def _load_digits(root: Path | None) -> ImageData:
    del root  # the images come with the package
    return load_digits()


DATASETS: dict[str, Callable[[Path | None], ImageData]] = {
    "cifar10": load_cifar10,
    "cifar10-jpeg": load_cifar10_jpeg,
    "digits": _load_digits,
    "fashion-mnist": _load_fashion_mnist,
    "image-folder": load_image_folder,
    "mnist": _load_mnist,
}
"""Loaders by name. A study's own data joins in with ``DATASETS["name"] = loader``."""


def load_data(name: str, root: Path | None = None) -> ImageData:
    """Load a data set from this machine; nothing is ever downloaded.

    Args:
        name: its name in the registry.
        root: the user's folder with the files, searched before Debian's ``/usr/share/datasets``.

    Raises:
        UnknownNameError: no data set has this name; lists the legal ones and suggests the nearest.
        DataError: the files are missing or damaged; names the file and says what to do.
        MissingToolError: a package that this data set needs is not installed.
    """
    loader = pick(DATASETS, name, kind="data set")
    if root is not None and not root.exists():
        raise DataError(
            f"data root {root} does not exist",
            expected="the folder that holds the data set's files",
            remedy="correct --data-root, or leave it out to search Debian's folder",
        )
    return loader(root)
