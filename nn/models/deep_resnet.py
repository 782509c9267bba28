"""Residual networks with four stages: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .registry import ModelShape

_STAGE_WIDTHS = (64, 128, 256, 512)


class PlainBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut of option B.

    Option B: the shortcut is the input itself, or a 1x1 convolution with batch normalisation where
    the shape changes.

    Args:
        in_channels: channels that come in.
        width: channels of both convolutions.
        stride: 1, or 2 to halve the map.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.shortcut = _shortcut(in_channels, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return float [N, width, H/stride, W/stride] for maps float [N, in_channels, H, W]."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        return cast("Tensor", self.relu(residual + self.shortcut(maps)))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution with batch normalisation, and a shortcut of option B.

    The last one widens four times. The stride is that of the 3x3 convolution, as in most code since
    2017; the paper has it in the first one.

    Args:
        in_channels: channels that come in.
        width: channels of the first two convolutions, a quarter of those that go out.
        stride: 1, or 2 to halve the map.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Return float [N, 4 width, H/stride, W/stride] for maps float [N, in_channels, H, W]."""
        hidden = self.relu(self.bn1(self.conv1(maps)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        return cast("Tensor", self.relu(self.bn3(self.conv3(hidden)) + self.shortcut(maps)))


class DeepResNet(nn.Module):
    """ResNet-18, -34 and -50, with the stem of either ImageNet or CIFAR.

    The stem for ImageNet is a 7x7 convolution of stride 2 and 3x3 max-pooling of stride 2. For
    images of a few dozen pixels, which these would leave too small, it is a 3x3 convolution of stride
    1 without pooling. Then come four stages of 64, 128, 256 and 512 channels (four times as
    many with bottlenecks), each but the first halving the map, global average pooling and one
    fully connected layer.

    With the first stem, 3 channels and 1000 classes, ResNet-18, -34 and -50 have 11,689,512,
    21,797,672 and 25,557,032 parameters.

    Args:
        shape: channels, classes and size of the images.
        block: kind of the blocks.
        blocks: how many in each of the four stages.
        small: whether the stem is that for small images.
    """

    def __init__(
        self,
        shape: ModelShape,
        block: type[PlainBlock | Bottleneck],
        blocks: Sequence[int],
        *,
        small: bool,
    ) -> None:
        super().__init__()
        channels = _STAGE_WIDTHS[0]
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(
            shape.in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.stem_pool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        for index, (width, count) in enumerate(zip(_STAGE_WIDTHS, blocks, strict=True)):
            stage = []
            for place in range(count):
                stage.append(block(channels, width, 2 if index and place == 0 else 1))
                channels = width * block.expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, shape.num_classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float [N, num_classes] for images float [N, C, H, W]."""
        maps = self.stem_pool(self.relu(self.bn1(self.conv1(images))))
        return cast("Tensor", self.fc(self.pool(self.stages(maps)).flatten(1)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _initialise(module: nn.Module) -> None:
    # He et al., ICCV 2015, equation 14 (the variance that keeps the backward signal).
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
