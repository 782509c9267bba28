"""Checks tensors, and says what problem they pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ....core.errors import ConfigError
from . import problem

if TYPE_CHECKING:
    from torch import Tensor

    from ..types import Conv2dGeometry
    from .problem import Problem, Shape

CODE_KINDS = {torch.uint8: 0, torch.int16: 1}
"""Types of codes, as `read_code` of gather.cuh numbers them."""

NUMBER_KINDS = {torch.float32: 0, torch.bfloat16: 1}
"""Types of numbers, as `read_number` of mantissa_rows.cu numbers them."""


def kinds(x: Tensor, w: Tensor, known: dict[torch.dtype, int], what: str) -> tuple[int, int]:
    """Return the kinds of both types, or raise ConfigError for another type."""
    for role, tensor in (("activation", x), ("weight", w)):
        if tensor.dtype not in known:
            raise ConfigError(
                f"{role} {what} have the wrong type",
                got=tensor.dtype,
                expected=" or ".join(str(dtype) for dtype in known),
            )
    return known[x.dtype], known[w.dtype]


def matmul_problem(a: Tensor, b: Tensor) -> Problem:
    """Return the problem of a matrix product, or raise ConfigError for operands that do not fit."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ConfigError(
            "operands of a table matmul do not fit each other",
            got=f"a {tuple(a.shape)}, b {tuple(b.shape)}",
            expected="a [M, K] and b [K, N]",
        )
    problem.check_elements(a=tuple(a.shape), b=tuple(b.shape), out=(a.shape[0], b.shape[1]))
    return problem.matmul((*a.shape, b.shape[1]), a.stride(), b.stride())


def _shape(tensor: Tensor) -> Shape:
    if tensor.ndim != 4:
        raise ConfigError(
            "an operand of a convolution has the wrong number of axes",
            got=tuple(tensor.shape),
            expected="four",
        )
    return tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]


def _output_shape(x: Shape, w: Shape, geometry: Conv2dGeometry) -> Shape:
    if x[1] != w[1] * geometry.groups or w[0] % geometry.groups:
        raise ConfigError(
            "operands of a table convolution do not fit each other",
            got=f"x {x}, w {w}, groups {geometry.groups}",
            expected="x [B, C, H, W] and w [O, C/groups, kh, kw] with O divisible by groups",
        )
    height, width = geometry.output_size(x[2:], w[2:])
    return x[0], w[0], height, width


def conv2d_problem(x: Tensor, w: Tensor, geometry: Conv2dGeometry) -> tuple[Problem, Shape]:
    """Return the problem of a convolution and its result's shape, or raise ConfigError."""
    shape = _output_shape(_shape(x), _shape(w), geometry)
    problem.check_elements(x=_shape(x), w=_shape(w), out=shape)
    return problem.conv2d(_shape(x), _shape(w), shape, geometry), shape


def input_grad_problems(
    grad: Tensor, w: Tensor, geometry: Conv2dGeometry, image: tuple[int, int]
) -> tuple[list[Problem], Shape]:
    """Return the problems of an input gradient and its shape, or raise ConfigError."""
    shape = (grad.shape[0], _shape(w)[1] * geometry.groups, *image)
    _check_grad(grad, _output_shape(shape, _shape(w), geometry))
    problem.check_elements(grad=_shape(grad), w=_shape(w), out=shape)
    return problem.conv2d_input_grad(_shape(grad), _shape(w), shape, geometry), shape


def weight_grad_problem(
    x: Tensor, grad: Tensor, geometry: Conv2dGeometry, kernel: tuple[int, int]
) -> tuple[Problem, Shape]:
    """Return the problem of a weight gradient and its shape, or raise ConfigError."""
    shape = (_shape(grad)[1], _shape(x)[1] // geometry.groups, *kernel)
    _check_grad(grad, _output_shape(_shape(x), shape, geometry))
    problem.check_elements(x=_shape(x), grad=_shape(grad), out=shape)
    return problem.conv2d_weight_grad(_shape(x), _shape(grad), shape, geometry), shape


def _check_grad(grad: Tensor, expected: Shape) -> None:
    if _shape(grad) != expected:
        raise ConfigError(
            "a gradient has not the shape of the convolution's output",
            got=tuple(grad.shape),
            expected=expected,
        )
