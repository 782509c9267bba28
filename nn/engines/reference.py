"""The NumPy engine: the specification that every other engine must equal bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .mantissa_reference import NumpyMantissaEngine
from .types import Availability, Conv2dGeometry, LookupTable, check_conv2d, check_matmul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .types import Codes

_BLOCK_ENTRIES = 1 << 20
"""Looked-up products held at a time: 4 MiB, whatever the layer."""


class NumpyEngine:
    """One lookup per product, one tap at a time. Slow, and meant to be read."""

    name = "numpy"
    device = "cpu"

    @property
    def mantissa(self) -> NumpyMantissaEngine:
        """See `Engine.mantissa`."""
        return NumpyMantissaEngine()

    def availability(self) -> Availability:
        """NumPy is a dependency, so this engine always runs."""
        return Availability(True, f"NumPy {np.__version__}")

    def matmul(
        self,
        a_codes: Codes,
        b_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.matmul`; ``threads`` is ignored."""
        del threads
        lookup = LookupTable.of(table)
        check_matmul(a_codes, b_codes, lookup)
        acc = np.zeros((a_codes.shape[0], b_codes.shape[1]), dtype=np.int32)
        for rows in _blocks(acc.shape[0], acc.shape[1]):
            for k in range(a_codes.shape[1]):
                acc[rows] += lookup.products[a_codes[rows, k][:, None], b_codes[k][None, :]]
        return acc

    def conv2d(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.conv2d`; ``threads`` is ignored."""
        del threads
        lookup = LookupTable.of(table)
        shape = check_conv2d(x_codes, w_codes, lookup, geometry)
        acc = np.zeros(shape, dtype=np.int32)
        top, bottom, left, right = geometry.padding
        outputs, channels = shape[1] // geometry.groups, w_codes.shape[1]
        for images in _blocks(shape[0], outputs * shape[2] * shape[3]):
            padded: Codes = np.pad(  # type: ignore[assignment]  # np.pad forgets the dtype
                x_codes[images],
                ((0, 0), (0, 0), (top, bottom), (left, right)),
                constant_values=geometry.pad_code,
            )
            for group in range(geometry.groups):
                _accumulate_group(
                    acc[images, group * outputs : (group + 1) * outputs],
                    padded[:, group * channels : (group + 1) * channels],
                    w_codes[group * outputs : (group + 1) * outputs],
                    lookup.products,
                    geometry,
                )
        return acc


def _accumulate_group(
    acc: NDArray[np.int32],
    padded: Codes,
    w_codes: Codes,
    products: NDArray[np.int32],
    geometry: Conv2dGeometry,
) -> None:
    (step_y, step_x), (gap_y, gap_x) = geometry.stride, geometry.dilation
    height, width = acc.shape[2:]
    _, channels, kernel_h, kernel_w = w_codes.shape
    for channel, i, j in np.ndindex(channels, kernel_h, kernel_w):
        rows = slice(i * gap_y, i * gap_y + (height - 1) * step_y + 1, step_y)
        columns = slice(j * gap_x, j * gap_x + (width - 1) * step_x + 1, step_x)
        x = padded[:, channel, rows, columns]
        w = w_codes[:, channel, i, j]
        acc += products[x[:, None, :, :], w[None, :, None, None]]


def _blocks(count: int, entries_each: int) -> list[slice]:
    step = max(1, _BLOCK_ENTRIES // max(1, entries_each))
    return [slice(start, start + step) for start in range(0, count, step)]
