"""Products by a mantissa table as torch ops: float32 in, float32 out, in all three products of training.

What a product and a sum are stands in `rtlgrad.nn.engines.mantissa_types`. In the forward and in
both gradients the operand in the activation's role (row of the table) and the one in the weight's
(column) are: x and w; the output's gradient and w; x and the output's gradient (J. Gong et al.,
ApproxTrain, IEEE TCAD 2023: all products of training are approximate). Each of the three can be
exact instead, torch's own in float32.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - torch reads the annotations of ops
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .engines import Conv2dGeometry, resolve_engine
from .mantissa_tables import mantissa_lookup_of
from .table_ops import conv2d_shape


@torch.library.custom_op("rtlgrad::mantissa_matmul", mutates_args=())
def mantissa_matmul(a: Tensor, b: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    """Return ``out[m, n] = sum_k P(a[m, k], b[k, n])``, without gradient.

    Args:
        a: float32 [M, K], in the activation's role; may be a transposed view, as may b.
        b: float32 [K, N], in the weight's role.
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        engine: an engine's name, or "auto".

    Returns:
        float32 [M, N].

    Raises:
        EngineError: the engine cannot run here.
        ConfigError: operands that do not fit each other.
    """
    chosen = resolve_engine(engine, device=a.device.type).mantissa
    threads = torch.get_num_threads()
    out = chosen.matmul(a.numpy(), b.numpy(), mantissa_lookup_of(table), threads=threads)
    return torch.from_numpy(out)


@mantissa_matmul.register_fake
def _(a: Tensor, b: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    del table, engine
    return a.new_empty((a.shape[0], b.shape[1]))


@torch.library.custom_op("rtlgrad::mantissa_conv2d_input_grad", mutates_args=())
def mantissa_conv2d_input_grad(
    grad: Tensor,
    w: Tensor,
    table: Tensor,
    image: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """Return the gradient of `mantissa_conv2d` by x, every product ``P(grad, w)``.

    Args:
        grad: float32 [B, O, H', W'].
        w: float32 [O, C/groups, kh, kw].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        image: (height, width) of x.
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
        engine: an engine's name, or "auto".

    Returns:
        float32 [B, C, H, W].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    chosen = resolve_engine(engine, device=grad.device.type).mantissa
    out = chosen.conv2d_input_grad(
        grad.numpy(),
        w.numpy(),
        mantissa_lookup_of(table),
        _geometry(stride, padding, dilation, groups),
        (image[0], image[1]),
        threads=torch.get_num_threads(),
    )
    return torch.from_numpy(out)


@mantissa_conv2d_input_grad.register_fake
def _(
    grad: Tensor,
    w: Tensor,
    table: Tensor,
    image: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    del table, stride, padding, dilation, engine
    return grad.new_empty((grad.shape[0], w.shape[1] * groups, *image))


@torch.library.custom_op("rtlgrad::mantissa_conv2d_weight_grad", mutates_args=())
def mantissa_conv2d_weight_grad(
    x: Tensor,
    grad: Tensor,
    table: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """Return the gradient of `mantissa_conv2d` by w, every product ``P(x, grad)``.

    Args:
        x: float32 [B, C, H, W].
        grad: float32 [B, O, H', W'].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        kernel: (height, width) of w.
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
        engine: an engine's name, or "auto".

    Returns:
        float32 [O, C/groups, kh, kw].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    chosen = resolve_engine(engine, device=x.device.type).mantissa
    out = chosen.conv2d_weight_grad(
        x.numpy(),
        grad.numpy(),
        mantissa_lookup_of(table),
        _geometry(stride, padding, dilation, groups),
        (kernel[0], kernel[1]),
        threads=torch.get_num_threads(),
    )
    return torch.from_numpy(out)


@mantissa_conv2d_weight_grad.register_fake
def _(
    x: Tensor,
    grad: Tensor,
    table: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    del table, stride, padding, dilation, engine
    return x.new_empty((grad.shape[1], x.shape[1] // groups, *kernel))


# ---- differentiable -----------------------------------------------------------------------------


@torch.library.custom_op("rtlgrad::mantissa_linear", mutates_args=())
def mantissa_linear(
    x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], engine: str = "auto"
) -> Tensor:
    """Return ``x @ w.T``, every product by the table where it is to be approximate.

    Args:
        x: float32 [M, K].
        w: float32 [O, K].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        approximate: whether (forward, gradient of x, gradient of w) go through the table.
        engine: an engine's name, or "auto".

    Returns:
        float32 [M, O].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    if approximate[0]:
        y: Tensor = mantissa_matmul(x, w.t(), table, engine)
        return y
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x, w)


@mantissa_linear.register_fake
def _(
    x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], engine: str = "auto"
) -> Tensor:
    del table, approximate, engine
    return x.new_empty((x.shape[0], w.shape[0]))


