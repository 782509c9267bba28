"""Learned step sizes (Esser et al., "Learned step size quantization", ICLR 2020).

The scale of an operand is a parameter. With v = x / s and r = clamp(round(v) + zero, low, high)
- zero, the number that stands for x is r * s, and

* its derivative with respect to x is 1 where nothing was clamped, else 0 (equation 5);
* its derivative with respect to s is r - v where nothing was clamped, else r (equation 3);
* the gradient of s is multiplied by ``1 / sqrt(N * greatest)``, N the number of weights, or of
  features of one sample, and greatest the largest positive quantized value, zero point apart (section 2.2).

Three things differ from the paper: a scale begins as the one that the other quantizer would take
(so learning continues from calibration); an unsigned operand keeps the zero point found then; and a
scale that a large update carries below zero counts by its magnitude.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .quantize import (
    AffineParams,
    Quantized,
    quantize_weight,
    weight_params,
)
from .quantize_ops import code_dtype_of, fake_quantize

if TYPE_CHECKING:
    from .quantize import OperandFormat


@torch.library.custom_op("rtlgrad::learned_quantize", mutates_args=())
def learned_quantize(
    x: Tensor, step: Tensor, zero: Tensor, low: int, high: int, bits: int, factor: float
) -> tuple[Tensor, Tensor]:
    """Quantize by a learned step (torch op ``rtlgrad::learned_quantize``).

    Args:
        x: float32, any shape.
        step: float32, of as many dimensions as x or none, broadcastable to it.
        zero: int32 [].
        low: the least quantized value.
        high: the greatest quantized value.
        bits: the operand's width.
        factor: what the step's gradient is multiplied by.

    Returns:
        x_hat float32 and codes (uint8 up to 8 bits, int16 beyond), each of x's shape.

    Raises:
        DataError: x holds NaN, or a step is not a finite positive number.
    """
    del factor
    x_hat, codes, _ = fake_quantize(x, step, zero, low, high, bits)
    return x_hat, codes


@learned_quantize.register_fake
def _(
    x: Tensor, step: Tensor, zero: Tensor, low: int, high: int, bits: int, factor: float
) -> tuple[Tensor, Tensor]:
    del step, zero, low, high, factor
    return x.new_empty(x.shape), x.new_empty(x.shape, dtype=code_dtype_of(bits))


def _save(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
    del output
    x, step, zero, ctx.low, ctx.high, _, ctx.factor = inputs
    ctx.save_for_backward(x, step, zero)


def _backward(ctx: Any, grad: Tensor, *_: object) -> tuple[Tensor | None, ...]:
    x, step, zero = ctx.saved_tensors
    scaled = x / step
    rounded = scaled.round() + zero
    values = rounded.clamp(ctx.low, ctx.high)
    inside = rounded == values
    slope = torch.where(inside, values - zero - scaled, values - zero)
    grad_step = (grad * slope * ctx.factor).sum_to_size(step.shape)
    return grad * inside, grad_step, None, None, None, None, None


learned_quantize.register_autograd(_backward, setup_context=_save)


class WeightQuantizer(nn.Module):
    """Quantizes weights per output channel.

    Args:
        learned: whether the scales are learnt; else they follow from the weights at hand, and
            this module has no state.

    Attributes:
        step: float32 [O] parameter, NaN until first used; None unless learnt.
    """

    def __init__(self, *, learned: bool, channels: int, device: torch.device | str | None) -> None:
        super().__init__()
        self.step: nn.Parameter | None = None
        if learned:
            unknown = torch.full((channels,), float("nan"), dtype=torch.float32, device=device)
            self.step = nn.Parameter(unknown)

    def forget_step(self) -> None:
        """Find the scales anew at the next use: the weights' operand has changed."""
        if self.step is not None:
            self.step.data.fill_(float("nan"))

    def forward(
        self, weight: Tensor, operand: OperandFormat, *, codes_only: bool = False
    ) -> Quantized:
        """Quantize ``weight`` (float32 [O, ...]) for an operand.

        Args:
            weight: the weights.
            operand: the multiplier's operand b.
            codes_only: no gradient is wanted; see `Quantized`. A learnt scale has one all the same.

        Raises:
            DataError: a weight is NaN or infinite, or a learnt scale is not positive.
        """
        if self.step is None:
            return quantize_weight(weight, operand, codes_only=codes_only)
        params = weight_params(weight, operand)
        begin(self.step, params.scale)
        low, high = operand.weight_limits
        reach = high - operand.weight_zero
        size = self.step.float().abs()
        step = size.view(-1, *[1] * (weight.ndim - 1))
        x_hat, codes = learned_quantize(
            *(weight, step, params.zero, low, high, operand.bits),
            gradient_factor(weight.numel(), reach),
        )
        return Quantized(x_hat, codes, AffineParams(size.detach(), params.zero))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The state of a layer that does not learn its scales begins with those it had.
        if self.step is not None:
            unknown = torch.full_like(self.step.data, float("nan"))
            state_dict.setdefault(prefix + "step", unknown)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


@torch.no_grad()
def begin(step: nn.Parameter, scale: Tensor) -> None:
    """Give a step that is still unknown its first value."""
    # Written only when it must be: an earlier forward may still need it for its backward pass.
    if torch.compiler.is_compiling() or bool(step.isnan().any()):
        step.copy_(torch.where(step.isnan(), scale, step))


def gradient_factor(count: int, greatest: int) -> float:
    """Return ``1 / sqrt(N * greatest)`` (section 2.2 of the paper)."""
    return 1.0 / math.sqrt(max(1, count) * max(1, greatest))


def quantize_learned(
    x: Tensor,
    step: nn.Parameter,
    params: AffineParams,
    limits: tuple[int, int],
    operand: OperandFormat,
) -> Quantized:
    """Quantize an input by a learned step.

    Args:
        x: float32, any shape; values along the first axis are not counted in N.
        step: float32 [], NaN until first used.
        params: scale to begin with, and zero point.
        limits: the least and the greatest quantized value.
        operand: the multiplier's operand.

    Raises:
        DataError: x holds NaN, or the step is not a finite positive number.
    """
    begin(step, params.scale)
    size = step.float().abs()
    low, high = limits
    each = x.numel() // max(1, x.shape[0] if x.ndim else 1)
    # Affinely mapped operands reach over their whole range, symmetric ones over half of it.
    symmetric = operand.signed or low > 0
    factor = gradient_factor(each, (high - low) // 2 if symmetric else high - low)
    x_hat, codes = learned_quantize(*(x, size, params.zero, low, high, operand.bits, factor))
    return Quantized(x_hat, codes, AffineParams(size.detach(), params.zero))
