"""Products by a mantissa table in C++: ``mantissa_product.cpp`` behind ctypes.

The instruction set is the one of the integer engine (``RTLGRAD_ISA``). It does not change a bit.
"""

from __future__ import annotations

import ctypes
from itertools import product as pairs
from typing import TYPE_CHECKING, Any

import numpy as np

from .mantissa_phases import Phase, input_phases
from .mantissa_types import (
    MantissaLookup,
    check_input_grad,
    check_numbers,
    check_numbers_matmul,
    check_weight_grad,
)
from .native_library import address_of, check_status, current_isa, library, thread_count

if TYPE_CHECKING:
    from ...lutgen.mantissa import MantissaTable
    from .mantissa_layout import MantissaLayout
    from .mantissa_types import Numbers
    from .types import Conv2dGeometry

_INTEGERS = (
    *("kind", "outputs", "inner", "positions", "groups", "x_n", "x_k"),
    *("batch", "channels", "height", "width", "kernel_h", "kernel_w", "out_h", "out_w"),
    *("stride_h", "stride_w", "pad_top", "pad_left", "dilation_h", "dilation_w"),
    *("w_group", "w_m", "w_inner", "w_outer", "w_k"),
    *("out_group", "out_m", "out_n", "out_y", "out_x"),
    *("bits", "keep", "threads", "isa"),
)
_POINTERS = ("x", "w", "out", "entries", "deltas", "base", "wide")
# `enum MantissaKind` of mantissa.h.
_MATRIX, _WINDOWS, _PATCHES = range(3)


class MantissaProduct(ctypes.Structure):
    """`struct MantissaProduct` of mantissa.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class NativeMantissaEngine:
    """Sums of products by a mantissa table in C++ on the CPU, by several threads."""

    def matmul(
        self,
        a: Numbers,
        b: Numbers,
        table: MantissaLookup | MantissaTable,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.matmul`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        check_numbers_matmul(a, b)
        a, b = _whole_strides(a), _whole_strides(b)
        lookup = MantissaLookup.of(table)
        (rows, inner), columns = a.shape, b.shape[1]
        out = np.empty((rows, columns), np.float32)
        # Positions are taken 32 at a time. Of two equal ways, the one with more of them is faster.
        by_rows = rows * -(-columns // 32), rows
        by_columns = columns * -(-rows // 32), columns
        single, many, to, layout = (
            (a, b.T, out, lookup.by_activation)
            if by_rows <= by_columns
            else (b.T, a, out.T, lookup.by_weight)
        )
        _call(
            layout,
            threads,
            (many, single, to),
            kind=_MATRIX,
            outputs=len(single),
            inner=inner,
            positions=len(many),
            **dict(zip(("x_n", "x_k"), _steps(many), strict=True)),
            w_m=_steps(single)[0],
            w_k=_steps(single)[1],
            w_inner=max(inner, 1),
            out_m=_steps(to)[0],
            out_n=_steps(to)[1],
        )
        return out

    def conv2d(
        self,
        x: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        shape = check_numbers(x, w, geometry)
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
        out = np.empty(shape, np.float32)
        outputs, taps = shape[1] // geometry.groups, _size(w.shape[1:])
        pixels = shape[2] * shape[3]
        _call(
            MantissaLookup.of(table).by_weight,
            threads,
            (x, w, out),
            kind=_WINDOWS,
            outputs=outputs,
            inner=taps,
            positions=shape[0] * pixels,
            **_windows(x, w.shape[2:], shape[2:], geometry),
            w_group=outputs * taps,
            w_m=taps,
            w_k=1,
            w_inner=taps,
            out_group=outputs * pixels,
            out_m=pixels,
            out_n=shape[1] * pixels,
            out_y=shape[3],
            out_x=1,
        )
        return out

    def conv2d_input_grad(
        self,
        grad: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        image: tuple[int, int],
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d_input_grad`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        shape = check_input_grad(grad, w, geometry, image)
        grad, layout = np.ascontiguousarray(grad), MantissaLookup.of(table).by_weight
        out = np.zeros(shape, np.float32)
        rows, columns = (
            input_phases(*axis)
            for axis in zip(
                *(shape[2:], w.shape[2:], geometry.stride),
                *(geometry.padding[::2], geometry.dilation),
                strict=True,
            )
        )
        for phase in pairs(rows, columns):
            if all(axis.taps for axis in phase):
                _add_phase(grad, w, layout, geometry, phase, out, threads)
        return out

    def conv2d_weight_grad(
        self,
        x: Numbers,
        grad: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        kernel: tuple[int, int],
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d_weight_grad`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        shape = check_weight_grad(x, grad, geometry, kernel)
        x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
        out = np.empty(shape, np.float32)
        outputs, taps = shape[0] // geometry.groups, _size(shape[1:])
        pixels = grad.shape[2] * grad.shape[3]
        _call(
            MantissaLookup.of(table).by_weight,
            threads,
            (x, grad, out),
            kind=_PATCHES,
            outputs=outputs,
            inner=grad.shape[0] * pixels,
            positions=taps,
            **_windows(x, kernel, grad.shape[2:], geometry),
            w_group=outputs * pixels,
            w_m=pixels,
            w_k=1,
            w_inner=pixels,
            w_outer=shape[0] * pixels,
            out_group=outputs * taps,
            out_m=taps,
            out_n=1,
        )
        return out


def _add_phase(
    grad: Numbers,
    w: Numbers,
    layout: MantissaLayout,
    geometry: Conv2dGeometry,
    phase: tuple[Phase, Phase],
    out: Numbers,
    threads: int | None,
) -> None:
    """Fill the elements of an input's gradient that belong to one phase."""
    rows, columns = phase
    _, channels, height, width = out.shape
    groups = geometry.groups
    outputs, per_group = w.shape[0] // groups, channels // groups
    # [groups, C/groups, O/groups, rows of the kernel, columns of it]
    kernel = w[:, :, rows.taps, :][:, :, :, columns.taps]
    kernel = kernel.reshape(groups, outputs, per_group, *kernel.shape[2:]).swapaxes(1, 2)
    kernel = np.ascontiguousarray(kernel)
    inner = outputs * len(rows.taps) * len(columns.taps)
    _call(
        layout,
        threads,
        (grad, kernel, out[:, :, rows.first :, columns.first :]),
        kind=_WINDOWS,
        outputs=per_group,
        inner=inner,
        positions=len(grad) * rows.count * columns.count,
        groups=groups,
        **dict(zip(("batch", "channels", "height", "width"), grad.shape, strict=True)),
        kernel_h=len(rows.taps),
        kernel_w=len(columns.taps),
        out_h=rows.count,
        out_w=columns.count,
        stride_h=1,
        stride_w=1,
        pad_top=-rows.offset,
        pad_left=-columns.offset,
        dilation_h=rows.dilation,
        dilation_w=columns.dilation,
        w_group=per_group * inner,
        w_m=inner,
        w_k=1,
        w_inner=inner,
        out_group=per_group * height * width,
        out_m=height * width,
        out_n=channels * height * width,
        out_y=geometry.stride[0] * width,
        out_x=geometry.stride[1],
    )


