"""The models by name, and what images each of them takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.names import pick
from .deep_resnet import Bottleneck, DeepResNet, PlainBlock
from .lenet import LENET5_SIDES, LeNet5, LeNet300100
from .resnet import ResNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model has to know about the data.

    Attributes:
        in_channels: channels of an image.
        num_classes: number of logits.
        height: pixels.
        width: pixels.
    """

    in_channels: int
    num_classes: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of the registry.

    Attributes:
        summary: one line for people.
        build: makes the network, with freshly drawn weights.
        sides: the legal sides of (square) images in pixels, ascending; empty if any size will do.
        least_side: the least height and width in pixels where ``sides`` is empty.
    """

    summary: str
    build: Callable[[ModelShape], nn.Module]
    sides: tuple[int, ...] = ()
    least_side: int = 1

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that images of the given size must be brought to.

        That is their own size where the model takes it, else the next larger legal one.

        Raises:
            ConfigError: the images are larger than any legal size.
        """
        if not self.sides:
            return max(height, self.least_side), max(width, self.least_side)
        for side in self.sides:
            if side >= max(height, width):
                return side, side
        raise ConfigError(
            "the model takes no images of this size",
            got=f"{height}x{width}",
            expected=" or ".join(f"{side}x{side}" for side in self.sides) + ", or smaller",
            remedy="scale the images down first, or choose a model that takes any size",
        )


_DEEP: tuple[tuple[int, type[PlainBlock | Bottleneck], tuple[int, ...]], ...] = (
    (18, PlainBlock, (2, 2, 2, 2)),
    (34, PlainBlock, (3, 4, 6, 3)),
    (50, Bottleneck, (3, 4, 6, 3)),
)
_STEMS = (("", "ImageNet", False, 32), ("-cifar", "small images", True, 8))
"""Suffix of a model's name, what the stem is for, whether it is the small one, least side."""

MODELS: dict[str, ModelSpec] = {
    "lenet300100": ModelSpec("LeNet-300-100, fully connected", LeNet300100),
    "lenet5": ModelSpec("LeNet-5, ReLU and max-pooling", LeNet5, sides=LENET5_SIDES),
    "resnet8": ModelSpec("ResNet-8 for small images", partial(ResNet, blocks=1), least_side=8),
    "resnet20": ModelSpec("ResNet-20 for small images", partial(ResNet, blocks=3), least_side=8),
    **{
        f"resnet{depth}{suffix}": ModelSpec(
            f"ResNet-{depth}, stem for {stem}",
            partial(DeepResNet, block=block, blocks=blocks, small=small),
            least_side=least,
        )
        for depth, block, blocks in _DEEP
        for suffix, stem, small, least in _STEMS
    },
}
"""Models by name. A study's own model joins in with ``MODELS["name"] = ModelSpec(...)``."""


def model_spec(name: str) -> ModelSpec:
    """Return the registry's entry of a model.

    Raises:
        UnknownNameError: no model has this name; lists the legal ones and suggests the nearest.
    """
    return pick(MODELS, name, kind="model")


def build_model(
    name: str, *, in_channels: int, num_classes: int, image_size: tuple[int, int]
) -> nn.Module:
    """Build a model with freshly drawn weights (from torch's global random state).

    Args:
        name: its name in the registry.
        in_channels: channels of an image.
        num_classes: number of logits.
        image_size: height and width in pixels.

    Raises:
        UnknownNameError: no model has this name.
        ConfigError: the model does not take such images.
    """
    spec = model_spec(name)
    height, width = image_size
    if min(in_channels, num_classes, height, width) < 1:
        raise ConfigError(
            f"model {name!r} cannot be built",
            got=f"{in_channels} channels, {num_classes} classes, {height}x{width} pixels",
            expected="at least one of each",
        )
    return spec.build(ModelShape(in_channels, num_classes, height, width))
