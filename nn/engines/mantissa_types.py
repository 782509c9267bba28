"""What engines take for products by a mantissa table: the table, the protocol, the checks.

The product ``P(x, w)`` of float32 numbers follows AMSim (J. Gong et al., ApproxTrain, IEEE TCAD
2023), with the cases mended that its released code gets wrong. Both mantissas are cut to m bits and
give an entry of the table, a mantissa and a carry. The sign is the exclusive or of the signs, the
biased exponent ``e = ea + eb - 127 + carry``. Zero and subnormal operands, and ``e <= 0``, give a
zero of that sign; ``e >= 255`` gives infinity of that sign. An infinite operand gives infinity, but
NaN with a zero or subnormal one; NaN gives NaN.

Sums are float32, rounded to nearest after each addition, gradual underflow included. The products of
an output are taken in the order of k (see `MantissaEngine`), in blocks of `SUM_BLOCK`. Each block is
added up from +0; then the blocks' sums are added in order, from +0. A sum that is not a number is
the quiet NaN 0x7fc00000. Hence every engine, whatever its threads and tiles, gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from .mantissa_layout import MAX_BITS, MantissaLayout, mantissa_layout

if TYPE_CHECKING:
    from ...lutgen.mantissa import MantissaTable
    from .types import Conv2dGeometry

Numbers: TypeAlias = NDArray[np.float32]

SUM_BLOCK = 1024
"""Products that are added up before the next sum begins; `kSumBlock` of mantissa.h."""


@dataclass(frozen=True, eq=False)
class MantissaLookup:
    """A mantissa table as engines read it, with the layouts that they share.

    Attributes:
        codes: uint16 [2^m, 2^m], contiguous: ``carry << m | mantissa``; row = activation's mantissa,
            column = weight's.

    Raises:
        ConfigError: not uint16, not square, m outside 1 to 11, or a code of more than m + 1 bits.
    """

    codes: NDArray[np.uint16]

    def __post_init__(self) -> None:
        array = self.codes
        side = array.shape[0] if array.ndim == 2 else 0
        square = array.shape == (side, side) and side in {1 << m for m in range(1, MAX_BITS + 1)}
        if array.dtype != np.uint16 or not square or int(array.max()) >= 2 * side:
            raise ConfigError(
                "not a mantissa table",
                got=f"{array.dtype} array of shape {array.shape}",
                expected="uint16 of shape [2^m, 2^m], m 1 to 11, entries below 2^(m + 1)",
            )
        object.__setattr__(self, "codes", np.ascontiguousarray(array))

    @classmethod
    def of(cls, table: MantissaLookup | MantissaTable) -> MantissaLookup:
        """Return ``table`` itself if it is a MantissaLookup already, else its codes."""
        if isinstance(table, MantissaLookup):
            return table
        codes = table.carry.astype(np.int64) << table.mantissa_bits | table.mantissa
        return cls(codes.astype(np.uint16))

    @property
    def bits(self) -> int:
        """Bits of a mantissa, m."""
        return int(self.codes.shape[0]).bit_length() - 1

    @cached_property
    def by_weight(self) -> MantissaLayout:
        """The table with a row for each weight's mantissa."""
        return mantissa_layout(self.codes.T)

    @cached_property
    def by_activation(self) -> MantissaLayout:
        """The table with a row for each activation's mantissa."""
        return mantissa_layout(self.codes)


