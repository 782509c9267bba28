"""Layers' products as differentiable torch ops: codes and scales in, float32 out.

The forward reads codes alone; x_hat and w_hat are there to carry the gradient, and backward makes
them anew from the codes, so neither is kept in between. The gradient is straight-through unless
another estimate is asked for (`rtlgrad.nn.gradients`).

In every op a = activation = row of the table, b = weight = column.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .corrections import weight_terms, wide_enough, window_sums
from .exact_convolutions import exact_conv2d_backward
from .fused import fused_conv2d
from .gradients import approx_backward
from .op_arguments import (
    CHOICES,
    GEOMETRY,
    OPERANDS,
    Choices,
    Geometry,
    Operands,
    refuse_second_derivative,
    take,
)
from .quantize import decode, dequantize
from .table_sums import conv2d_sums, linear_sums

_CARRIERS = "Tensor x_hat, Tensor w_hat"


@torch.library.custom_op(
    "rtlgrad::approx_linear",
    mutates_args=(),
    schema=f"({_CARRIERS}, {OPERANDS}, {CHOICES}) -> Tensor",
)
def approx_linear(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    """Return ``x_hat @ w_hat.T`` with every product taken from the table.

    ``y = float32(sum_k(T[x, w] - x*zw - w*zx + zx*zw)) * (x_scale * w_scale)``, the sum in
    integers (ALWANN: Mrazek et al., ICCAD 2019), x and w the values of the codes.

    Args:
        x_hat: float32 [M, K], what x_codes stand for; takes the gradient ``grad @ w_hat``.
        w_hat: float32 [O, K], what w_codes stand for; takes the gradient ``grad.T @ x_hat``.
        *arguments: `Operands`, then `Choices`.

    Returns:
        float32 [M, O].

    Raises:
        OverflowRiskError, EngineError, ConfigError: as `table_matmul`.
    """
    del x_hat, w_hat
    given, choices = take(arguments, Operands, Choices)
    (a, b), zero, w_zero = given.formats, int(given.x_zero), given.w_zero
    factors = given.x_scale * given.w_scale
    # A matrix product is a convolution of 1x1 images.
    images, kernels = (codes[:, :, None, None] for codes in (given.x_codes, given.w_codes))
    whole = fused_conv2d(
        *(images, kernels, given.table, (a, b), (zero, w_zero), factors),
        *(Geometry().for_engine(), choices.engine, choices.accumulator),
    )
    if whole is not None:
        return whole.flatten(1)
    acc = linear_sums(
        given.x_codes, given.w_codes, given.table, choices.engine, choices.accumulator
    )
    acc = wide_enough(acc, given.w_codes, given.table, a, b, zero, w_zero)
    acc -= weight_terms(given.w_codes, b, zero, w_zero).to(acc.dtype)
    if w_zero:
        acc -= w_zero * decode(given.x_codes, a).sum(dim=1, keepdim=True, dtype=acc.dtype)
    y: Tensor = acc.to(torch.float32).mul_(factors)
    return y


@approx_linear.register_fake
def _(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    del x_hat, w_hat
    given: Operands = take(arguments, Operands)[0]
    return given.w_scale.new_empty((given.x_codes.shape[0], given.w_codes.shape[0]))


@torch.library.custom_op(
    "rtlgrad::approx_conv2d",
    mutates_args=(),
    schema=f"({_CARRIERS}, {OPERANDS}, {GEOMETRY}, {CHOICES}) -> Tensor",
)
def approx_conv2d(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    """Return the convolution of x_hat with w_hat, every product taken from the table.

    The formula is that of `approx_linear`, with the sum over all taps. Taps outside the image hold
    the code of 0.0, which is the activations' zero point, and are looked up like all others.

    Args:
        x_hat: float32 [B, C, H, W], what x_codes stand for; takes the exact op's gradient.
        w_hat: float32 [O, C/groups, kh, kw], what w_codes stand for; takes the exact op's gradient.
        *arguments: `Operands`, then `Geometry`, then `Choices`.

    Returns:
        float32 [B, O, H', W'].

    Raises:
        OverflowRiskError, EngineError, ConfigError: as `table_conv2d`.
    """
    del x_hat, w_hat
    given, geometry, choices = take(arguments, Operands, Geometry, Choices)
    # In two's complement the zero point is 0, so its value is its code in every format.
    (a, b), zero, w_zero = given.formats, int(given.x_zero), given.w_zero
    x_codes, w_codes, table = given.x_codes, given.w_codes, given.table
    factors = given.x_scale * given.w_scale
    whole = fused_conv2d(
        *(x_codes, w_codes, table, (a, b), (zero, w_zero), factors),
        *(geometry.for_engine(zero), choices.engine, choices.accumulator),
    )
    if whole is not None:
        return whole
    acc = conv2d_sums(
        x_codes, w_codes, table, given.x_zero, geometry, choices.engine, choices.accumulator
    )
    acc = wide_enough(acc, w_codes, table, a, b, zero, w_zero)
    acc -= weight_terms(w_codes, b, zero, w_zero).to(acc.dtype).view(1, -1, 1, 1)
    if w_zero:
        images, outputs, height, width = acc.shape
        groups = geometry.groups
        split = acc.view(images, groups, outputs // groups, height, width)
        windows = window_sums(decode(x_codes, a), zero, w_codes.shape[2:], *geometry)
        split -= w_zero * windows.to(acc.dtype).unsqueeze(2)
    y: Tensor = acc.to(torch.float32).mul_(factors.view(1, -1, 1, 1))
    return y


@approx_conv2d.register_fake
def _(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    del x_hat, w_hat
    given, geometry = take(arguments, Operands, Geometry)
    shape = geometry.output_shape(given.x_codes, given.w_codes)
    y: Tensor = given.w_scale.new_empty(shape)
    return y


def _save_operands(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    given, rest = Operands(*inputs[2:10]), inputs[10:]
    ctx.save_for_backward(*given[:6])
    ctx.constants = given[6:]
    ctx.geometry = Geometry(*rest[:-3])
    ctx.choices = Choices(*rest[-3:])


def _operands(ctx: Any) -> Operands:
    return Operands(*ctx.saved_tensors, *ctx.constants)


def _dequantized(given: Operands) -> tuple[Tensor, Tensor]:
    a, b = given.formats
    per_output = given.w_scale.view(-1, *[1] * (given.w_codes.ndim - 1))
    return (
        dequantize(given.x_codes, a, given.x_scale, given.x_zero),
        dequantize(given.w_codes, b, per_output, given.w_zero),
    )


def _estimated(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x_hat and w_hat by another estimate than straight-through."""
    given, choices = _operands(ctx), ctx.choices
    linear = given.x_codes.ndim == 2
    if linear:  # a matrix product is a convolution of 1x1 images
        grad, x_codes, w_codes = (t[:, :, None, None] for t in (grad, given.x_codes, given.w_codes))
        given = given._replace(x_codes=x_codes, w_codes=w_codes)
    grads = approx_backward(
        grad.contiguous(), *given, *ctx.geometry, choices.gradient, choices.engine
    )
    grad_x, grad_w = (g.flatten(1) for g in grads) if linear else grads
    return grad_x, grad_w


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    refuse_second_derivative()
    need_x, need_w, *others = ctx.needs_input_grad
    nothing = [None for _ in others]
    if ctx.choices.gradient != "ste":
        grad_x, grad_w = _estimated(ctx, grad)
        return grad_x if need_x else None, grad_w if need_w else None, *nothing
    x_hat, w_hat = _dequantized(_operands(ctx))
    with torch.autocast(grad.device.type, enabled=False):
        exact_x = grad @ w_hat if need_x else None
        exact_w = grad.t() @ x_hat if need_w else None
    return exact_x, exact_w, *nothing


def _conv2d_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    refuse_second_derivative()
    need_x, need_w, *others = ctx.needs_input_grad
    nothing = [None for _ in others]
    if ctx.choices.gradient != "ste":
        grad_x, grad_w = _estimated(ctx, grad)
        return grad_x if need_x else None, grad_w if need_w else None, *nothing
    x_hat, w_hat = _dequantized(_operands(ctx))
    grads = exact_conv2d_backward(grad, x_hat, w_hat, ctx.geometry, (need_x, need_w))
    return *grads, *nothing


approx_linear.register_autograd(_linear_backward, setup_context=_save_operands)
approx_conv2d.register_autograd(_conv2d_backward, setup_context=_save_operands)