@torch.library.custom_op("rtlgrad::mantissa_conv2d", mutates_args=())
def mantissa_conv2d(
    x: Tensor,
    w: Tensor,
    table: Tensor,
    approximate: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """Return the convolution of x with w, every product by the table where it is to be approximate.

    Args:
        x: float32 [B, C, H, W].
        w: float32 [O, C/groups, kh, kw].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        approximate: whether (forward, gradient of x, gradient of w) go through the table.
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right), with +0.0.
        dilation: (vertical, horizontal).
        groups: channel groups.
        engine: an engine's name, or "auto".

    Returns:
        float32 [B, O, H', W'].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    if approximate[0]:
        chosen = resolve_engine(engine, device=x.device.type).mantissa
        geometry, lookup = (
            _geometry(stride, padding, dilation, groups),
            mantissa_lookup_of(table),
        )
        threads = torch.get_num_threads()
        return torch.from_numpy(
            chosen.conv2d(x.numpy(), w.numpy(), lookup, geometry, threads=threads)
        )
    padded, rest = _padded(x, padding)
    with torch.autocast(x.device.type, enabled=False):
        return functional.conv2d(padded, w, None, stride, rest, dilation, groups)


@mantissa_conv2d.register_fake
def _(
    x: Tensor,
    w: Tensor,
    table: Tensor,
    approximate: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    del table, approximate, groups, engine
    return x.new_empty(conv2d_shape(x, w, stride, padding, dilation))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    x, w, table, approximate, *rest = inputs
    ctx.save_for_backward(x, w, table)
    ctx.approximate = approximate
    ctx.geometry, ctx.engine = rest[:-1], rest[-1]


def _refuse_second_derivative() -> None:
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "gradients by a mantissa table have no derivative of their own (create_graph=True)"
        )


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_second_derivative()
    x, w, table = ctx.saved_tensors
    need_x, need_w, *others = ctx.needs_input_grad
    _, by_table_x, by_table_w = ctx.approximate
    grad_x = grad_w = None
    with torch.autocast(grad.device.type, enabled=False):
        if need_x:
            grad_x = mantissa_matmul(grad, w, table, ctx.engine) if by_table_x else grad @ w
        if need_w and by_table_w:
            grad_w = mantissa_matmul(x.t(), grad, table, ctx.engine).t()
        elif need_w:
            grad_w = grad.t() @ x
    return grad_x, grad_w, *[None for _ in others]


def _conv2d_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    _refuse_second_derivative()
    x, w, table = ctx.saved_tensors
    need_x, need_w, *others = ctx.needs_input_grad
    _, by_table_x, by_table_w = ctx.approximate
    geometry, engine = ctx.geometry, ctx.engine
    exact = [need_x and not by_table_x, need_w and not by_table_w, False]
    grad_x, grad_w = _exact_backward(grad, x, w, geometry, exact) if any(exact) else (None, None)
    if need_x and by_table_x:
        image = x.shape[2:]
        grad_x = mantissa_conv2d_input_grad(grad, w, table, image, *geometry, engine)
    if need_w and by_table_w:
        kernel = w.shape[2:]
        grad_w = mantissa_conv2d_weight_grad(x, grad, table, kernel, *geometry, engine)
    return grad_x, grad_w, *[None for _ in others]


def _exact_backward(
    grad: Tensor, x: Tensor, w: Tensor, geometry: Sequence[Any], wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = geometry
    padded, rest = _padded(x, padding)
    grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
        grad, padded, w, None, stride, rest, dilation, False, [0, 0], groups, wanted
    )
    if wanted[0] and padded is not x:
        top, bottom, left, right = padding
        grad_x = functional.pad(grad_x, (-left, -right, -top, -bottom))
    return grad_x if wanted[0] else None, grad_w if wanted[1] else None


def _padded(x: Tensor, padding: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Return x and the symmetric padding that is left to the exact op, which knows no other."""
    top, bottom, left, right = padding
    if top == bottom and left == right:
        return x, [top, left]
    return functional.pad(x, (left, right, top, bottom)), [0, 0]


mantissa_linear.register_autograd(_linear_backward, setup_context=_save)
mantissa_conv2d.register_autograd(_conv2d_backward, setup_context=_save)


def _geometry(
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Conv2dGeometry:
    top, bottom, left, right = padding
    return Conv2dGeometry(
        stride=(stride[0], stride[1]),
        padding=(top, bottom, left, right),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )
