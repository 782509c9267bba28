"""Mini-batches from memory, shuffled and augmented the same way each time they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ...core.errors import ConfigError
from ...core.names import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from .images import ImageData

AUGMENTATIONS = ("none", "crop-flip")
_CROP_PADDING = 4


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches over a set of images.

    The order and the augmentation of epoch e depend on ``seed`` and e alone: not on what was
    drawn before, nor on the batch size. An interrupted epoch can therefore be repeated exactly.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        mean: float32 [C], of pixels in [0, 1].
        std: float32 [C].
        batch_size: images per batch; the last batch of an epoch may be smaller.
        seed: shuffles; None keeps the order.
        augment: "none", or "crop-flip": 4 zero pixels padded on each side, a random crop of the
            original size, mirrored left to right with probability 1/2 (He et al., CVPR 2016,
            section 4.2). Needs a seed.
        drop_last: whether to leave out a last batch that is not full.

    Raises:
        ConfigError: the batch size is below 1, or augmentation is wanted without a seed.
        UnknownNameError: no augmentation has this name.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    batch_size: int = 128
    seed: int | None = None
    augment: str = "none"
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.augment not in AUGMENTATIONS:
            raise unknown_name(self.augment, AUGMENTATIONS, kind="augmentation")
        if self.batch_size < 1:
            raise ConfigError("batch_size is too small", got=self.batch_size, expected="1 or more")
        if self.augment != "none" and self.seed is None:
            raise ConfigError("augmentation draws at random", expected="a seed")

    def __len__(self) -> int:
        """Batches in one epoch."""
        if self.drop_last:
            return self.count // self.batch_size
        return -(-self.count // self.batch_size)

    @property
    def count(self) -> int:
        """Number of images, whether or not the last batch is dropped."""
        return len(self.labels)

    def epoch(self, number: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images float32 [B, C, H, W] normalised, labels int64 [B]) of one epoch."""
        order = torch.arange(self.count)
        draws = None
        if self.seed is not None:
            generator = _generator(self.seed, number)
            order = torch.randperm(self.count, generator=generator)
            if self.augment == "crop-flip":
                draws = _draw_crops(self.count, generator)
        for step in range(len(self)):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            images = self.images[rows]
            if draws is not None:
                images = _crop_flip(images, draws[rows])
            yield normalise(images, self.mean, self.std), self.labels[rows]


def batches(
    data: ImageData,
    split: str = "train",
    *,
    rows: Tensor | None = None,
    batch_size: int = 128,
    seed: int | None = None,
    augment: str = "none",
    drop_last: bool = False,
) -> Batches:
    """Make batches over one split of a data set, normalised by its training pixels.

    Args:
        data: the data set.
        split: "train" or "test".
        rows: int64 indices of the images to use, or None for all.
        batch_size: see `Batches`, as the following.
        seed: shuffles.
        augment: name of the augmentation.
        drop_last: whether to leave out a last batch that is not full.

    Raises:
        UnknownNameError: no such split or augmentation.
        ConfigError: see `Batches`.
    """
    splits = {
        "train": (data.train_images, data.train_labels),
        "test": (data.test_images, data.test_labels),
    }
    if split not in splits:
        raise unknown_name(split, splits, kind="split")
    images, labels = splits[split]
    if rows is not None:
        images, labels = images[rows], labels[rows]
    mean, std = data.statistics
    return Batches(images, labels, mean, std, batch_size, seed, augment, drop_last)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return ``(images / 255 - mean) / std`` as float32 [B, C, H, W]; mean and std are [C]."""
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]


def split_rows(count: int, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide the training set into a part to train on and a part to validate on, at random.

    Args:
        count: training images in all.
        held_out: images to validate on.
        seed: of the draw.

    Returns:
        Sorted indices int64 of both parts, to train on first; together they are all ``count``.
        With the same seed, what is held out at a smaller ``held_out`` is part of a larger one.
    """
    order = torch.randperm(count, generator=_generator(seed, -1))
    return order[held_out:].sort().values, order[:held_out].sort().values


def _generator(seed: int, epoch: int) -> torch.Generator:
    # SeedSequence mixes the two, so that (1, 2) and (2, 1) have nothing in common.
    mixed = np.random.SeedSequence([seed, epoch + 1]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]) >> 1)


def _draw_crops(count: int, generator: torch.Generator) -> Tensor:
    """Return int64 [count, 3]: offset down and right in 0..8, and 1 to mirror."""
    offsets = torch.randint(0, 2 * _CROP_PADDING + 1, (count, 2), generator=generator)
    mirror = torch.randint(0, 2, (count, 1), generator=generator)
    return torch.cat([offsets, mirror], dim=1)


def _crop_flip(images: Tensor, draws: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    padded = functional.pad(images, (_CROP_PADDING,) * 4)
    down, right, mirror = draws.unbind(1)
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(mirror[:, None] == 1, width - 1 - columns, columns) + right[:, None]
    lines = torch.arange(height) + down[:, None]
    image = torch.arange(count)[:, None, None, None]
    channel = torch.arange(channels)[None, :, None, None]
    return padded[image, channel, lines[:, None, :, None], columns[:, None, None, :]]
