"""What a kernel is asked to compute: sums over k as an implicit matrix product.

Each kernel takes one structure, `struct Gemm` of gather.cuh. Its numbers are made here, by plain
functions of shapes: convolution, its gradients and matrix products differ in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ....core.errors import ConfigError
from ..mantissa_phases import input_phases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import EllipsisType

    from ..types import Conv2dGeometry

Shape = tuple[int, int, int, int]

SCALES = ("weight_sums", "x_zero", "x_scale", "w_scale")
ADDRESSES = ("x", "w", "table", "out", "outside", *SCALES)
_WIDE = ("x_group", "w_group", "out_group", "x_outer", "out_outer", "out_split")
_NARROW = (
    *("rows", "columns", "depth", "groups", "n1", "n2", "k1", "k2", "x_k0"),
    *("y_start", "x_start", "n_y", "n_x", "k_y", "k_x", "height", "width"),
    *("w_row", "w_start", "w_k0", "w_k1", "w_k2", "out_row", "out_start", "out_n1", "out_n2"),
    *("x_kind", "w_kind", "offset", "table_rows", "table_stride", "warps_m", "stage"),
    *("splits", "split_depth", "shift"),
)


def structure(addresses: Sequence[str], wide: Sequence[str], narrow: Sequence[str]) -> np.dtype:
    """Return a structure's layout: addresses, then 64-bit, then an even number of 32-bit integers."""
    return np.dtype(
        [(name, np.uint64) for name in addresses]
        + [(name, np.int64) for name in wide]
        + [(name, np.int32) for name in narrow]
    )


GEMM = structure(ADDRESSES, _WIDE, _NARROW)
"""`struct Gemm` of gather.cuh."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Sums over k.

    Attributes:
        rows: results per position and group: the weights' side.
        columns: positions: the activations' side.
        depth: products per result.
        groups: independent problems of this size.
        along_k: whether neighbouring activations in memory are neighbours in k.
        indices: the members of `struct Gemm` that say where operands and results are.
        region: the part of the result that it makes.
    """

    rows: int
    columns: int
    depth: int
    groups: int
    along_k: bool
    indices: Mapping[str, int]
    region: tuple[EllipsisType | slice, ...] = (...,)

    @property
    def is_empty(self) -> bool:
        """Whether there is no result to make."""
        return not (self.rows and self.columns and self.groups)

    @property
    def is_dense(self) -> bool:
        """Whether it is a matrix product: no activation lies outside."""
        inner = ("n1", "n2", "k1", "k2", "height", "width")
        return all(self.indices[name] == 1 for name in inner)

    @property
    def products(self) -> int:
        """Products of all groups."""
        return self.rows * self.columns * self.depth * self.groups


def _problem(
    *,
    rows: int,
    columns: int,
    depth: int,
    groups: int = 1,
    n: tuple[int, int] = (1, 1),
    k: tuple[int, int] = (1, 1),
    size: tuple[int, int] = (1, 1),
    start: tuple[int, int] = (0, 0),
    step_n: tuple[int, int] = (0, 0),
    step_k: tuple[int, int] = (0, 0),
    **strides: int,
) -> Problem:
    indices = {
        **dict(zip(("n1", "n2"), n, strict=True)),
        **dict(zip(("k1", "k2"), k, strict=True)),
        **dict(zip(("height", "width"), size, strict=True)),
        **dict(zip(("y_start", "x_start"), start, strict=True)),
        **dict(zip(("n_y", "n_x"), step_n, strict=True)),
        **dict(zip(("k_y", "k_x"), step_k, strict=True)),
        **strides,
    }
    limits = np.iinfo(np.int32)
    sizes = {**indices, "rows": rows, "columns": columns, "depth": depth}
    for name, value in sizes.items():
        if name in _NARROW and not limits.min <= value <= limits.max:
            raise ConfigError(
                "a layer is too large for the CUDA engine",
                got=f"{name} = {value}",
                expected="sizes below 2^31",
                remedy="use a smaller batch",
            )
    along_k = k == (1, 1) and strides["x_k0"] == 1
    return Problem(rows, columns, depth, groups, along_k, indices)


def check_elements(**shapes: tuple[int, ...]) -> None:
    """Refuse arrays of 2^31 elements or more, which kernels cannot index.

    Raises:
        ConfigError: one is; the message names it.
    """
    for name, shape in shapes.items():
        if int(np.prod(shape, dtype=np.int64)) > np.iinfo(np.int32).max:
            raise ConfigError(
                "an array is too large for the CUDA engine",
                got=f"{name} {shape}",
                expected="fewer than 2^31 elements",
                remedy="use a smaller batch",
            )


def matmul(
    sizes: tuple[int, int, int], a_strides: tuple[int, ...], b_strides: tuple[int, ...]
) -> Problem:
    """Return ``out[m, n] = sum_k product(a[m, k], b[k, n])``, out contiguous.

    Args:
        sizes: M, K, N.
        a_strides: elements from one m, and from one k, to the next.
        b_strides: elements from one k, and from one n, to the next.
    """
    M, K, N = sizes
    return _problem(
        rows=N,
        columns=M,
        depth=K,
        x_outer=a_strides[0],
        x_k0=a_strides[1],
        w_k0=b_strides[0],
        w_row=b_strides[1],
        out_outer=N,
        out_row=1,
    )


