"""Image folders: ``root/train/<class>/*.png`` and ``root/test/<class>/*.png``. Needs Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import DataError, MissingToolError
from .images import ImageData

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff")
# Pillow's mode -> the mode that it is read in; others (alpha, 16 bits, CMYK) would lose something.
_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}


def load_image_folder(root: Path | None) -> ImageData:
    """Load images sorted into folders by class.

    The classes are the sorted names of the folders in ``root/train``. All images have one size
    and are either all grey or all in colour.

    Args:
        root: the folder that holds ``train`` and ``test``.

    Raises:
        DataError: a folder or class is missing or empty, a file is no image or a damaged one,
            or images differ in size or colour.
        MissingToolError: Pillow is not installed.
    """
    if root is None:
        raise DataError(
            "no image folder was given",
            expected="a folder with train/<class>/ and test/<class>/",
            remedy="name it with --data-root",
        )
    classes = _class_names(root / "train")
    unknown = sorted(set(_class_names(root / "test")) - set(classes))
    if unknown:
        raise DataError(
            f"{root / 'test'} has classes that {root / 'train'} has not",
            got=", ".join(unknown),
            expected=f"only {', '.join(classes)}",
            remedy="name the folders alike in both",
        )
    form = _Form()
    train = _read_split(root / "train", classes, form)
    test = _read_split(root / "test", classes, form)
    return ImageData("image-folder", *train, *test, classes=classes, source=str(root))


class _Form:
    """Size and mode of the first image, which all others must share."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.shape: tuple[int, ...] = ()

    def check(self, path: Path, pixels: NDArray[np.uint8]) -> None:
        if self.path is None:
            self.path, self.shape = path, pixels.shape
        if pixels.shape != self.shape:
            raise DataError(
                f"{path} is not like the other images",
                got=_describe(pixels.shape),
                expected=f"{_describe(self.shape)}, as {self.path}",
                remedy="bring all images to one size and colour mode first",
            )


def _describe(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width} pixels wide, {height} high, {'grey' if channels == 1 else 'colour'}"


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not there",
            expected="a folder with one sub-folder of images for each class",
            remedy="lay the images out as train/<class>/*.png and test/<class>/*.png",
        )
    names = sorted(item.name for item in folder.iterdir() if item.is_dir() and _visible(item))
    if not names:
        raise DataError(
            f"{folder} holds no classes",
            got="no sub-folders",
            expected="one sub-folder of images for each class",
        )
    return tuple(names)


def _read_split(
    folder: Path, classes: tuple[str, ...], form: _Form
) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = [], []
    for label, name in enumerate(classes):
        place = folder / name
        files = sorted(filter(_visible, place.iterdir())) if place.is_dir() else []
        if place.is_dir() and not files:
            raise DataError(f"{place} is empty", expected="images of this class")
        for path in files:
            image = _read_image(path)
            form.check(path, image)
            pixels.append(image)
            labels.append(label)
    return torch.from_numpy(np.stack(pixels)), torch.tensor(labels, dtype=torch.int64)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _read_image(path: Path) -> NDArray[np.uint8]:
    image_module = pillow("image folders")
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(
            f"{path} is not an image",
            got=f"the suffix {path.suffix!r}",
            expected=f"one of {', '.join(_SUFFIXES)}",
            remedy="move the file out of the class's folder",
        )
    try:
        with image_module.open(path) as image:
            mode = _MODES.get(image.mode)
            array = None if mode is None else np.asarray(image.convert(mode))
            found = image.mode
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise DataError(
            f"{path} is a damaged image",
            got=str(error),
            expected="an image that Pillow can read",
            remedy="replace or remove the file",
        ) from error
    if array is None:
        raise DataError(
            f"{path} is in a colour mode that does not fit 8 bits a channel",
            got=f"Pillow mode {found}",
            expected=f"one of {', '.join(_MODES)}",
            remedy="convert it to grey or RGB without alpha first",
        )
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def pillow(what: str) -> Any:
    """Import Pillow's ``Image`` module.

    Raises:
        MissingToolError: Pillow is not installed; says that ``what`` needs it.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingToolError(
            f"{what} need Pillow",
            got=str(error),
            remedy="pip install 'rtlgrad[data]'",
        ) from error
    return Image
