"""From real numbers to operand codes and back.

The quantized *value* of x is ``v = clamp(round_half_even(x / scale) + zero, low, high)``, its
*code* the operand's bit pattern ``v mod 2^bits``, and the number it stands for
``x_hat = (v - zero) * scale``. All of it is float32 arithmetic, exact but for the division and
the last product.

Activations have one scale per tensor. An unsigned operand takes them affinely (any zero point
in its range); a signed one symmetrically (zero point 0). Weights have one scale per output
channel and are symmetric: ``q`` in ``-(2^(b-1) - 1) .. 2^(b-1) - 1``. A signed operand carries
q itself; an unsigned one carries ``q + 2^(b-1)``, that is, zero point ``2^(b-1)``. Each operand
follows its own signedness, whatever the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .quantize_ops import (
    code_dtype_of,
    dequantize_codes,
    fake_quantize,
    quantize_codes,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_BITS, MAX_BITS = 2, 12
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True)
class OperandFormat:
    """One operand of a multiplier.

    Attributes:
        bits: its width, 2 to 12.
        signed: whether its codes are two's complement.

    Raises:
        ConfigError: a width outside 2 to 12.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not MIN_BITS <= self.bits <= MAX_BITS:
            raise ConfigError(
                "an operand of unsupported width",
                got=f"{self.bits} bits",
                expected=f"{MIN_BITS} to {MAX_BITS} bits",
            )

    @property
    def code_dtype(self) -> torch.dtype:
        """The type codes are kept in: uint8 up to 8 bits, int16 beyond."""
        return code_dtype_of(self.bits)

    @property
    def max_abs(self) -> int:
        """Largest magnitude of any value of the operand."""
        return 1 << (self.bits - 1) if self.signed else (1 << self.bits) - 1

    @property
    def activation_limits(self) -> tuple[int, int]:
        """The least and the greatest quantized value of an activation."""
        if self.signed:
            return 1 - (1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    @property
    def weight_zero(self) -> int:
        """The zero point of weights."""
        return 0 if self.signed else 1 << (self.bits - 1)

    @property
    def weight_limits(self) -> tuple[int, int]:
        """The least and the greatest quantized value of a weight."""
        reach = (1 << (self.bits - 1)) - 1
        return self.weight_zero - reach, self.weight_zero + reach


class AffineParams(NamedTuple):
    """What maps real numbers to quantized values.

    Attributes:
        scale: float32, positive; shape [] (per tensor) or [O] (per output channel).
        zero: int32, the value that stands for 0.0; shape [].
    """

    scale: Tensor
    zero: Tensor


class Quantized(NamedTuple):
    """A quantized tensor.

    Attributes:
        x_hat: float32, the numbers that the codes stand for; carries the gradient. Where codes
            alone were asked for, the numbers that were quantized.
        codes: uint8 or int16 of the same shape, the operand's bit patterns.
        params: the scale and zero point used.
    """

    x_hat: Tensor
    codes: Tensor
    params: AffineParams

    def reshaped(
        self,
        change: Callable[[Tensor], Tensor],
        scales: Callable[[Tensor], Tensor] | None = None,
    ) -> Quantized:
        """Return it with numbers and codes rearranged alike, and scales by ``scales`` if given."""
        scale, zero = self.params
        params = self.params if scales is None else AffineParams(scales(scale), zero)
        return Quantized(change(self.x_hat), change(self.codes), params)


def activation_params(low: Tensor, high: Tensor, operand: OperandFormat) -> AffineParams:
    """Return the mapping of activations in a range.

    The range is widened to include 0, so that 0.0 is represented exactly. A range of a single
    point has scale 1; a NaN in the range gives a NaN scale, which `fake_quantize` refuses.

    Args:
        low: float32 [], the least activation.
        high: float32 [], the greatest activation.
        operand: the multiplier's operand a.
    """
    least, greatest = operand.activation_limits
    if operand.signed:
        scale = _scale(torch.maximum(low.abs(), high.abs()), greatest)
        return AffineParams(scale, torch.zeros_like(low, dtype=torch.int32))
    # clamp keeps NaN, as minimum with a new tensor would, without making one.
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = _scale(high - low, greatest)
    zero = torch.round(-low / scale).nan_to_num(0.0).clamp(least, greatest)
    return AffineParams(scale, zero.to(torch.int32))


def weight_params(weight: Tensor, operand: OperandFormat) -> AffineParams:
    """Return the symmetric mapping of weights, one scale per output channel.

    Args:
        weight: float32 [O, ...].
        operand: the multiplier's operand b.

    Returns:
        scale [O] = max|w| / (2^(b-1) - 1) of each channel (1 for an all-zero channel), and the
        operand's constant zero point.
    """
    reach = operand.weight_limits[1] - operand.weight_zero
    # amax refuses an empty axis; a channel without weights is an all-zero one.
    flat = weight.detach().flatten(1)
    peak = flat.abs().amax(dim=1) if flat.shape[1] else flat.new_zeros(flat.shape[0])
    zero = torch.full((), operand.weight_zero, dtype=torch.int32, device=weight.device)
    return AffineParams(_scale(peak, reach), zero)


def _scale(span: Tensor, levels: int) -> Tensor:
    # The floor keeps a subnormal quotient from becoming a zero divisor.
    scale = (span / levels).clamp(min=_TINY)
    return torch.where(span == 0, torch.ones_like(scale), scale)


def quantize_activation(x: Tensor, params: AffineParams, operand: OperandFormat) -> Quantized:
    """Quantize activations, with straight-through gradient inside the clamp range.

    Args:
        x: float32, any shape.
        params: from `activation_params`.
        operand: the multiplier's operand a.

    Raises:
        DataError: x holds NaN, or the scale is not a finite positive number.
    """
    low, high = operand.activation_limits
    x_hat, codes, _ = fake_quantize(x, params.scale, params.zero, low, high, operand.bits)
    return Quantized(x_hat, codes, params)


def quantize_weight(
    weight: Tensor, operand: OperandFormat, *, codes_only: bool = False
) -> Quantized:
    """Quantize weights per output channel, with straight-through gradient.

    Args:
        weight: float32 [O, ...].
        operand: the multiplier's operand b.
        codes_only: no gradient is wanted; see `Quantized`.

    Raises:
        DataError: a weight is NaN or infinite.
    """
    params = weight_params(weight, operand)
    low, high = operand.weight_limits
    scale = params.scale.view(-1, *[1] * (weight.ndim - 1))
    if codes_only:
        codes = quantize_codes(weight, scale, params.zero, low, high, operand.bits)
        return Quantized(weight, codes, params)
    x_hat, codes, _ = fake_quantize(weight, scale, params.zero, low, high, operand.bits)
    return Quantized(x_hat, codes, params)


def decode(codes: Tensor, operand: OperandFormat) -> Tensor:
    """Return the values of codes, int32 of the same shape."""
    return values_of(codes, operand.bits, signed=operand.signed)


def dequantize(codes: Tensor, operand: OperandFormat, scale: Tensor, zero: Tensor | int) -> Tensor:
    """Return the numbers that codes stand for, float32; scale must broadcast to them."""
    point = (
        zero
        if isinstance(zero, Tensor)
        else torch.tensor(zero, dtype=torch.int32, device=codes.device)
    )
    numbers: Tensor = dequantize_codes(codes, scale, point, operand.bits, operand.signed)
    return numbers
