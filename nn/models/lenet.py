"""The two networks of LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from .registry import ModelShape

# The convolutions of LeNet-5 leave 5x5 maps only if the first one sees 28 + 2*2 = 32 pixels.
_LENET5_PADDING = {28: 2, 32: 0}
LENET5_SIDES = tuple(_LENET5_PADDING)


class LeNet300100(nn.Module):
    """LeNet-300-100: two hidden fully connected layers of 300 and 100 units, ReLU.

    For 1x28x28 images and 10 classes it has 266,610 parameters. Takes images of any size.

    Args:
        shape: channels, classes and size of the images.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.in_channels * shape.height * shape.width, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, shape.num_classes)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float [N, num_classes] for images float [N, C, H, W]."""
        hidden = self.relu(self.fc1(images.flatten(1)))
        return cast("Tensor", self.fc3(self.relu(self.fc2(hidden))))


class LeNet5(nn.Module):
    """LeNet-5 in the variant common today: ReLU, max-pooling, every map connected.

    The 1998 original used tanh, trainable subsampling, a sparse connection table in the second
    convolution and radial basis functions at the output. Two 5x5 convolutions (6 and 16 maps),
    each followed by 2x2 max-pooling, then fully connected layers of 120, 84 and ``num_classes``
    units. Images of 28x28 are padded by 2 in the first convolution, images of 32x32 by 0; either
    way there are 61,706 parameters for one channel and 10 classes.

    Args:
        shape: channels, classes and size of the images.

    Raises:
        ConfigError: the images are neither 28x28 nor 32x32.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        if shape.height != shape.width or shape.height not in _LENET5_PADDING:
            raise ConfigError(
                "LeNet-5 cannot take images of this size",
                got=f"{shape.height}x{shape.width}",
                expected="28x28 or 32x32",
                remedy="bring them to size with rtlgrad.nn.data.fit_images",
            )
        padding = _LENET5_PADDING[shape.height]
        self.conv1 = nn.Conv2d(shape.in_channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, shape.num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float [N, num_classes] for images float [N, C, H, W]."""
        maps = self.pool(self.relu(self.conv1(images)))
        maps = self.pool(self.relu(self.conv2(maps)))
        hidden = self.relu(self.fc1(maps.flatten(1)))
        return cast("Tensor", self.fc3(self.relu(self.fc2(hidden))))
