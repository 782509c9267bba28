"""Layers of torch whose every product goes through a table of integer products.

How they quantize, add up and rescale is in `rtlgrad.nn.table_layer`; what is a product of what, in
`rtlgrad.nn.convolutions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from .convolutions import conv1d, conv2d, conv3d, conv_transpose2d, linear, transposed_by_output
from .table_layer import WeightedLayer

if TYPE_CHECKING:
    from torch import Tensor


class ApproxConv1d(WeightedLayer[nn.Conv1d], nn.Conv1d):
    """`torch.nn.Conv1d` with every product taken from a table; see `ApproxConv2d`."""

    _exact = nn.Conv1d

    def _compute(self, x: Tensor) -> Tensor:
        return conv1d(self, x)


class ApproxConv2d(WeightedLayer[nn.Conv2d], nn.Conv2d):
    """`torch.nn.Conv2d` with every product taken from a table; see `WeightedLayer`.

    Taps outside the image hold the code of 0.0 and are looked up like all others. Padding modes
    other than "zeros" pad the input before it is quantized.
    """

    _exact = nn.Conv2d

    def _compute(self, x: Tensor) -> Tensor:
        return conv2d(self, x)


class ApproxConv3d(WeightedLayer[nn.Conv3d], nn.Conv3d):
    """`torch.nn.Conv3d` with every product taken from a table; see `ApproxConv2d`."""

    _exact = nn.Conv3d

    def _compute(self, x: Tensor) -> Tensor:
        return conv3d(self, x)


class ApproxConvTranspose2d(WeightedLayer[nn.ConvTranspose2d], nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with every product taken from a table; see `WeightedLayer`.

    Only products of an input value and a weight are computed; outputs that no input reaches are
    the bias.
    """

    _exact = nn.ConvTranspose2d

    @property
    def _outputs(self) -> int:
        return self.out_channels

    def _by_output(self) -> Tensor:
        return transposed_by_output(self).float()

    def _compute(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return conv_transpose2d(self, x, output_size)


class ApproxLinear(WeightedLayer[nn.Linear], nn.Linear):
    """`torch.nn.Linear` with every product taken from a table; see `WeightedLayer`."""

    _exact = nn.Linear

    def _compute(self, x: Tensor) -> Tensor:
        return linear(self, x)
