"""Residual networks for small images: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from .registry import ModelShape

_STAGE_WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut of option A.

    Option A keeps the shortcut free of parameters and of multiplications: where the block halves
    the map and widens it, the shortcut takes every second pixel and pads the missing channels
    with zeros, half of them in front and half behind.

    Args:
        in_channels: channels that come in.
        channels: channels that go out, ``in_channels`` or more.
        stride: 1, or 2 to halve the map.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.stride = stride
        self.missing = channels - in_channels

    def forward(self, maps: Tensor) -> Tensor:
        """Return float [N, channels, H/stride, W/stride] for maps float [N, in_channels, H, W]."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        return cast("Tensor", self.relu(residual + self._shortcut(maps)))

    def _shortcut(self, maps: Tensor) -> Tensor:
        if self.stride == 1 and self.missing == 0:
            return maps
        front = self.missing // 2
        kept = maps[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, front, self.missing - front))


class ResNet(nn.Module):
    """The CIFAR form of ResNet: 6n+2 weighted layers in three stages of 16, 32 and 64 channels.

    A 3x3 convolution, three stages of n blocks (the second and third halve the map in their
    first block), global average pooling and one fully connected layer. Shortcuts are of option A,
    as in the paper's CIFAR experiments, so that ResNet-20 has 269,722 parameters for 3 channels
    and 10 classes (the paper prints 0.27 M). Takes images of any size from 8x8 up.

    Args:
        shape: channels, classes and size of the images.
        blocks: blocks per stage, n.
    """

    def __init__(self, shape: ModelShape, blocks: int) -> None:
        super().__init__()
        width = _STAGE_WIDTHS[0]
        self.conv1 = nn.Conv2d(shape.in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        stages = []
        for index, channels in enumerate(_STAGE_WIDTHS):
            strides = [1 if index == 0 else 2, *[1] * (blocks - 1)]
            stage = []
            for stride in strides:
                stage.append(BasicBlock(width, channels, stride))
                width = channels
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, shape.num_classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float [N, num_classes] for images float [N, C, H, W]."""
        maps = self.stages(self.relu(self.bn1(self.conv1(images))))
        return cast("Tensor", self.fc(self.pool(maps).flatten(1)))


def _initialise(module: nn.Module) -> None:
    # He et al., ICCV 2015, equation 14 (the variance that keeps the backward signal).
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