def conv2d(x: Shape, w: Shape, out: Shape, geometry: Conv2dGeometry) -> Problem:
    """Return a cross-correlation; k runs over input channels, kernel rows, kernel columns.

    Args:
        x: activations, [B, C, H, W].
        w: weights, [O, C/groups, kh, kw].
        out: result, [B, O, H', W'].
        geometry: stride, padding, dilation, groups.
    """
    channels, outputs = w[1], w[0] // geometry.groups
    image, kernel, result = x[2] * x[3], w[2] * w[3], out[2] * out[3]
    depth = channels * kernel
    return _problem(
        rows=outputs,
        columns=x[0] * result,
        depth=depth,
        groups=geometry.groups,
        n=out[2:],
        k=w[2:],
        size=x[2:],
        start=(-geometry.padding[0], -geometry.padding[2]),
        step_n=geometry.stride,
        step_k=geometry.dilation,
        x_group=channels * image,
        x_outer=x[1] * image,
        x_k0=image,
        w_group=outputs * depth,
        w_row=depth,
        w_k0=kernel,
        w_k1=w[3],
        w_k2=1,
        out_group=outputs * result,
        out_outer=out[1] * result,
        out_row=result,
        out_n1=out[3],
        out_n2=1,
    )


def conv2d_weight_grad(x: Shape, grad: Shape, out: Shape, geometry: Conv2dGeometry) -> Problem:
    """Return a convolution's gradient by its weights; k runs over images, rows, columns of grad.

    Args:
        x: activations, [B, C, H, W].
        grad: gradient of the convolution's result, [B, O, H', W'], in the weight's role.
        out: result, [O, C/groups, kh, kw].
        geometry: of the convolution.
    """
    channels, outputs = out[1], out[0] // geometry.groups
    image, kernel, result = x[2] * x[3], out[2] * out[3], grad[2] * grad[3]
    return _problem(
        rows=outputs,
        columns=channels * kernel,
        depth=x[0] * result,
        groups=geometry.groups,
        n=out[2:],
        k=grad[2:],
        size=x[2:],
        start=(-geometry.padding[0], -geometry.padding[2]),
        step_n=geometry.dilation,
        step_k=geometry.stride,
        x_group=channels * image,
        x_outer=image,
        x_k0=x[1] * image,
        w_group=outputs * result,
        w_row=result,
        w_k0=grad[1] * result,
        w_k1=grad[3],
        w_k2=1,
        out_group=outputs * channels * kernel,
        out_outer=kernel,
        out_row=channels * kernel,
        out_n1=out[3],
        out_n2=1,
    )


def conv2d_input_grad(grad: Shape, w: Shape, out: Shape, geometry: Conv2dGeometry) -> list[Problem]:
    """Return a convolution's gradient by its input, a problem per remainder of the strides.

    k runs over output channels, then rows and columns of grad, ascending. Elements of the input
    that no output sees belong to problems of depth 0.

    Args:
        grad: gradient of the convolution's result, [B, O, H', W'], in the activation's role.
        w: weights, [O, C/groups, kh, kw].
        out: result, [B, C, H, W].
        geometry: of the convolution.
    """
    channels, outputs = w[1], w[0] // geometry.groups
    image, kernel, result = out[2] * out[3], w[2] * w[3], grad[2] * grad[3]
    vertical, horizontal = (
        input_phases(*axis)
        for axis in zip(
            *(out[2:], w[2:], geometry.stride, geometry.padding[::2], geometry.dilation),
            strict=True,
        )
    )
    problems = []
    for rows in vertical:
        for columns in horizontal:
            taps = (len(rows.taps), len(columns.taps))
            down, right = (_steps(phase.taps) for phase in (rows, columns))
            part = _problem(
                rows=channels,
                columns=out[0] * rows.count * columns.count,
                depth=outputs * taps[0] * taps[1],
                groups=geometry.groups,
                n=(rows.count, columns.count),
                k=(max(1, taps[0]), max(1, taps[1])),
                size=grad[2:],
                start=(rows.offset, columns.offset),
                step_n=(1, 1),
                step_k=(rows.dilation, columns.dilation),
                x_group=outputs * result,
                x_outer=grad[1] * result,
                x_k0=result,
                w_group=outputs * channels * kernel,
                w_row=kernel,
                w_start=down[0] * w[3] + right[0],
                w_k0=channels * kernel,
                w_k1=down[1] * w[3],
                w_k2=right[1],
                out_group=channels * image,
                out_outer=out[1] * image,
                out_row=image,
                out_start=rows.first * out[3] + columns.first,
                out_n1=geometry.stride[0] * out[3],
                out_n2=geometry.stride[1],
            )
            region = (
                ...,
                slice(rows.first, None, geometry.stride[0]),
                slice(columns.first, None, geometry.stride[1]),
            )
            problems.append(replace(part, region=region))
    return problems


def _steps(taps: tuple[int, ...]) -> tuple[int, int]:
    """Return the first tap and the step to the next."""
    return (taps[0] if taps else 0), (taps[1] - taps[0] if len(taps) > 1 else 0)
