"""Gradient tables that are sums of a few products, and the backward pass that they allow.

A table ``G[a, b] = sum_r u_r[a] * v_r[b]`` of R terms turns the two sums of backward into those of
an exact layer with R times the channels, on operands mapped through u and v. A multiplier that
leaves out partial products has at most one term for each bit of an operand, and its smoothed
differences have one more, for the borders; one that rounds its operands (DRUM, SSM) has a single
one. So this is no approximation: tables that need more terms are left to the sum of look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .columns import Windows
    from .quantized import Product

MOST_TERMS = 9
"""With more, look-ups are as fast in layers of few channels (3x3, 16 channels, one thread: 1 term
takes a seventh of their time, 7 terms six sevenths; 64 channels: a seventh, and two fifths)."""
_TOLERANCE = 2.0**-20
"""Of the greatest entry: what float32 sums of several terms are rounded by anyway."""
_PART_ENTRIES = 1 << 22
"""Mapped entries held at a time: 16 MiB, near the processor."""


@dataclass(frozen=True, eq=False)
class Terms:
    """A table as a sum of products.

    Attributes:
        of_a: float32 [2^wa, R], u_r by code of a.
        of_b: float32 [2^wb, R], v_r by code of b.
    """

    of_a: Tensor
    of_b: Tensor

    def less(self, constant: float) -> Terms:
        """Return the terms of the table less a constant."""
        ones = torch.ones(len(self.of_a), 1)
        constants = torch.full((len(self.of_b), 1), -float(constant))
        return Terms(torch.cat([self.of_a, ones], 1), torch.cat([self.of_b, constants], 1))

    def to(self, device: torch.device) -> Terms:
        """Return the terms on a device."""
        return Terms(self.of_a.to(device), self.of_b.to(device))


def separate(table: NDArray[np.float32], most: int = MOST_TERMS) -> Terms | None:
    """Return the terms of a table, or None if it takes more than ``most``.

    No entry of their sum is further from the table's than 2^-20 of its greatest.

    Args:
        table: float32 [2^wa, 2^wb].
        most: terms.
    """
    left, strengths, right = np.linalg.svd(table.astype(np.float64), full_matrices=False)
    allowed = _TOLERANCE * float(np.abs(table).max())
    for count in range(min(most, len(strengths)) + 1):
        # The residual's spectral norm bounds its entries; only near the end is it worth forming.
        root = np.sqrt(strengths[:count])
        of_a, of_b = left[:, :count] * root, right[:count].T * root
        rest = strengths[count] if count < len(strengths) else 0.0
        if rest <= allowed or (
            rest <= allowed * len(table) and np.abs(of_a @ of_b.T - table).max() <= allowed
        ):
            return Terms(*(torch.from_numpy(part.astype(np.float32)) for part in (of_a, of_b)))
    return None


def separable_backward(
    grad: Tensor, product: Product, windows: Windows, by_a: Terms, by_b: Terms
) -> tuple[Tensor, Tensor]:
    """Return the gradients of `approx_backward` from tables in terms.

    Args:
        grad: float32 [B, O, H', W'].
        product: the forward pass.
        windows: its geometry.
        by_a: terms of dT/da.
        by_b: terms of dT/db.

    Returns:
        float32 gradients of x_hat [B, C, H, W] and w_hat [O, C/groups, kh, kw].
    """
    p = product
    by_a, by_b = by_a.less(p.w_zero).to(grad.device), by_b.less(p.x_zero).to(grad.device)
    weights = _mapped(p.w_codes, by_a.of_b) * p.w_scale.view(-1, 1, 1, 1)
    top, bottom, left, right = windows.padding
    # A padded tap is a product like any other.
    codes = functional.pad(p.x_codes.long(), (left, right, top, bottom), value=p.x_zero)
    height, width = windows.image
    terms = max(by_a.of_a.shape[1], by_b.of_a.shape[1])
    step = max(1, _PART_ENTRIES // max(1, terms * codes[:1].numel()))
    grad_w = grad.new_zeros(p.w_codes.shape)
    chosen = _mapped(p.w_codes, by_b.of_b)
    parts = []
    for start in range(0, len(codes), step):
        some, slope = codes[start : start + step], grad[start : start + step]
        inputs = _mapped(some, by_b.of_a)
        wide = torch.empty(
            (len(some), weights.shape[1] * windows.groups, *windows.padded),
            memory_format=torch.channels_last,
        )
        sums = _convolved_back(slope, wide, weights, windows, of="x")
        inside = (..., slice(top, top + height), slice(left, left + width))
        parts.append(_dotted(sums[inside], _mapped(some[inside], by_a.of_a), by_a))
        outer = _convolved_back(slope, inputs, chosen, windows, of="weight")
        grad_w += _dotted(outer, chosen, by_b)
    grad_x = torch.cat(parts) if parts else grad.new_zeros(p.x_codes.shape)
    return grad_x.contiguous(), grad_w * p.x_scale


def _mapped(codes: Tensor, of: Tensor) -> Tensor:
    """Map codes [N, C, H, W] through [codes, R] to [N, C * R, H, W], the terms of a channel together.

    The channels lie together in memory, so that a look-up is of all terms at once.
    """
    found = functional.embedding(codes.permute(0, 2, 3, 1).long(), of)  # [N, H, W, C, R]
    return found.flatten(3).permute(0, 3, 1, 2)


def _dotted(one: Tensor, other: Tensor, terms: Terms) -> Tensor:
    """Add products up over the terms: two [N, C * R, H, W] to one [N, C, H, W]."""
    products = (one * other).permute(0, 2, 3, 1)
    by_term = products.reshape(*products.shape[:3], -1, terms.of_a.shape[1])
    return by_term.sum(dim=4).permute(0, 3, 1, 2)


def _convolved_back(
    grad: Tensor, x: Tensor, weight: Tensor, windows: Windows, *, of: str
) -> Tensor:
    """Return the gradient of a convolution without padding with respect to "x" or "weight".

    Of the operand whose gradient it is, nothing but the shape counts.
    """
    found: list[Tensor] = torch.ops.aten.convolution_backward(
        *(grad, x, weight, None),
        *(list(windows.stride), [0, 0], list(windows.dilation), False, [0, 0]),
        *(windows.groups, [of == "x", of == "weight", False]),
    )
    return found[of == "weight"]
