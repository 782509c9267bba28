"""Layers' products as differentiable torch ops: codes and scales in, float32 out.

The forward reads codes alone; x_hat and w_hat are there to carry the gradient, and backward makes
them anew from the codes, so neither is kept in between. The gradient is straight-through unless
another estimate is asked for (`rtlgrad.nn.gradients`).

In every op a = activation = row of the table, b = weight = column.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - torch reads the annotations of ops
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .corrections import weight_terms, wide_enough, window_sums
from .engines import Conv2dGeometry
from .fused import fused_conv2d
from .gradients import approx_backward
from .quantize import OperandFormat, decode, dequantize
from .table_ops import conv2d_shape, geometry_of
from .table_sums import conv2d_sums, linear_sums


@torch.library.custom_op("rtlgrad::approx_linear", mutates_args=())
def approx_linear(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    """Return ``x_hat @ w_hat.T`` with every product taken from the table.

    ``y = float32(sum_k(T[x, w] - x*zw - w*zx + zx*zw)) * (x_scale * w_scale)``, the sum in
    integers (ALWANN: Mrazek et al., ICCAD 2019), x and w the values of the codes.

    Args:
        x_hat: float32 [M, K], what x_codes stand for; takes the gradient ``grad @ w_hat``.
        w_hat: float32 [O, K], what w_codes stand for; takes the gradient ``grad.T @ x_hat``.
        x_codes: activation codes, uint8 or int16 [M, K].
        w_codes: weight codes, uint8 or int16 [O, K].
        table: int32 [2^wa, 2^wb].
        x_scale: float32 [].
        x_zero: int32 [], the zero point as a value.
        w_scale: float32 [O].
        w_zero: the weights' zero point as a value.
        signed: whether the codes of (activation, weight) are two's complement.
        engine: an engine's name, or "auto".
        gradient: how backward estimates the products' gradients; see `rtlgrad.nn.gradients`.
        accumulator: what keeps the sums of products; see `rtlgrad.nn.accumulators`.

    Returns:
        float32 [M, O].

    Raises:
        OverflowRiskError, EngineError, ConfigError: as `table_matmul`.
    """
    del x_hat, w_hat, gradient
    a, b = _formats(table, signed)
    zero = int(x_zero)
    # A matrix product is a convolution of 1x1 images.
    images, kernels = x_codes[:, :, None, None], w_codes[:, :, None, None]
    factors, point = x_scale * w_scale, Conv2dGeometry()
    whole = fused_conv2d(
        *(images, kernels, table, (a, b), (zero, w_zero), factors, point, engine, accumulator)
    )
    if whole is not None:
        return whole.flatten(1)
    acc = linear_sums(x_codes, w_codes, table, engine, accumulator)
    acc = wide_enough(acc, w_codes, table, a, b, zero, w_zero)
    acc -= weight_terms(w_codes, b, zero, w_zero).to(acc.dtype)
    if w_zero:
        acc -= w_zero * decode(x_codes, a).sum(dim=1, keepdim=True, dtype=acc.dtype)
    return acc.to(torch.float32).mul_(factors)


@approx_linear.register_fake
def _(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    del x_hat, w_hat, table, x_scale, x_zero, w_zero, signed, engine, gradient, accumulator
    return w_scale.new_empty((x_codes.shape[0], w_codes.shape[0]))


@torch.library.custom_op("rtlgrad::approx_conv2d", mutates_args=())
def approx_conv2d(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    """Return the convolution of x_hat with w_hat, every product taken from the table.

    Formula and operands are those of `approx_linear`; taps outside the image have the value
    x_zero and go through the table like all others.

    Args:
        x_hat: float32 [B, C, H, W]; takes the gradient of the exact convolution.
        w_hat: float32 [O, C/groups, kh, kw]; takes the gradient of the exact convolution.
        x_codes: activation codes, uint8 or int16 [B, C, H, W].
        w_codes: weight codes, uint8 or int16 [O, C/groups, kh, kw].
        table: int32 [2^wa, 2^wb].
        x_scale: float32 [].
        x_zero: int32 [], the zero point as a value.
        w_scale: float32 [O].
        w_zero: the weights' zero point as a value.
        signed: whether the codes of (activation, weight) are two's complement.
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
        engine: an engine's name, or "auto".
        gradient: how backward estimates the products' gradients; see `rtlgrad.nn.gradients`.
        accumulator: what keeps the sums of products; see `rtlgrad.nn.accumulators`.

    Returns:
        float32 [B, O, H', W'].

    Raises:
        OverflowRiskError, EngineError, ConfigError: as `table_conv2d`.
    """
    del x_hat, w_hat, gradient
    a, b = _formats(table, signed)
    # In two's complement the zero point is 0, so its value is its code in every format.
    zero, factors = int(x_zero), x_scale * w_scale
    shape = geometry_of(stride, padding, dilation, groups, zero)
    whole = fused_conv2d(
        *(x_codes, w_codes, table, (a, b), (zero, w_zero), factors, shape, engine, accumulator)
    )
    if whole is not None:
        return whole
    geometry = (stride, padding, dilation, groups)
    acc = conv2d_sums(x_codes, w_codes, table, x_zero, *geometry, engine, accumulator)
    acc = wide_enough(acc, w_codes, table, a, b, zero, w_zero)
    acc -= weight_terms(w_codes, b, zero, w_zero).to(acc.dtype).view(1, -1, 1, 1)
    if w_zero:
        images, outputs, height, width = acc.shape
        split = acc.view(images, groups, outputs // groups, height, width)
        windows = window_sums(
            decode(x_codes, a), zero, w_codes.shape[2:], stride, padding, dilation, groups
        )
        split -= w_zero * windows.to(acc.dtype).unsqueeze(2)
    return acc.to(torch.float32).mul_(factors.view(1, -1, 1, 1))


@approx_conv2d.register_fake
def _(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    del x_hat, w_hat, table, x_scale, x_zero, w_zero, signed, groups, engine, gradient
    del accumulator
    return w_scale.new_empty(conv2d_shape(x_codes, w_codes, stride, padding, dilation))


def _save_operands(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    _, _, x_codes, w_codes, table, x_scale, x_zero, w_scale, w_zero, signed, *rest = inputs
    ctx.save_for_backward(x_codes, w_codes, table, x_scale, x_zero, w_scale)
    ctx.signed, ctx.w_zero = signed, w_zero
    *ctx.geometry, ctx.engine, ctx.gradient, _ = rest


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "an estimated gradient has no derivative of its own (create_graph=True)"
        )


def _operands(ctx: Any) -> tuple[Tensor, Tensor]:
    x_codes, w_codes, table, x_scale, x_zero, w_scale = ctx.saved_tensors
    a, b = _formats(table, ctx.signed)
    per_output = w_scale.view(-1, *[1] * (w_codes.ndim - 1))
    return (
        dequantize(x_codes, a, x_scale, x_zero),
        dequantize(w_codes, b, per_output, ctx.w_zero),
    )


def _estimated(ctx: Any, grad: Tensor, geometry: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Return the gradients of x_hat and w_hat by another estimate than straight-through."""
    x_codes, w_codes, *others = ctx.saved_tensors
    linear = x_codes.ndim == 2
    if linear:  # a matrix product is a convolution of 1x1 images
        grad, x_codes, w_codes = (t[:, :, None, None] for t in (grad, x_codes, w_codes))
    grads = approx_backward(
        *(grad.contiguous(), x_codes, w_codes, *others, ctx.w_zero, ctx.signed),
        *(*geometry, ctx.gradient, ctx.engine),
    )
    grad_x, grad_w = (g.flatten(1) for g in grads) if linear else grads
    return grad_x, grad_w


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_second_derivative()
    need_x, need_w, *others = ctx.needs_input_grad
    nothing = [None for _ in others]
    if ctx.gradient != "ste":
        grad_x, grad_w = _estimated(ctx, grad, ([1, 1], [0, 0, 0, 0], [1, 1], 1))
        return grad_x if need_x else None, grad_w if need_w else None, *nothing
    x_hat, w_hat = _operands(ctx)
    with torch.autocast(grad.device.type, enabled=False):
        exact_x = grad @ w_hat if need_x else None
        exact_w = grad.t() @ x_hat if need_w else None
    return exact_x, exact_w, *nothing