class MantissaEngine(Protocol):
    """Something that sums products by a mantissa table; the module's text says what they are."""

    def matmul(
        self,
        a: Numbers,
        b: Numbers,
        table: MantissaLookup | MantissaTable,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """Return ``out[m, n] = sum_k P(a[m, k], b[k, n])``.

        Operands may be views, transposed ones included, and are not copied: a linear layer's
        forward is ``x, w.T``, its input gradient ``grad, w`` and its weight gradient, transposed,
        ``x.T, grad``.

        Args:
            a: float32 [M, K], in the activation's role: its mantissas are rows of the table.
            b: float32 [K, N], in the weight's role: its mantissas are columns.
            table: the mantissa table.
            threads: how many to use; None for one per core. The result does not depend on it.

        Returns:
            float32 [M, N].

        Raises:
            ConfigError: shapes or types that do not fit.
        """

    def conv2d(
        self,
        x: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """Return the cross-correlation of x and w, as torch's conv2d.

        k runs over input channels, then rows and columns of the kernel. Taps outside the image
        are products of +0.0.

        Args:
            x: activations, float32 [B, C, H, W].
            w: weights, float32 [O, C/groups, kh, kw].
            table: the mantissa table.
            geometry: stride, padding, dilation and groups; its pad_code must be 0.
            threads: see `matmul`.

        Returns:
            float32 [B, O, H', W'].

        Raises:
            ConfigError: shapes, types or geometry that do not fit.
        """

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
        """Return the gradient of `conv2d` by x: sums of ``P(grad, w)``, grad in the activation's role.

        For an element of x, k runs over output channels, then over the rows and columns of grad
        that its windows touch, ascending; those outside grad are products of +0.0.

        Args:
            grad: float32 [B, O, H', W'].
            w: weights, float32 [O, C/groups, kh, kw].
            table: the mantissa table.
            geometry: of the convolution.
            image: (height, width) of x.
            threads: see `matmul`.

        Returns:
            float32 [B, C, H, W].

        Raises:
            ConfigError: shapes, types or geometry that do not fit.
        """

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
        """Return the gradient of `conv2d` by w: sums of ``P(x, grad)``, grad in the weight's role.

        k runs over images, then rows and columns of grad. Taps outside the image are products
        of +0.0.

        Args:
            x: activations, float32 [B, C, H, W].
            grad: float32 [B, O, H', W'].
            table: the mantissa table.
            geometry: of the convolution.
            kernel: (height, width) of w.
            threads: see `matmul`.

        Returns:
            float32 [O, C/groups, kh, kw].

        Raises:
            ConfigError: shapes, types or geometry that do not fit.
        """


def check_numbers_matmul(a: Numbers, b: Numbers) -> None:
    """Raise ConfigError unless the operands of a matmul are float32 and fit each other."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ConfigError(
            "operands of a matmul do not fit each other",
            got=f"a {a.shape}, b {b.shape}",
            expected="a [M, K] and b [K, N]",
        )
    _check_type(a=a, b=b)


def check_numbers_conv2d(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], geometry: Conv2dGeometry
) -> tuple[int, int, int, int]:
    """Return the shape of a convolution's output [B, O, H', W'].

    Raises:
        ConfigError: shapes and geometry do not fit each other, or it pads with another code than 0.
    """
    fits = len(x_shape) == 4 and len(w_shape) == 4 and x_shape[1] == w_shape[1] * geometry.groups
    if not fits or w_shape[0] % geometry.groups or geometry.pad_code:
        raise ConfigError(
            "operands of a convolution do not fit each other",
            got=f"x {x_shape}, w {w_shape}, groups {geometry.groups}, pad_code {geometry.pad_code}",
            expected="x [B, C, H, W], w [O, C/groups, kh, kw], O divisible by groups, pad_code 0",
        )
    height, width = geometry.output_size((x_shape[2], x_shape[3]), (w_shape[2], w_shape[3]))
    return x_shape[0], w_shape[0], height, width


def check_numbers(x: Numbers, w: Numbers, geometry: Conv2dGeometry) -> tuple[int, int, int, int]:
    """As `check_numbers_conv2d`, for a forward's operands; they must be float32 too."""
    shape = check_numbers_conv2d(x.shape, w.shape, geometry)
    _check_type(x=x, w=w)
    return shape


def check_input_grad(
    grad: Numbers, w: Numbers, geometry: Conv2dGeometry, image: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the shape of an input's gradient [B, C, H, W].

    Raises:
        ConfigError: grad is not that of a convolution of such images with w.
    """
    _check_type(grad=grad, w=w)
    channels = w.shape[1] * geometry.groups if w.ndim == 4 else -1
    shape = (len(grad), channels, *image)
    _check_grad(grad, check_numbers_conv2d(shape, w.shape, geometry))
    return shape


def check_weight_grad(
    x: Numbers, grad: Numbers, geometry: Conv2dGeometry, kernel: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the shape of a kernel's gradient [O, C/groups, kh, kw].

    Raises:
        ConfigError: grad is not that of a convolution of x with such a kernel.
    """
    _check_type(x=x, grad=grad)
    if x.ndim != 4 or grad.ndim != 4:
        raise ConfigError(
            "operands of a convolution's gradient have the wrong number of axes",
            got=f"x {x.shape}, grad {grad.shape}",
            expected="x [B, C, H, W] and grad [B, O, H', W']",
        )
    shape = (grad.shape[1], x.shape[1] // geometry.groups, *kernel)
    _check_grad(grad, check_numbers_conv2d(x.shape, shape, geometry))
    return shape


def _check_grad(grad: Numbers, expected: tuple[int, int, int, int]) -> None:
    if grad.shape != expected:
        raise ConfigError(
            "a gradient has not the shape of the convolution's output",
            got=grad.shape,
            expected=expected,
        )


def _check_type(**operands: Numbers) -> None:
    for name, array in operands.items():
        if array.dtype != np.float32:
            raise ConfigError(f"{name} has the wrong type", got=array.dtype, expected="float32")
