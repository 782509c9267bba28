"""A convolution as a matrix product: windows of the image as columns, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Windows:
    """Which taps each output of a convolution has.

    Attributes:
        image: (height, width) of the input before padding.
        kernel: (height, width).
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
    """

    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the padded image."""
        top, bottom, left, right = self.padding
        return self.image[0] + top + bottom, self.image[1] + left + right

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output."""
        height, width = (
            (self.padded[d] - self.dilation[d] * (self.kernel[d] - 1) - 1) // self.stride[d] + 1
            for d in (0, 1)
        )
        return height, width

    def columns(self, x: Tensor, pad: float) -> Tensor:
        """Return the taps of every output.

        Args:
            x: any type [B, C, H, W].
            pad: the value of taps outside the image.

        Returns:
            [groups, K, B * H' * W'], K = C / groups * kh * kw in the order of a weight's entries.
        """
        top, bottom, left, right = self.padding
        x = functional.pad(x, (left, right, top, bottom), value=pad).contiguous()
        images, channels = x.shape[:2]
        per_image, per_channel, per_row, per_pixel = x.stride()
        windows = x.as_strided(
            (images, channels, *self.kernel, *self.output),
            (
                per_image,
                per_channel,
                per_row * self.dilation[0],
                per_pixel * self.dilation[1],
                per_row * self.stride[0],
                per_pixel * self.stride[1],
            ),
        )
        taps = channels // self.groups * self.kernel[0] * self.kernel[1]
        return windows.permute(1, 2, 3, 0, 4, 5).reshape(self.groups, taps, -1)

    def image_of(self, columns: Tensor, images: int) -> Tensor:
        """Add columns up into an image, the padding dropped: the transpose of `columns`.

        Args:
            columns: float32 [groups, K, B * H' * W'].
            images: B.

        Returns:
            float32 [B, C, H, W].
        """
        top, _, left, _ = self.padding
        flat = columns.reshape(-1, images, self.output[0] * self.output[1]).transpose(0, 1)
        padded = functional.fold(
            flat,
            self.padded,
            self.kernel,
            dilation=tuple(self.dilation),
            stride=tuple(self.stride),
        )
        return padded[:, :, top : top + self.image[0], left : left + self.image[1]]

    def outputs(self, grad: Tensor) -> Tensor:
        """Return a gradient [B, O, H', W'] as [groups, O / groups, B * H' * W']."""
        images, outputs = grad.shape[:2]
        flat = grad.reshape(images, self.groups, outputs // self.groups, -1)
        return flat.permute(1, 2, 0, 3).reshape(self.groups, outputs // self.groups, -1)
