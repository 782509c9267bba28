"""What engines take and give: availability, geometry, the table as engines see it, the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from .lowrank_cache import table_factors
from .plane_layout import PlaneLayout, plane_layout, residual_layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .lowrank_types import LowRankFactors, NoFactors
    from .mantissa_types import MantissaEngine

Codes: TypeAlias = NDArray[np.uint8] | NDArray[np.int16]
"""Bit patterns used as table indices: uint8 for operands of up to 8 bits, int16 for 9 to 12."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can run here.

    Attributes:
        usable: True if it can.
        reason: what it runs on if usable, else exactly what is missing.
    """

    usable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Conv2dGeometry:
    """Everything about a two-dimensional convolution that is not an operand.

    Attributes:
        stride: (vertical, horizontal) step between outputs.
        padding: rows and columns added, (top, bottom, left, right).
        dilation: (vertical, horizontal) step between taps.
        groups: channel groups that do not mix.
        pad_code: activation code of every tap outside the image; it is looked up in the table
            like any other.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pad_code: int = 0

    def __post_init__(self) -> None:
        positive = (*self.stride, *self.dilation, self.groups)
        if min(positive) < 1 or min(self.padding) < 0 or self.pad_code < 0:
            raise ConfigError(
                "a convolution of impossible geometry",
                got=self,
                expected="stride, dilation and groups >= 1; padding and pad_code >= 0",
            )

    def output_size(self, image: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """Return the output's height and width.

        Args:
            image: (height, width) of the input before padding.
            kernel: (height, width) of the kernel.

        Raises:
            ConfigError: the dilated kernel is larger than the padded image.
        """
        top, bottom, left, right = self.padding
        padded = (image[0] + top + bottom, image[1] + left + right)
        spans = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, kernel, strict=True))
        if min(kernel) < 1 or padded[0] < spans[0] or padded[1] < spans[1]:
            raise ConfigError(
                "a convolution kernel does not fit its image",
                got=f"kernel {kernel} spanning {spans} on a padded image of {padded}",
                expected="a kernel of at least 1x1 that spans no more than the padded image",
            )
        return (
            (padded[0] - spans[0]) // self.stride[0] + 1,
            (padded[1] - spans[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A product table as engines read it, with the derived layouts that they share.

    Engines work on any table of integers: they know neither names nor signedness. The derived
    arrays are made on first use and live as long as this object, so a caller that keeps it pays
    for them once.

    Attributes:
        products: int32 [2^wa, 2^wb], contiguous; row = activation code, column = weight code.

    Raises:
        ConfigError: not int32, not two-dimensional, or a side that is not a power of two.
    """

    products: NDArray[np.int32]

    def __post_init__(self) -> None:
        array = self.products
        sides = array.shape if array.ndim == 2 else (0, 0)
        if array.dtype != np.int32 or any(side < 2 or side & (side - 1) for side in sides):
            raise ConfigError(
                "not a product table",
                got=f"{array.dtype} array of shape {array.shape}",
                expected="int32 of shape [2^wa, 2^wb]",
            )
        object.__setattr__(self, "products", np.ascontiguousarray(array))

    @classmethod
    def of(cls, table: LookupTable | NDArray[np.int32]) -> LookupTable:
        """Return ``table`` itself if it is a LookupTable already, else wrap the array."""
        return table if isinstance(table, LookupTable) else cls(table)

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest product."""
        return int(self.products.min()), int(self.products.max())

    @property
    def max_abs(self) -> int:
        """Largest magnitude of any product."""
        return max(-self.limits[0], self.limits[1])

    @cached_property
    def columns(self) -> NDArray[np.int32]:
        """The transpose, int32 [2^wb, 2^wa], contiguous: all products of one weight in a row."""
        return np.ascontiguousarray(self.products.T)

    @cached_property
    def compact(self) -> NDArray[np.uint16] | None:
        """``columns - limits[0]`` as uint16 [2^wb, 2^wa], or None if the range is too wide."""
        low, high = self.limits
        if high - low > np.iinfo(np.uint16).max:
            return None
        return (self.columns.astype(np.int64) - low).astype(np.uint16)

    @cached_property
    def planes(self) -> PlaneLayout | None:
        """The table as byte planes, or None if it has more than 256 rows."""
        return plane_layout(self.products)

    @cached_property
    def residual(self) -> PlaneLayout | None:
        """The table as exact products and at most one byte plane, or None if it is not so."""
        return residual_layout(self.products)

    @cached_property
    def factors(self) -> LowRankFactors | NoFactors:
        """The table as a sum of few products of one-operand functions, or why it is none."""
        return table_factors(self.products)

    @cached_property
    def column_limits(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The least and the greatest product of each weight code, two int64 [2^wb]."""
        return (
            self.products.min(axis=0).astype(np.int64),
            self.products.max(axis=0).astype(np.int64),
        )


class Engine(Protocol):
    """Something that sums table entries.

    Sums are taken modulo 2^32 and read as int32, in every engine alike; callers rule overflow
    out beforehand (`rtlgrad.nn.engines.accumulator`).
    """

    @property
    def name(self) -> str:
        """The name under which it is registered."""

    @property
    def device(self) -> str:
        """The kind of memory its arrays live in, as torch names it: "cpu" or "cuda"."""

    @property
    def mantissa(self) -> MantissaEngine:
        """The same engine for float32 numbers, whose products go through a mantissa table."""

    def availability(self) -> Availability:
        """Say whether the engine can run here, and why not."""

    def matmul(
        self,
        a_codes: Codes,
        b_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """Return ``acc[m, n] = sum_k T[a_codes[m, k], b_codes[k, n]]``.

        Args:
            a_codes: activations, uint8 or int16 [M, K].
            b_codes: weights, uint8 or int16 [K, N].
            table: int32 [2^wa, 2^wb], or its LookupTable.
            threads: how many to use; None for one per core. The result does not depend on it.

        Returns:
            int32 [M, N].

        Raises:
            ConfigError: shapes, dtypes or codes that do not fit each other or the table.
        """

    def conv2d(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """Return the sums of ``T[x, w]`` over the taps of a cross-correlation, as torch's conv2d.

        Args:
            x_codes: activations, uint8 or int16 [B, C, H, W].
            w_codes: weights, uint8 or int16 [O, C/groups, kh, kw].
            table: int32 [2^wa, 2^wb], or its LookupTable.
            geometry: stride, padding, dilation, groups and the code of padded taps.
            threads: how many to use; None for one per core. The result does not depend on it.

        Returns:
            int32 [B, O, H', W'].

        Raises:
            ConfigError: shapes, dtypes or codes that do not fit each other or the table.
        """


def check_matmul(a_codes: Codes, b_codes: Codes, table: LookupTable) -> None:
    """Raise ConfigError unless the operands of a matmul fit each other and the table."""
    if a_codes.ndim != 2 or b_codes.ndim != 2 or a_codes.shape[1] != b_codes.shape[0]:
        raise ConfigError(
            "operands of a table matmul do not fit each other",
            got=f"a {a_codes.shape}, b {b_codes.shape}",
            expected="a [M, K] and b [K, N]",
        )
    _check_codes({"activation": a_codes, "weight": b_codes}, table)


def check_conv2d(
    x_codes: Codes, w_codes: Codes, table: LookupTable, geometry: Conv2dGeometry
) -> tuple[int, int, int, int]:
    """Return the output shape of a convolution [B, O, H', W'].

    Raises:
        ConfigError: operands, table and geometry do not fit each other.
    """
    groups = geometry.groups
    fits = (
        x_codes.ndim == 4
        and w_codes.ndim == 4
        and x_codes.shape[1] == w_codes.shape[1] * groups
        and w_codes.shape[0] % groups == 0
    )
    if not fits:
        raise ConfigError(
            "operands of a table convolution do not fit each other",
            got=f"x {x_codes.shape}, w {w_codes.shape}, groups {groups}",
            expected="x [B, C, H, W] and w [O, C/groups, kh, kw] with O divisible by groups",
        )
    if geometry.pad_code >= table.products.shape[0]:
        raise ConfigError(
            "the padding code is not a code of the activation operand",
            got=geometry.pad_code,
            expected=f"0 to {table.products.shape[0] - 1}",
        )
    _check_codes({"activation": x_codes, "weight": w_codes}, table)
    image = (x_codes.shape[2], x_codes.shape[3])
    out_h, out_w = geometry.output_size(image, (w_codes.shape[2], w_codes.shape[3]))
    return x_codes.shape[0], w_codes.shape[0], out_h, out_w


def _check_codes(operands: Mapping[str, NDArray[Any]], table: LookupTable) -> None:
    for (role, codes), side in zip(operands.items(), table.products.shape, strict=True):
        if codes.dtype not in (np.uint8, np.int16):
            raise ConfigError(
                f"{role} codes have the wrong type", got=codes.dtype, expected="uint8 or int16"
            )
        if codes.size == 0 or (codes.dtype == np.uint8 and side >= 256):
            continue
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= side:
            raise ConfigError(
                f"{role} codes lie outside the table",
                got=f"codes {low} to {high}",
                expected=f"0 to {side - 1} for a table of shape {table.products.shape}",
            )