def _conv2d_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_second_derivative()
    need_x, need_w, *others = ctx.needs_input_grad
    nothing = [None for _ in others]
    if ctx.gradient != "ste":
        grad_x, grad_w = _estimated(ctx, grad, ctx.geometry)
        return grad_x if need_x else None, grad_w if need_w else None, *nothing
    x_hat, w_hat = _operands(ctx)
    stride, (top, bottom, left, right), dilation, groups = ctx.geometry
    # The exact op knows symmetric padding alone; zeros are what padded taps stand for.
    symmetric = top == bottom and left == right
    if not symmetric:
        x_hat = functional.pad(x_hat, (left, right, top, bottom))
    grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
        grad,
        x_hat,
        w_hat,
        None,
        stride,
        [top, left] if symmetric else [0, 0],
        dilation,
        False,
        [0, 0],
        groups,
        [need_x, need_w, False],
    )
    if need_x and not symmetric:
        grad_x = functional.pad(grad_x, (-left, -right, -top, -bottom))
    return grad_x if need_x else None, grad_w if need_w else None, *nothing


approx_linear.register_autograd(_linear_backward, setup_context=_save_operands)
approx_conv2d.register_autograd(_conv2d_backward, setup_context=_save_operands)


def _formats(table: Tensor, signed: Sequence[bool]) -> tuple[OperandFormat, OperandFormat]:
    rows, columns = table.shape
    return (
        OperandFormat(int(rows).bit_length() - 1, signed[0]),
        OperandFormat(int(columns).bit_length() - 1, signed[1]),
    )
