"""torch's own convolution and its gradients, with padding that may differ from side to side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from .op_arguments import Geometry


def exact_conv2d(x: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """Return the convolution of x [B, C, H, W] with w [O, C/groups, kh, kw] in their own type."""
    padded, rest = _padded(x, geometry)
    stride, dilation = list(geometry.stride), list(geometry.dilation)
    with torch.autocast(x.device.type, enabled=False):
        return functional.conv2d(padded, w, None, stride, rest, dilation, geometry.groups)


def exact_conv2d_backward(
    grad: Tensor, x: Tensor, w: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of `exact_conv2d` by x and w, each None where it is not wanted."""
    padded, rest = _padded(x, geometry)
    grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
        *(grad, padded, w, None, list(geometry.stride), rest, list(geometry.dilation)),
        *(False, [0, 0], geometry.groups, [*wanted, False]),
    )
    if wanted[0] and padded is not x:
        top, bottom, left, right = geometry.padding
        grad_x = functional.pad(grad_x, (-left, -right, -top, -bottom))
    return grad_x if wanted[0] else None, grad_w if wanted[1] else None


def _padded(x: Tensor, geometry: Geometry) -> tuple[Tensor, list[int]]:
    """Return x and the symmetric padding that is left to the exact op, which knows no other."""
    top, bottom, left, right = geometry.padding
    if top == bottom and left == right:
        return x, [top, left]
    return functional.pad(x, (left, right, top, bottom)), [0, 0]
