"""How often each pair of operands meets in a call of a layer's products: exact joint histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .interception import LayerCall

_EXACT = 1 << 53
"""Up to here float64 counts without error."""
_MAX_ENTRIES = 1 << 24
"""Codes, or counters of codes, that are kept at a time."""


def joint_counts(call: LayerCall) -> NDArray[np.int64]:
    """Count how often each pair of codes is multiplied in a call, taps in the padding included.

    A product pairs an activation and a weight of one tap, that is, of one channel and kernel
    position, and every activation of a tap meets every weight of it. So the joint histogram is the
    sum over taps of the outer products.

    Of a layer with a mantissa table, the codes are those of the mantissas, and products with an
    operand that is no normal number are left out: the table has no part in them.

    Returns:
        int64 [2^wa, 2^wb]; row = code of the activation, column = code of the weight.

    Raises:
        ConfigError: more than 2^53 products, which could not be counted exactly.
    """
    rows, columns = call.given["table"].shape
    x, w = call.operands
    groups = call.geometry.groups
    x_bins, w_bins = rows, columns
    pad = 0
    if call.is_integer:
        # In two's complement the zero point is 0, so its value is its code in every format.
        pad = int(call.given["x_zero"])
    else:
        # One more bin takes the numbers that are not normal, padding among them.
        bits = int(rows).bit_length() - 1
        x, w = mantissa_codes(x, bits), mantissa_codes(w, bits)
        x_bins, w_bins, pad = rows + 1, columns + 1, rows
    weights = _weight_taps(w, groups)
    total = np.zeros((rows, columns), np.float64)
    taps = call.windows.columns(x, pad).flatten(0, 1)
    step = max(1, _MAX_ENTRIES // max(taps.shape[1], x_bins + w_bins))
    for start in range(0, len(taps), step):
        part = slice(start, start + step)
        seen = _counts(taps[part], x_bins)[:, :rows]
        met = _counts(weights[part], w_bins)[:, :columns]
        if float(seen.sum(1).astype(np.float64) @ met.sum(1)) + total.sum() >= _EXACT:
            raise ConfigError(
                f"layer {call.layer!r} multiplies too often to be counted exactly",
                got="2^53 products or more",
                expected="fewer",
                remedy="record fewer images",
            )
        # BLAS multiplies floats alone; integers below 2^53 are exact in them, sums included.
        total += seen.T.astype(np.float64) @ met.astype(np.float64)
    return np.rint(total).astype(np.int64)


def mantissa_codes(x: Tensor, bits: int) -> Tensor:
    """Return the leading mantissa bits of float32 numbers, int16; 2^bits for all but normal ones."""
    patterns = x.contiguous().view(torch.int32)
    exponent = patterns >> 23 & 255
    codes = patterns >> (23 - bits) & ((1 << bits) - 1)
    return torch.where((exponent > 0) & (exponent < 255), codes, 1 << bits).to(torch.int16)


def _weight_taps(codes: Tensor, groups: int) -> Tensor:
    """Return weights [O, C/groups, kh, kw] by tap: [groups * K, O / groups]."""
    outputs = codes.shape[0]
    per_tap = codes.reshape(groups, outputs // groups, -1).transpose(1, 2)
    return per_tap.reshape(-1, outputs // groups)


def _counts(codes: Tensor, bins: int) -> NDArray[np.int64]:
    """Count the codes in each row of [taps, N]: int64 [taps, bins]."""
    taps = codes.shape[0]
    rows = torch.arange(taps, device=codes.device).unsqueeze(1) * bins
    flat = (codes.to(torch.int64) + rows).flatten()
    counts = torch.bincount(flat, minlength=taps * bins).view(taps, bins)
    return counts.cpu().numpy().astype(np.int64)
