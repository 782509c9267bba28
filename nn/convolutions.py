"""Convolutions of every kind, linear maps and matrix products by one two-dimensional convolution.

What is here is geometry, and the same for both kinds of table: a layer brings its input and weight
as operands (`Operand`) and multiplies them by its own ``_conv2d`` or ``_linear``.

* One dimension: images of height 1.
* Three dimensions: the slices of a window's depth become channels; depth is padded before.
* Transposed, two dimensions: each input position times each tap is one product (no products with
  inserted zeros); a tap's sum over the input channels is one sum of products, and the taps that
  meet in one output are added in float32.
* Products of two inputs: each pair of matrices is a group of channels of one image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch.nn import functional

from ..core.errors import ConfigError
from .op_arguments import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Operand(Protocol):
    """One operand of many products: numbers, or codes and what they stand for."""

    def reshaped(
        self,
        change: Callable[[Tensor], Tensor],
        scales: Callable[[Tensor], Tensor] | None = None,
    ) -> Self:
        """Return it with its tensors rearranged, and its scale per output, if it has any."""
        ...


def conv1d(layer: Any, x: Tensor) -> Tensor:
    """Compute a `torch.nn.Conv1d`: x [B, C, L] or [C, L]."""
    images = _batched(layer, x, 3)
    left, right = layer._reversed_padding_repeated_twice
    padding = [0, 0, left, right]
    if layer.padding_mode != "zeros":
        images = functional.pad(images, (left, right), mode=layer.padding_mode)
        padding = [0, 0, 0, 0]
    a, w = (operand.reshaped(lambda t: t.unsqueeze(2)) for operand in layer._operands(images))
    geometry = Geometry([1, *layer.stride], padding, [1, *layer.dilation], layer.groups)
    return _finished(layer, layer._conv2d(a, w, geometry).squeeze(2), x, 3)


def conv2d(layer: Any, x: Tensor) -> Tensor:
    """Compute a `torch.nn.Conv2d`: x [B, C, H, W] or [C, H, W].

    Taps outside the image hold 0.0 and are multiplied like all others. Padding modes other than
    "zeros" pad the input before anything else.
    """
    images = _batched(layer, x, 4)
    left, right, top, bottom = layer._reversed_padding_repeated_twice
    padding = [top, bottom, left, right]
    if layer.padding_mode != "zeros":
        images = functional.pad(images, (left, right, top, bottom), mode=layer.padding_mode)
        padding = [0, 0, 0, 0]
    geometry = Geometry(list(layer.stride), padding, list(layer.dilation), layer.groups)
    return _finished(layer, layer._conv2d(*layer._operands(images), geometry), x, 4)


def conv3d(layer: Any, x: Tensor) -> Tensor:
    """Compute a `torch.nn.Conv3d`: x [B, C, D, H, W] or [C, D, H, W]."""
    images = _batched(layer, x, 5)
    left, right, top, bottom, front, back = layer._reversed_padding_repeated_twice
    padding = [top, bottom, left, right]
    if layer.padding_mode != "zeros":
        sides = layer._reversed_padding_repeated_twice
        images = functional.pad(images, sides, mode=layer.padding_mode)
        padding = [0, 0, 0, 0]
    else:  # 0.0 is an operand like all others, so it may be put in before
        images = functional.pad(images, (0, 0, 0, 0, front, back))
    reach = layer.dilation[0] * (layer.kernel_size[0] - 1) + 1
    depth = (images.shape[2] - reach) // layer.stride[0] + 1
    a, w = layer._operands(images)
    slices = a.reshaped(lambda t: _slices(layer, t, depth))
    kernels = w.reshaped(lambda t: t.flatten(1, 2))
    geometry = Geometry(list(layer.stride[1:]), padding, list(layer.dilation[1:]), layer.groups)
    y = layer._conv2d(slices, kernels, geometry)
    y = y.view(images.shape[0], depth, *y.shape[1:]).transpose(1, 2)
    return _finished(layer, y, x, 5)


def _slices(layer: Any, t: Tensor, depth: int) -> Tensor:
    """Return what each output slice sees: [B * D', C * kd, H, W]."""
    steps = torch.arange(layer.kernel_size[0], device=t.device) * layer.dilation[0]
    starts = torch.arange(depth, device=t.device) * layer.stride[0]
    images, channels, _, height, width = t.shape
    taken = t[:, :, (starts[:, None] + steps).flatten()]
    slices = taken.view(images, channels, depth, len(steps), height, width)
    return slices.transpose(1, 2).reshape(images * depth, -1, height, width)


def conv_transpose2d(layer: Any, x: Tensor, output_size: list[int] | None = None) -> Tensor:
    """Compute a `torch.nn.ConvTranspose2d`: x [B, C, H, W] or [C, H, W].

    Outputs that no input reaches are the bias.
    """
    images = _batched(layer, x, 4)
    padding = [int(amount) for amount in layer.padding]  # never a word: torch refuses it here
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    extra = layer._output_padding(
        *(images, output_size, list(stride), padding, list(kernel), 2, list(dilation))
    )
    a, w = layer._operands(images)
    # A 1x1 convolution whose outputs are all taps of all channels.
    taps = kernel[0] * kernel[1]
    rows = w.reshaped(_one_row_per_tap, lambda scale: scale.repeat_interleave(taps))
    products = layer._conv2d(a, rows, Geometry(groups=layer.groups))
    height, width = (
        (images.shape[2 + d] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1 for d in (0, 1)
    )
    y = functional.fold(
        products.flatten(2), (height, width), kernel, dilation=dilation, stride=stride
    )
    # The exact layer drops `padding` on all sides and appends `output_padding` at the end.
    (pad_h, pad_w), (more_h, more_w) = padding, extra
    y = functional.pad(y, (-pad_w, more_w - pad_w, -pad_h, more_h - pad_h))
    return _finished(layer, y, x, 4)


def _one_row_per_tap(w: Tensor) -> Tensor:
    """Return a weight [O, C/groups, kh, kw] as [O * kh * kw, C/groups, 1, 1]."""
    return w.permute(0, 2, 3, 1).reshape(-1, w.shape[1], 1, 1)


def transposed_by_output(layer: Any) -> Tensor:
    """Return a transposed convolution's weight [C, O/groups, kh, kw] as [O, C/groups, kh, kw]."""
    inputs, outputs, *kernel = layer.weight.shape
    split = layer.weight.view(layer.groups, inputs // layer.groups, outputs, *kernel)
    by_output: Tensor = split.transpose(1, 2).flatten(0, 1)
    return by_output


def linear(layer: Any, x: Tensor) -> Tensor:
    """Compute a `torch.nn.Linear`: x [..., in_features]."""
    rows = layer._input(x).reshape(-1, layer.in_features)
    y = with_bias(layer._linear(*layer._operands(rows)), layer.bias)
    return y.to(layer.weight.dtype).view(*x.shape[:-1], layer.out_features)


def check_matmul(left: Tensor, right: Tensor) -> None:
    """Refuse inputs that have no matrix product.

    Raises:
        ConfigError: an input has fewer than two axes, or K differs.
    """
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ConfigError(
            "inputs of a matrix product do not fit each other",
            got=f"{tuple(left.shape)} and {tuple(right.shape)}",
            expected="[..., M, K] and [..., K, N]",
        )


def matmul(layer: Any, a: Operand, b: Operand, shapes: Sequence[torch.Size]) -> Tensor:
    """Return ``a [..., M, K] @ b [..., K, N]``, float32; leading axes are broadcast.

    Args:
        layer: whose products they are.
        a: the left operand.
        b: the right operand, with one scale in all if it has any.
        shapes: of both.
    """
    left, right = shapes
    # torch.broadcast_shapes has no types.
    leading: torch.Size = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
        left[:-2], right[:-2]
    )
    (M, K), N = left[-2:], right[-1]
    count = leading.numel()

    # Each pair of matrices is a group of channels of one image, K channels of M pixels.
    def image(t: Tensor) -> Tensor:
        return t.expand(*leading, M, K).transpose(-2, -1).reshape(1, count * K, M, 1)

    def kernel(t: Tensor) -> Tensor:
        return t.expand(*leading, K, N).transpose(-2, -1).reshape(count * N, K, 1, 1)

    kernels = b.reshaped(kernel, lambda scale: scale.expand(count * N).contiguous())
    y = layer._conv2d(a.reshaped(image), kernels, Geometry(groups=count))
    product: Tensor = y.view(*leading, N, M).transpose(-2, -1)
    return product


def with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias [O] to outputs [B, O, ...] in float32."""
    if bias is None:
        return y
    added = bias.float().view(-1, *[1] * (y.ndim - 2))
    # In place, no fresh memory is touched; autograd wants what an op returned unchanged.
    return y + added if torch.is_grad_enabled() else y.add_(added)


def _batched(layer: Any, x: Tensor, ndim: int) -> Tensor:
    given: Tensor = layer._input(x)
    return given if x.ndim == ndim else given.unsqueeze(0)


def _finished(layer: Any, y: Tensor, x: Tensor, ndim: int) -> Tensor:
    """Return a layer's output from its products: with bias, in the weight's type, batched as x."""
    y = with_bias(y, layer.bias).to(layer.weight.dtype)
    return y if x.ndim == ndim else y.squeeze(0)
