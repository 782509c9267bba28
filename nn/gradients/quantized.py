"""The backward pass through the table itself, with gradients quantized to its operands.

Both matrix products of the backward pass reuse an operand of the forward pass, with the codes and
on the port that it has there; the gradient takes the other port:

* ``grad_x = sum_o (grad * w_scale)[o] * (w - zw)``: weights on port b, so the gradient on port a;
* ``grad_w = sum_m grad[m] * (x - zx) * x_scale``: activations on port a, so the gradient on b.

A gradient has one scale per tensor, ``s = max|g| / (2^(bits-1) - 1)``, and the zero point that a
weight of that operand would have (0 if signed, 2^(bits-1) if not). It is rounded stochastically,
``floor(g / s + u)`` with u uniform in [0, 1), whose expectation is g / s (Gupta et al., "Deep
learning with limited numerical precision", ICML 2015). u comes from torch's global generator, so
a seeded run repeats. Sums are exact: int32 parts, none of which can overflow, added in int64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..engines import INT32_MAX
from ..quantize import decode
from ..table_ops import table_matmul
from ..tables import lookup_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..op_arguments import Operands
    from ..quantize import OperandFormat
    from .columns import Windows


@dataclass(frozen=True, eq=False)
class Product:
    """The operands of a forward pass.

    Attributes:
        x_codes: uint8 or int16 [B, C, H, W].
        w_codes: uint8 or int16 [O, C/groups, kh, kw].
        table: int32 [2^wa, 2^wb].
        x_scale: float32 [].
        x_zero: the activations' zero point as a value.
        w_scale: float32 [O].
        w_zero: the weights' zero point as a value.
        a: format of activations.
        b: format of weights.
    """

    x_codes: Tensor
    w_codes: Tensor
    table: Tensor
    x_scale: Tensor
    x_zero: int
    w_scale: Tensor
    w_zero: int
    a: OperandFormat
    b: OperandFormat

    @classmethod
    def of(cls, operands: Operands) -> Product:
        """Return an op's operands with their formats."""
        o = operands
        tensors = (o.x_codes, o.w_codes, o.table)
        return cls(*tensors, o.x_scale, int(o.x_zero), o.w_scale, o.w_zero, *o.formats)


def quantized_backward(
    grad: Tensor, product: Product, windows: Windows, engine: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x_hat and w_hat, every product taken from the table.

    Args:
        grad: float32 [B, O, H', W'].
        product: the forward's operands.
        windows: the forward's geometry.
        engine: an engine's name, or "auto".

    Returns:
        float32 [B, C, H, W] and [O, C/groups, kh, kw].
    """
    p = product
    per_output = p.w_scale.view(1, -1, 1, 1)
    for_x, x_step = quantize_gradient(grad * per_output, p.a)
    for_w, w_step = quantize_gradient(grad, p.b)
    outputs = p.w_codes.shape[0] // windows.groups
    kernels = p.w_codes.view(windows.groups, outputs, -1)
    columns = windows.columns(p.x_codes, p.x_zero)
    rows_x, rows_w = windows.outputs(for_x), windows.outputs(for_w)
    taps, weights = [], []
    for group in range(windows.groups):
        sums = table_product(
            *(rows_x[group].t(), kernels[group], p.table),
            *((p.a, p.a.weight_zero), (p.b, p.w_zero), engine),
        )
        taps.append(sums.t().to(torch.float32) * x_step)
        sums = table_product(
            *(columns[group], rows_w[group].t(), p.table),
            *((p.a, p.x_zero), (p.b, p.b.weight_zero), engine),
        )
        weights.append(sums.t().to(torch.float32) * (w_step * p.x_scale))
    grad_x = windows.image_of(torch.stack(taps), p.x_codes.shape[0])
    return grad_x.contiguous(), torch.stack(weights).reshape(p.w_codes.shape)


def quantize_gradient(grad: Tensor, operand: OperandFormat) -> tuple[Tensor, Tensor]:
    """Quantize a gradient for an operand, rounding stochastically.

    Returns:
        Its codes (uint8 or int16, the gradient's shape) and its scale, float32 [] (1 where the
        gradient is all zero).
    """
    reach = operand.weight_limits[1] - operand.weight_zero
    peak = grad.abs().amax() if grad.numel() else grad.new_zeros(())
    scaled = (peak / reach).clamp(min=torch.finfo(torch.float32).tiny)
    step = torch.where(peak == 0, torch.ones_like(peak), scaled)
    # A gradient that is not finite makes the step so, and with it all that is scaled by it.
    rounded = (grad / step + torch.rand(grad.shape, device=grad.device)).floor_().nan_to_num_(0.0)
    values = rounded.clamp_(-reach, reach).to(torch.int32)
    codes = (values + operand.weight_zero) & ((1 << operand.bits) - 1)
    return codes.to(operand.code_dtype), step


def table_product(
    a_codes: Tensor,
    b_codes: Tensor,
    table: Tensor,
    a: tuple[OperandFormat, int],
    b: tuple[OperandFormat, int],
    engine: str,
) -> Tensor:
    """Return ``sum_k (T[a, b] - a*zb - b*za + za*zb)``, int64 [M, N], of any length.

    Args:
        a_codes: uint8 or int16 [M, K].
        b_codes: uint8 or int16 [K, N].
        table: int32 [2^wa, 2^wb].
        a: format and zero point of a.
        b: format and zero point of b.
        engine: an engine's name, or "auto".
    """
    lookup = lookup_of(table.cpu())
    length = a_codes.shape[1]
    part = max(1, INT32_MAX // max(1, lookup.max_abs))
    shape = (a_codes.shape[0], b_codes.shape[1])
    total = torch.zeros(shape, dtype=torch.int64, device=a_codes.device)
    for start in range(0, length, part):
        left = a_codes[:, start : start + part].contiguous()
        right = b_codes[start : start + part].contiguous()
        total += table_matmul(left, right, table, engine)
    (a_format, a_zero), (b_format, b_zero) = a, b
    a_sums = decode(a_codes, a_format).sum(dim=1, keepdim=True, dtype=torch.int64)
    b_sums = decode(b_codes, b_format).sum(dim=0, keepdim=True, dtype=torch.int64)
    return total - a_sums * b_zero - b_sums * a_zero + length * a_zero * b_zero