def _windows(
    x: Numbers, kernel: tuple[int, ...], size: tuple[int, ...], geometry: Conv2dGeometry
) -> dict[str, int]:
    names = ("batch", "channels", "height", "width", "kernel_h", "kernel_w", "out_h", "out_w")
    return {
        **dict(zip(names, (*x.shape, *kernel, *size), strict=True)),
        "groups": geometry.groups,
        "stride_h": geometry.stride[0],
        "stride_w": geometry.stride[1],
        "pad_top": geometry.padding[0],
        "pad_left": geometry.padding[2],
        "dilation_h": geometry.dilation[0],
        "dilation_w": geometry.dilation[1],
    }


def _call(
    layout: MantissaLayout,
    threads: int | None,
    operands: tuple[Numbers, Numbers, Numbers],
    **numbers: int,
) -> None:
    """Run the library on (x, w, out); what ``numbers`` leaves out is 0, or 1 for groups."""
    isa = current_isa()
    filled = {"groups": 1, **numbers, "bits": layout.bits, "keep": layout.keep}
    filled |= {"threads": thread_count(threads), "isa": isa.index}
    arrays: tuple[Any, ...] = (*operands, layout.entries, layout.deltas, layout.base, layout.wide)
    problem = MantissaProduct(**filled)
    for name, array in zip(_POINTERS, arrays, strict=True):
        setattr(problem, name, address_of(array))
    status = library().rtlgrad_mantissa_product(ctypes.byref(problem))
    what = f"products by a mantissa table of {numbers['outputs']} x {numbers['inner']} x {numbers['positions']}"
    check_status(status, what, f"instruction set {isa.name}")


def _whole_strides(array: Numbers) -> Numbers:
    """Return the array, copied if its steps in memory are not whole numbers of elements."""
    whole = all(step % array.itemsize == 0 for step in array.strides)
    return array if whole and array.flags.aligned else np.ascontiguousarray(array)


def _steps(array: Numbers) -> tuple[int, ...]:
    return tuple(step // array.itemsize for step in array.strides)


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))
