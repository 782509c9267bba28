"""The terms besides the products in a sum with zero points.

A sum of products of (x - zx) and (w - zw) is ``sum(x*w - x*zw - w*zx + zx*zw)``; with the table's
T[x, w] for x*w it is what an approximate multiplier computes (ALWANN: Mrazek et al., ICCAD 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .engines import INT32_MAX, correction_bound
from .quantize import decode
from .tables import lookup_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .engines import LookupTable
    from .quantize import OperandFormat


def fits_int32(
    w_codes: Tensor,
    table: LookupTable,
    a: OperandFormat,
    b: OperandFormat,
    x_zero: int,
    w_zero: int,
) -> bool:
    """Say whether int32 holds the sums of products with all corrections."""
    K = w_codes[0].numel() if len(w_codes) else 0
    corrections = correction_bound(
        K, x_max=a.max_abs, x_zero=x_zero, w_max=b.max_abs, w_zero=w_zero
    )
    return K * table.max_abs + corrections <= INT32_MAX


def wide_enough(
    acc: Tensor,
    w_codes: Tensor,
    table: Tensor,
    a: OperandFormat,
    b: OperandFormat,
    x_zero: int,
    w_zero: int,
) -> Tensor:
    """Return the sums in a type that the corrections cannot overflow: int32, else int64."""
    fits = fits_int32(w_codes, lookup_of(table), a, b, x_zero, w_zero)
    return acc if fits else acc.to(torch.int64)


def weight_terms(w_codes: Tensor, b: OperandFormat, x_zero: int, w_zero: int) -> Tensor:
    """Return ``sum(w*zx - zx*zw)`` of each output, int64 [O]."""
    values = decode(w_codes, b).flatten(1)
    return (values.sum(dim=1, dtype=torch.int64) - values.shape[1] * w_zero) * x_zero


def window_sums(
    x: Tensor,
    pad_value: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Return the sum of the activations under each output's window, int64 [B, groups, H', W']."""
    top, bottom, left, right = padding
    images, channels, height, width = x.shape
    # Channels first: they share every window.
    summed = x.view(images, groups, channels // groups, height, width).sum(dim=2)
    padded = functional.pad(
        summed, (left, right, top, bottom), value=pad_value * (channels // groups)
    )
    out_h, out_w = (
        (padded.shape[2 + d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in (0, 1)
    )
    total = padded.new_zeros((images, groups, out_h, out_w))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, z = i * dilation[0], j * dilation[1]
            total += padded[
                :,
                :,
                y : y + (out_h - 1) * stride[0] + 1 : stride[0],
                z : z + (out_w - 1) * stride[1] + 1 : stride[1],
            ]
    return total
