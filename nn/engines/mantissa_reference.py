"""The specification of products by a mantissa table, in NumPy; see mantissa_types.py."""

from __future__ import annotations

from itertools import product as pairs
from typing import TYPE_CHECKING

import numpy as np

from .mantissa_phases import input_phases
from .mantissa_types import (
    SUM_BLOCK,
    MantissaLookup,
    check_input_grad,
    check_numbers,
    check_numbers_matmul,
    check_weight_grad,
)

if TYPE_CHECKING:
    from ...lutgen.mantissa import MantissaTable
    from .mantissa_types import Numbers
    from .types import Conv2dGeometry

_SIGN, _INFINITY, _NAN = np.uint32(0x80000000), np.uint32(0x7F800000), np.uint32(0x7FC00000)


def multiply(x: Numbers, w: Numbers, table: MantissaLookup | MantissaTable) -> Numbers:
    """Return ``P(x, w)`` element by element, float32 of the broadcast shape.

    Args:
        x: float32, in the activation's role (row of the table).
        w: float32, in the weight's role (column).
        table: the mantissa table.
    """
    lookup = MantissaLookup.of(table)
    m = lookup.bits
    x_bits, w_bits = np.broadcast_arrays(x.view(np.uint32), w.view(np.uint32))
    x_exponent, w_exponent = (bits >> 23 & 255 for bits in (x_bits, w_bits))
    row, column = (bits >> (23 - m) & (1 << m) - 1 for bits in (x_bits, w_bits))
    code = lookup.codes[row, column].astype(np.uint32)
    exponent = (x_exponent + w_exponent + (code >> m)).astype(np.int32) - 127
    mantissa = (code & (1 << m) - 1) << (23 - m)
    sign = (x_bits ^ w_bits) & _SIGN
    is_zero = (x_exponent == 0) | (w_exponent == 0)
    is_nan = ((x_bits & ~_SIGN) > _INFINITY) | ((w_bits & ~_SIGN) > _INFINITY)
    is_infinite = (x_exponent == 255) | (w_exponent == 255)
    normal = sign | exponent.astype(np.uint32) << 23 | mantissa
    bits = np.select(
        [is_nan | (is_infinite & is_zero), is_infinite, is_zero | (exponent <= 0), exponent >= 255],
        [np.full_like(sign, _NAN), sign | _INFINITY, sign, sign | _INFINITY],
        normal,
    )
    numbers: Numbers = bits.astype(np.uint32).view(np.float32)
    return numbers


