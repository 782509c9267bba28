"""Quantization as torch ops: numbers to codes and back, with the straight-through gradient.

What values and codes are is defined in `rtlgrad.nn.quantize`. On the CPU the compiled library does each
in one pass; torch's own operations, step by step, are the specification and give the same bits.
"""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ..core.errors import DataError
from .engines import (
    Damage,
    Rounding,
    dequantize_native,
    gate_native,
    native_runs,
    quantize_native,
)


def code_dtype_of(bits: int) -> torch.dtype:
    """Return the type that codes of a width are kept in: uint8 up to 8 bits, int16 beyond."""
    return torch.uint8 if bits <= 8 else torch.int16


@torch.library.custom_op("rtlgrad::fake_quantize", mutates_args=())
def fake_quantize(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize and dequantize (torch op ``rtlgrad::fake_quantize``).

    The gradient of x_hat passes to x where the rounded value was not clamped, and is 0
    elsewhere (straight-through estimator, as torch.fake_quantize_per_tensor_affine).

    Args:
        x: float32, any shape.
        scale: float32, broadcastable to x.
        zero: int32 [].
        low: the least quantized value.
        high: the greatest quantized value.
        bits: the operand's width.

    Returns:
        x_hat float32, codes (uint8 up to 8 bits, int16 beyond), and the bool mask of what was
        not clamped, each of x's shape.

    Raises:
        DataError: x holds NaN, or a scale is not a finite positive number.
    """
    x = x.contiguous()
    x_hat, inside = torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)
    codes = torch.empty_like(x, dtype=code_dtype_of(bits))
    rounding = Rounding(int(zero), low, high, bits)
    if not _by_library(x, scale, rounding, codes, x_hat, inside):
        return _step_by_step(x, scale, zero, low, high, bits)
    return x_hat, codes, inside


@torch.library.custom_op("rtlgrad::quantize_codes", mutates_args=())
def quantize_codes(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> Tensor:
    """Return the codes of `fake_quantize` alone, for where no gradient is wanted.

    Raises:
        DataError: as `fake_quantize`.
    """
    x = x.contiguous()
    codes = torch.empty_like(x, dtype=code_dtype_of(bits))
    if not _by_library(x, scale, Rounding(int(zero), low, high, bits), codes, None, None):
        return _step_by_step(x, scale, zero, low, high, bits)[1]
    return codes


@quantize_codes.register_fake
def _(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int) -> Tensor:
    del scale, zero, low, high
    return x.new_empty(x.shape, dtype=code_dtype_of(bits))


@torch.library.custom_op("rtlgrad::dequantize_codes", mutates_args=())
def dequantize_codes(codes: Tensor, scale: Tensor, zero: Tensor, bits: int, signed: bool) -> Tensor:
    """Return the numbers that codes stand for, ``float32(value - zero) * scale``.

    Args:
        codes: uint8 or int16, any shape.
        scale: float32, broadcastable to the codes.
        zero: int32 [].
        bits: the operand's width.
        signed: whether codes are two's complement.

    Returns:
        float32 of the codes' shape.
    """
    if not (codes.is_cpu and _serves(codes, scale) and native_runs()):
        return (values_of(codes, bits, signed=signed) - zero).to(torch.float32) * scale
    codes = codes.contiguous()
    numbers = torch.empty_like(codes, dtype=torch.float32)
    dequantize_native(
        *(codes.numpy(), scale.reshape(-1).contiguous().numpy(), int(zero), bits, numbers.numpy()),
        signed=signed,
        threads=torch.get_num_threads(),
    )
    return numbers


@dequantize_codes.register_fake
def _(codes: Tensor, scale: Tensor, zero: Tensor, bits: int, signed: bool) -> Tensor:
    del scale, zero, bits, signed
    return codes.new_empty(codes.shape, dtype=torch.float32)


@torch.library.custom_op("rtlgrad::gate_gradient", mutates_args=())
def gate_gradient(grad: Tensor, inside: Tensor) -> Tensor:
    """Return ``grad * inside``.

    Args:
        grad: float32, any shape.
        inside: bool of its shape.
    """
    if not (grad.is_cpu and grad.dtype == torch.float32 and native_runs()):
        return grad * inside
    grad, inside = grad.contiguous(), inside.contiguous()
    gated = torch.empty_like(grad)
    gate_native(grad.numpy(), inside.numpy(), gated.numpy(), threads=torch.get_num_threads())
    return gated


@gate_gradient.register_fake
def _(grad: Tensor, inside: Tensor) -> Tensor:
    del inside
    return grad.new_empty(grad.shape)


def values_of(codes: Tensor, bits: int, *, signed: bool) -> Tensor:
    """Return the values of codes, int32 of the same shape."""
    values = codes.to(torch.int32)
    if signed:
        half = 1 << (bits - 1)
        values = ((values + half) & ((1 << bits) - 1)) - half
    return values


def _serves(x: Tensor, scale: Tensor) -> bool:
    """Say whether the library knows such scales: one for all, or one to each row."""
    if scale.dtype != torch.float32:
        return False
    per_row = scale.numel() == x.shape[0] == scale.shape[0] if x.ndim and scale.ndim else False
    return scale.ndim == 0 or per_row


def _by_library(
    x: Tensor,
    scale: Tensor,
    rounding: Rounding,
    codes: Tensor,
    x_hat: Tensor | None,
    inside: Tensor | None,
) -> bool:
    """Quantize by the compiled library; say whether that can be done here.

    Raises:
        DataError: x holds NaN, or a scale is not a finite positive number.
    """
    if not (x.is_cpu and x.dtype == torch.float32 and _serves(x, scale) and native_runs()):
        return False
    damage = quantize_native(
        *(x.numpy(), scale.reshape(-1).contiguous().numpy(), rounding, codes.numpy()),
        x_hat if x_hat is None else x_hat.numpy(),
        inside if inside is None else inside.numpy(),
        threads=torch.get_num_threads(),
    )
    if damage is Damage.SCALE:
        refuse_bad_scale(scale)
    if damage is Damage.NAN:
        refuse_nan(x)
    return True


def _step_by_step(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `fake_quantize` does, by torch's operations: the specification."""
    refuse_bad_scale(scale)
    rounded = torch.div(x, scale).round_().add_(zero)
    values = rounded.clamp(low, high)
    inside = rounded == values
    # The sum of clamped values is NaN only if one of them is, and costs a single pass.
    if bool(values.sum().isnan()):
        refuse_nan(x)
    dtype = code_dtype_of(bits)
    if low < 0:  # two's complement
        codes = values.to(torch.int16).bitwise_and_((1 << bits) - 1).to(dtype)
    else:
        codes = values.to(dtype)
    return values.sub_(zero).mul_(scale), codes, inside


def refuse_bad_scale(scale: Tensor) -> None:
    """Raise DataError unless every scale is a finite positive number."""
    if bool((torch.isfinite(scale) & (scale > 0)).all()):
        return
    raise DataError(
        "cannot quantize: a scale is not a finite positive number",
        got=scale.flatten()[:8].tolist(),
        expected="finite positive scales",
        remedy="an activation range that was never observed: run calibrate(model, batches), or "
        "train first; otherwise look for NaN or infinity in weights and inputs",
    )


def refuse_nan(x: Tensor) -> NoReturn:
    """Raise DataError for a tensor that holds NaN."""
    raise DataError(
        "cannot quantize: the tensor holds NaN",
        got=f"{int(x.isnan().sum())} NaN among {x.numel()} numbers",
        expected="numbers",
        remedy="look for a diverged training run (learning rate) or a damaged input",
    )


@fake_quantize.register_fake
def _(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> tuple[Tensor, Tensor, Tensor]:
    del scale, zero, low, high
    return (
        x.new_empty(x.shape),
        x.new_empty(x.shape, dtype=code_dtype_of(bits)),
        x.new_empty(x.shape, dtype=torch.bool),
    )


def _save_mask(ctx: object, inputs: object, output: tuple[Tensor, Tensor, Tensor]) -> None:
    del inputs
    ctx.save_for_backward(output[2])  # type: ignore[attr-defined]


def _straight_through(
    ctx: object, grad: Tensor, *_: object
) -> tuple[Tensor, None, None, None, None, None]:
    (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
    return gate_gradient(grad, inside), None, None, None, None, None


fake_quantize.register_autograd(_straight_through, setup_context=_save_mask)
