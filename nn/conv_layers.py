"""Convolutions besides the two-dimensional one, by the same op.

* One dimension: images of height 1.
* Three dimensions: the slices of a window's depth become channels; depth is padded before.
* Transposed, two dimensions: each input position times each tap is one product (no products with
  inserted zeros); a tap's sum over the input channels is an integer sum through the table, and the
  taps that meet in one output are added in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn import functional

from .layers import WeightedLayer
from .options import LayerOptions, split_options
from .quantize import AffineParams, Quantized
from .table_layer import reborn

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .options import OptionArguments


class ApproxConv1d(WeightedLayer, nn.Conv1d):
    """`torch.nn.Conv1d` with every product taken from a table; see `ApproxConv2d`."""

    def __init__(self, *args: Any, table: ProductTable, **kwargs: Any) -> None:
        options, others = split_options(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(
        cls, layer: nn.Conv1d, table: ProductTable, **options: Unpack[OptionArguments]
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, LayerOptions(**options))
        return new

    def to_exact(self) -> nn.Conv1d:
        """Return a torch.nn.Conv1d that shares this layer's parameters and hooks."""
        return reborn(self, nn.Conv1d)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, L] or [C, L], any float dtype."""
        if self.is_observing:
            self._observe(input)
            return nn.Conv1d.forward(self, input)
        x = (input if input.ndim == 3 else input.unsqueeze(0)).float()
        left, right = self._reversed_padding_repeated_twice
        padding = [0, 0, left, right]
        if self.padding_mode != "zeros":
            x = functional.pad(x, (left, right), mode=self.padding_mode)
            padding = [0, 0, 0, 0]
        a, w = self._operands(x)
        strides, gaps = (1, *self.stride), (1, *self.dilation)
        y = self._conv2d(_with_height(a), _with_height(w), strides, padding, gaps, self.groups)
        y = y.squeeze(2)
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 3 else y.squeeze(0)


class ApproxConv3d(WeightedLayer, nn.Conv3d):
    """`torch.nn.Conv3d` with every product taken from a table; see `ApproxConv2d`."""

    def __init__(self, *args: Any, table: ProductTable, **kwargs: Any) -> None:
        options, others = split_options(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(
        cls, layer: nn.Conv3d, table: ProductTable, **options: Unpack[OptionArguments]
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, LayerOptions(**options))
        return new

    def to_exact(self) -> nn.Conv3d:
        """Return a torch.nn.Conv3d that shares this layer's parameters and hooks."""
        return reborn(self, nn.Conv3d)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, D, H, W] or [C, D, H, W], any float dtype."""
        if self.is_observing:
            self._observe(input)
            return nn.Conv3d.forward(self, input)
        x = (input if input.ndim == 5 else input.unsqueeze(0)).float()
        left, right, top, bottom, front, back = self._reversed_padding_repeated_twice
        padding = [top, bottom, left, right]
        if self.padding_mode != "zeros":
            x = functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = [0, 0, 0, 0]
        else:  # 0.0 has an exact code, so it may be put in before quantization
            x = functional.pad(x, (0, 0, 0, 0, front, back))
        a, w = self._operands(x)
        depth = (x.shape[2] - self.dilation[0] * (self.kernel_size[0] - 1) - 1) // self.stride[0]
        slices, kernels = self._slices(a, depth + 1), _channels_of_depth(w)
        y = self._conv2d(slices, kernels, self.stride[1:], padding, self.dilation[1:], self.groups)
        y = y.view(x.shape[0], depth + 1, *y.shape[1:]).transpose(1, 2)
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1, 1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 5 else y.squeeze(0)

    def _slices(self, a: Quantized, depth: int) -> Quantized:
        """Return what each output slice sees: [B * D', C * kd, H, W]."""
        steps = torch.arange(self.kernel_size[0], device=a.codes.device) * self.dilation[0]
        starts = torch.arange(depth, device=a.codes.device) * self.stride[0]
        taken = (starts[:, None] + steps).flatten()

        def gather(t: Tensor) -> Tensor:
            images, channels, _, height, width = t.shape
            slices = t[:, :, taken].view(images, channels, depth, len(steps), height, width)
            return slices.transpose(1, 2).reshape(images * depth, -1, height, width)

        return Quantized(gather(a.x_hat), gather(a.codes), a.params)


class ApproxConvTranspose2d(WeightedLayer, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with every product taken from a table.

    Weights have one scale per output channel, as everywhere. Only products of an input value and
    a weight are computed; outputs that no input reaches are the bias.

    Args:
        *args: as torch.nn.ConvTranspose2d.
        table: the multiplier.
        **kwargs: as torch.nn.ConvTranspose2d, and the attributes of `LayerOptions`.
    """

    def __init__(self, *args: Any, table: ProductTable, **kwargs: Any) -> None:
        options, others = split_options(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(
        cls, layer: nn.ConvTranspose2d, table: ProductTable, **options: Unpack[OptionArguments]
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, LayerOptions(**options))
        return new

    def to_exact(self) -> nn.ConvTranspose2d:
        """Return a torch.nn.ConvTranspose2d that shares this layer's parameters and hooks."""
        return reborn(self, nn.ConvTranspose2d)

    def _add_quantizers(self) -> None:
        self.activation = self._new_activation(self.weight.device)
        self.weight_quantizer = self._new_weights(self.weight, self.out_channels)

    def _by_output(self) -> Tensor:
        """Return the weight float32 [O, C/groups, kh, kw]; torch keeps [C, O/groups, kh, kw]."""
        inputs, outputs, *kernel = self.weight.shape
        split = self.weight.float().view(self.groups, inputs // self.groups, outputs, *kernel)
        return split.transpose(1, 2).flatten(0, 1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """Convolve ``input`` [B, C, H, W] or [C, H, W], any float dtype."""
        if self.is_observing:
            self._observe(input)
            return nn.ConvTranspose2d.forward(self, input, output_size)
        x = (input if input.ndim == 4 else input.unsqueeze(0)).float()
        padding = [int(amount) for amount in self.padding]  # never a word, as torch refuses it here
        extra = self._output_padding(
            *(x, output_size, list(self.stride), padding),
            *(list(self.kernel_size), 2, list(self.dilation)),
        )
        a = self._quantize(self.activation, x)
        w: Quantized = self.weight_quantizer(self._by_output(), self._formats[1])
        taps = self.kernel_size[0] * self.kernel_size[1]
        # A 1x1 convolution whose outputs are all taps of all channels.
        params = AffineParams(w.params.scale.repeat_interleave(taps), w.params.zero)
        rows = Quantized(_one_row_per_tap(w.x_hat), _one_row_per_tap(w.codes), params)
        products = self._conv2d(a, rows, (1, 1), (0, 0, 0, 0), (1, 1), self.groups)
        height, width = (
            (x.shape[2 + d] - 1) * self.stride[d] + self.dilation[d] * (self.kernel_size[d] - 1) + 1
            for d in (0, 1)
        )
        taps_of = {"dilation": self.dilation, "stride": self.stride}
        y = functional.fold(products.flatten(2), (height, width), self.kernel_size, **taps_of)
        # The exact layer drops `padding` on all sides and appends `output_padding` at the end.
        (pad_h, pad_w), (more_h, more_w) = padding, extra
        y = functional.pad(y, (-pad_w, more_w - pad_w, -pad_h, more_h - pad_h))
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 4 else y.squeeze(0)


def _with_height(q: Quantized) -> Quantized:
    return Quantized(q.x_hat.unsqueeze(2), q.codes.unsqueeze(2), q.params)


def _channels_of_depth(w: Quantized) -> Quantized:
    return Quantized(w.x_hat.flatten(1, 2), w.codes.flatten(1, 2), w.params)


def _one_row_per_tap(w: Tensor) -> Tensor:
    """Return a weight [O, C/groups, kh, kw] as [O * kh * kw, C/groups, 1, 1]."""
    return w.permute(0, 2, 3, 1).reshape(-1, w.shape[1], 1, 1)