class _Sum:
    """Adds up products in the order given, block by block."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._total = np.zeros(shape, np.float32)
        self._block = np.zeros(shape, np.float32)
        self._count = 0

    def add(self, products: Numbers) -> None:
        if self._count == SUM_BLOCK:
            self._total += self._block
            self._block[...] = 0
            self._count = 0
        self._block += products
        self._count += 1

    def result(self) -> Numbers:
        total = self._total + self._block
        total.view(np.uint32)[np.isnan(total)] = _NAN
        return total


class NumpyMantissaEngine:
    """One product at a time in every output. Slow, and meant to be read."""

    def matmul(
        self,
        a: Numbers,
        b: Numbers,
        table: MantissaLookup | MantissaTable,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.matmul`; ``threads`` is ignored."""
        del threads
        check_numbers_matmul(a, b)
        lookup = MantissaLookup.of(table)
        total = _Sum((a.shape[0], b.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(a.shape[1]):
                total.add(multiply(_copied(a[:, k, None]), _copied(b[None, k, :]), lookup))
            return total.result()

    def conv2d(
        self,
        x: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d`; ``threads`` is ignored."""
        del threads
        shape = check_numbers(x, w, geometry)
        lookup = MantissaLookup.of(table)
        out = np.empty(shape, np.float32)
        for x_part, w_part, out_part in _groups(geometry.groups, (x, 1), (w, 0), (out, 1)):
            total = _Sum(out_part.shape)
            with np.errstate(over="ignore", invalid="ignore"):
                for c, i, j in np.ndindex(*w_part.shape[1:]):
                    taps = _taps(x_part[:, c : c + 1], i, j, geometry, shape[2:])
                    total.add(multiply(taps, _copied(w_part[None, :, c, i, j, None, None]), lookup))
                out_part[...] = total.result()
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
        """See `MantissaEngine.conv2d_input_grad`; ``threads`` is ignored."""
        del threads
        shape = check_input_grad(grad, w, geometry, image)
        lookup = MantissaLookup.of(table)
        out = np.empty(shape, np.float32)
        axes = zip(
            shape[2:], w.shape[2:], geometry.stride, geometry.padding[::2], geometry.dilation,
            strict=True,
        )  # fmt: skip
        for rows, columns in pairs(*(input_phases(*axis) for axis in axes)):
            for g, w_part, out_part in _groups(geometry.groups, (grad, 1), (w, 0), (out, 1)):
                total = _Sum((shape[0], w.shape[1], rows.count, columns.count))
                with np.errstate(over="ignore", invalid="ignore"):
                    for o, i, j in pairs(
                        range(len(w_part)), range(len(rows.taps)), range(len(columns.taps))
                    ):
                        y = rows.offset + i * rows.dilation
                        z = columns.offset + j * columns.dilation
                        window = _window(g[:, o : o + 1], y, z, rows.count, columns.count)
                        weights = w_part[o, None, :, rows.taps[i], columns.taps[j], None, None]
                        total.add(multiply(window, _copied(weights), lookup))
                    step_y, step_x = geometry.stride
                    out_part[:, :, rows.first :: step_y, columns.first :: step_x] = total.result()
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
        """See `MantissaEngine.conv2d_weight_grad`; ``threads`` is ignored."""
        del threads
        shape = check_weight_grad(x, grad, geometry, kernel)
        lookup = MantissaLookup.of(table)
        out = np.empty(shape, np.float32)
        for x_part, g, out_part in _groups(geometry.groups, (x, 1), (grad, 1), (out, 0)):
            windows = np.stack(
                [_taps(x_part, i, j, geometry, grad.shape[2:]) for i, j in np.ndindex(*kernel)],
                axis=2,
            )  # [B, C, kh * kw, H', W']
            total = _Sum((g.shape[1], shape[1], kernel[0] * kernel[1]))
            with np.errstate(over="ignore", invalid="ignore"):
                for b, y, z in np.ndindex(g.shape[0], *g.shape[2:]):
                    taps = _copied(windows[b, None, :, :, y, z])
                    total.add(multiply(taps, _copied(g[b, :, y, z, None, None]), lookup))
                out_part[...] = total.result().reshape(out_part.shape)
        return out


def _copied(view: Numbers) -> Numbers:
    return np.ascontiguousarray(view)


def _groups(groups: int, *arrays: tuple[Numbers, int]) -> list[tuple[Numbers, ...]]:
    """Return the parts of the arrays that belong together, each array split along its axis."""
    return list(zip(*(np.split(array, groups, axis) for array, axis in arrays), strict=True))


def _window(x: Numbers, y: int, z: int, height: int, width: int) -> Numbers:
    """Return ``x[..., y : y + height, z : z + width]``, zeros where that lies outside."""
    window = np.zeros((*x.shape[:2], height, width), np.float32)
    top, left = max(y, 0), max(z, 0)
    inside = x[..., top : max(y + height, 0), left : max(z + width, 0)]
    window[..., top - y : top - y + inside.shape[2], left - z : left - z + inside.shape[3]] = inside
    return window


def _taps(x: Numbers, i: int, j: int, geometry: Conv2dGeometry, size: tuple[int, ...]) -> Numbers:
    """Return what the kernel's tap (i, j) meets at each output, [B, C, H', W']."""
    (step_y, step_x), (gap_y, gap_x) = geometry.stride, geometry.dilation
    y, z = i * gap_y - geometry.padding[0], j * gap_x - geometry.padding[2]
    window = _window(x, y, z, (size[0] - 1) * step_y + 1, (size[1] - 1) * step_x + 1)
    return _copied(window[:, :, ::step_y, ::step_x])
