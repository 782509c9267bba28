"""Products by a mantissa table as torch ops: float32 in, float32 out, in all three products of training.

What a product and a sum are stands in `rtlgrad.nn.engines.mantissa_types`. In the forward and in
both gradients the operand in the activation's role (row of the table) and the one in the weight's
(column) are: x and w; the output's gradient and w; x and the output's gradient (J. Gong et al.,
ApproxTrain, IEEE TCAD 2023: all products of training are approximate). Each of the three can be
exact instead, torch's own in float32.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - torch reads the annotations of ops
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .engines import resolve_engine
from .exact_convolutions import exact_conv2d, exact_conv2d_backward
from .mantissa_tables import mantissa_lookup_of
from .op_arguments import ENGINE, GEOMETRY, Geometry, refuse_second_derivative, take
from .table_ops import layer_threads


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
    threads = layer_threads()
    out = chosen.matmul(a.numpy(), b.numpy(), mantissa_lookup_of(table), threads=threads)
    return torch.from_numpy(out)


@mantissa_matmul.register_fake
def _(a: Tensor, b: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    del table, engine
    return a.new_empty((a.shape[0], b.shape[1]))


@torch.library.custom_op(
    "rtlgrad::mantissa_conv2d_input_grad",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor w, Tensor table, SymInt[] image, {GEOMETRY}, {ENGINE}) -> Tensor",
)
def mantissa_conv2d_input_grad(
    grad: Tensor, w: Tensor, table: Tensor, image: Sequence[int], *arguments: Any
) -> Tensor:
    """Return the gradient of `mantissa_conv2d` by x, every product ``P(grad, w)``.

    Args:
        grad: float32 [B, O, H', W'].
        w: float32 [O, C/groups, kh, kw].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        image: (height, width) of x.
        *arguments: `Geometry`, then an engine's name, or "auto".

    Returns:
        float32 [B, C, H, W].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    geometry, (engine,) = take(arguments, Geometry, _Engine)
    chosen = resolve_engine(engine, device=grad.device.type).mantissa
    out = chosen.conv2d_input_grad(
        *(grad.numpy(), w.numpy(), mantissa_lookup_of(table)),
        *(geometry.for_engine(), (image[0], image[1])),
        threads=layer_threads(),
    )
    return torch.from_numpy(out)


@mantissa_conv2d_input_grad.register_fake
def _(grad: Tensor, w: Tensor, table: Tensor, image: Sequence[int], *arguments: Any) -> Tensor:
    del table
    groups = take(arguments, Geometry)[0].groups
    return grad.new_empty((grad.shape[0], w.shape[1] * groups, *image))


@torch.library.custom_op(
    "rtlgrad::mantissa_conv2d_weight_grad",
    mutates_args=(),
    schema=f"(Tensor x, Tensor grad, Tensor table, SymInt[] kernel, {GEOMETRY}, {ENGINE}) -> Tensor",
)
def mantissa_conv2d_weight_grad(
    x: Tensor, grad: Tensor, table: Tensor, kernel: Sequence[int], *arguments: Any
) -> Tensor:
    """Return the gradient of `mantissa_conv2d` by w, every product ``P(x, grad)``.

    Args:
        x: float32 [B, C, H, W].
        grad: float32 [B, O, H', W'].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        kernel: (height, width) of w.
        *arguments: `Geometry`, then an engine's name, or "auto".

    Returns:
        float32 [O, C/groups, kh, kw].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    geometry, (engine,) = take(arguments, Geometry, _Engine)
    chosen = resolve_engine(engine, device=x.device.type).mantissa
    out = chosen.conv2d_weight_grad(
        *(x.numpy(), grad.numpy(), mantissa_lookup_of(table)),
        *(geometry.for_engine(), (kernel[0], kernel[1])),
        threads=layer_threads(),
    )
    return torch.from_numpy(out)


@mantissa_conv2d_weight_grad.register_fake
def _(x: Tensor, grad: Tensor, table: Tensor, kernel: Sequence[int], *arguments: Any) -> Tensor:
    del table
    groups = take(arguments, Geometry)[0].groups
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


@torch.library.custom_op(
    "rtlgrad::mantissa_conv2d",
    mutates_args=(),
    schema=f"(Tensor x, Tensor w, Tensor table, bool[] approximate, {GEOMETRY}, {ENGINE}) -> Tensor",
)
def mantissa_conv2d(
    x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], *arguments: Any
) -> Tensor:
    """Return the convolution of x with w, every product by the table where it is to be approximate.

    Args:
        x: float32 [B, C, H, W].
        w: float32 [O, C/groups, kh, kw].
        table: int16 [2^m, 2^m], from `load_mantissa_table`.
        approximate: whether (forward, gradient of x, gradient of w) go through the table.
        *arguments: `Geometry`, whose padding is +0.0, then an engine's name, or "auto".

    Returns:
        float32 [B, O, H', W'].

    Raises:
        EngineError, ConfigError: as `mantissa_matmul`.
    """
    geometry, (engine,) = take(arguments, Geometry, _Engine)
    if not approximate[0]:
        return exact_conv2d(x, w, geometry)
    chosen = resolve_engine(engine, device=x.device.type).mantissa
    operands = (x.numpy(), w.numpy(), mantissa_lookup_of(table), geometry.for_engine())
    return torch.from_numpy(chosen.conv2d(*operands, threads=layer_threads()))


@mantissa_conv2d.register_fake
def _(x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], *arguments: Any) -> Tensor:
    del table, approximate
    return x.new_empty(take(arguments, Geometry)[0].output_shape(x, w))


class _Engine(NamedTuple):
    engine: str = "auto"


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    x, w, table, ctx.approximate, *geometry, ctx.engine = inputs
    ctx.save_for_backward(x, w, table)
    ctx.geometry = Geometry(*geometry)


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    refuse_second_derivative()
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
    refuse_second_derivative()
    x, w, table = ctx.saved_tensors
    need_x, need_w, *others = ctx.needs_input_grad
    _, by_table_x, by_table_w = ctx.approximate
    geometry, engine = ctx.geometry, ctx.engine
    exact = need_x and not by_table_x, need_w and not by_table_w
    grad_x = grad_w = None
    if any(exact):
        grad_x, grad_w = exact_conv2d_backward(grad, x, w, geometry, exact)
    if need_x and by_table_x:
        image = x.shape[2:]
        grad_x = mantissa_conv2d_input_grad(grad, w, table, image, *geometry, engine)
    if need_w and by_table_w:
        kernel = w.shape[2:]
        grad_w = mantissa_conv2d_weight_grad(x, grad, table, kernel, *geometry, engine)
    return grad_x, grad_w, *[None for _ in others]


mantissa_linear.register_autograd(_linear_backward, setup_context=_save)
mantissa_conv2d.register_autograd(_conv2d_backward, setup_context=_save)
