"""A labelled set of images in memory, and the few things done to it before training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ...core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_SUBSET_SEED = 0


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set with its published split into training and test images.

    Attributes:
        name: the name that it was loaded by.
        train_images: uint8 [N, C, H, W].
        train_labels: int64 [N], each in 0 .. len(classes) - 1.
        test_images: uint8 [M, C, H, W].
        test_labels: int64 [M].
        classes: the classes' names, by label.
        source: the folder, file or package that the content came from.
        augment: the augmentation customary for it, a name in `rtlgrad.nn.data.AUGMENTATIONS`.
        original: hash of the data set that this one was made from and what was done to it, where
            it was brought to another size; None for data as loaded.

    Raises:
        DataError: shapes, types, counts or labels do not agree with the above.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    source: str
    augment: str = "none"
    original: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for split, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            _check_split(f"{self.name}: {split} set", images, labels, len(self.classes))
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.name}: training and test images differ in shape",
                got=f"{_shape(self.train_images)} and {_shape(self.test_images)}",
                expected="one shape",
            )

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.train_images.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        return int(self.train_images.shape[2]), int(self.train_images.shape[3])

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training pixels, float32 [C] each, pixels in [0, 1].

        A channel that never changes gets a deviation of 1.
        """
        # A histogram is exact and needs no float copy of the data.
        counts = torch.stack(
            [
                torch.bincount(self.train_images[:, channel].flatten(), minlength=256)
                for channel in range(self.channels)
            ]
        ).double()
        levels = torch.arange(256, dtype=torch.float64) / 255
        total = counts.sum(1)
        mean = (counts * levels).sum(1) / total
        std = ((counts * (levels - mean[:, None]) ** 2).sum(1) / total).sqrt()
        std[(counts > 0).sum(1) == 1] = 1
        return mean.float(), std.float()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over classes, shapes, pixels and labels of both splits (64 hexadecimal digits)."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for tensor in (
            self.train_images,
            self.train_labels,
            self.test_images,
            self.test_labels,
        ):
            digest.update(f"|{tensor.dtype}{tuple(tensor.shape)}|".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    @property
    def provenance(self) -> dict[str, str | None]:
        """Name, source and hash of the data as loaded, and what was done to it since."""
        digest, change = self.original or (self.sha256, None)
        return {"name": self.name, "source": self.source, "sha256": digest, "changed": change}


def fit_images(data: ImageData, size: tuple[int, int]) -> ImageData:
    """Bring images to a larger size without inventing pixel values.

    Every pixel is repeated by the largest whole factor that fits both sides, and zeros are padded
    around (the odd row or column goes to the bottom and the right). The 8x8 digits become
    28x28 by repeating each pixel 3x3 times and padding 2 pixels on each side.

    Args:
        data: the images.
        size: height and width in pixels, neither smaller than the images'.

    Raises:
        DataError: the images are larger than ``size``.
    """
    if data.size == size:
        return data
    height, width = data.size
    factor = min(size[0] // height, size[1] // width)
    if factor < 1:
        raise DataError(
            f"{data.name}: images do not fit",
            got=f"{height}x{width} pixels",
            expected=f"at most {size[0]}x{size[1]}",
            remedy="scale them down before loading",
        )

    def fit(images: Tensor) -> Tensor:
        larger = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        spare_y, spare_x = size[0] - height * factor, size[1] - width * factor
        left, top = spare_x // 2, spare_y // 2
        return functional.pad(larger, (left, spare_x - left, top, spare_y - top))

    change = f"each pixel repeated {factor}x{factor} times, zeros padded to {size[0]}x{size[1]}"
    return replace(
        data,
        train_images=fit(data.train_images),
        test_images=fit(data.test_images),
        original=_changed(data, change),
    )


def subset(count: int, wanted: int | None) -> Tensor | None:
    """Draw a part of a set, for quick runs.

    The part is drawn at random (a file may be sorted by class) but always the same one, whatever
    the seed of the training.

    Returns:
        Sorted indices int64 [wanted], or None if all ``count`` are wanted.
    """
    if wanted is None or wanted >= count:
        return None
    generator = torch.Generator().manual_seed(_SUBSET_SEED)
    return torch.randperm(count, generator=generator)[:wanted].sort().values


def _changed(data: ImageData, change: str) -> tuple[str, str]:
    digest, before = data.original or (data.sha256, "")
    return digest, f"{before}; {change}" if before else change


def _shape(images: Tensor) -> str:
    return "x".join(str(side) for side in images.shape[1:])


def _check_split(what: str, images: Tensor, labels: Tensor, classes: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"{what} holds no usable images",
            got=f"{images.dtype} of shape {tuple(images.shape)}",
            expected="uint8 [N, C, H, W] with none of them 0",
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{what}: labels do not match the images",
            got=f"{labels.dtype} of shape {tuple(labels.shape)} for {len(images)} images",
            expected=f"int64 of shape ({len(images)},)",
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        bad = int(((labels < 0) | (labels >= classes)).nonzero()[0])
        raise DataError(
            f"{what}: label out of range",
            got=f"{int(labels[bad])} for image {bad}",
            expected=f"0 to {classes - 1}",
            remedy="the label file is damaged or belongs to another data set: fetch it again",
        )
