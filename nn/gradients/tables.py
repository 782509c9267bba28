"""The gradient of a table with respect to each operand: per pair of codes, or per code.

Everything is with respect to *values*: differences are between neighbouring values of an operand,
whatever their codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...lutgen.table import code_values
from .separable import separate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .choice import Gradient
    from .separable import Terms


@dataclass(frozen=True, eq=False)
class GradientTables:
    """Derivatives of a product with respect to each operand, by codes.

    Attributes:
        by_a: float32 [2^wa, 2^wb], dT/da; or [2^wb], one for each code of b.
        by_b: float32 [2^wa, 2^wb], dT/db; or [2^wa], one for each code of a.
    """

    by_a: NDArray[np.float32]
    by_b: NDArray[np.float32]

    @cached_property
    def terms(self) -> tuple[Terms, Terms] | None:
        """Both two-dimensional tables as sums of products, or None if one has too many."""
        by_a = separate(self.by_a)
        by_b = None if by_a is None else separate(self.by_b)
        return None if by_a is None or by_b is None else (by_a, by_b)


def lut_gradients(
    products: NDArray[np.int32], signed: tuple[bool, bool], gradient: Gradient
) -> GradientTables:
    """Return the two-dimensional gradient tables of a product table.

    Args:
        products: int32 [2^wa, 2^wb] by code.
        signed: whether codes of (a, b) are two's complement.
        gradient: of kind "lut".

    Raises:
        ConfigError: the window is wider than an operand's range.
    """
    by_a = lut_gradient(products, signed, gradient)
    by_b = lut_gradient(products.T, signed[::-1], gradient).T
    return GradientTables(by_a, np.ascontiguousarray(by_b))


def lut_gradient(
    products: NDArray[np.int32], signed: tuple[bool, bool], gradient: Gradient
) -> NDArray[np.float32]:
    """Return the derivative of a table along its rows' operand.

    With n = 2^B values x of that operand in ascending order, and h the half-window, for each
    column w (Meng, Burleson and De Micheli, DATE 2025):

    * (4) ``S(w, x) = mean of T[w, x + d] over |d| <= h``, where all of these exist;
    * (5) ``dT/dx = (S(w, x+1) - S(w, x-1)) / 2``, where both exist;
    * (6) ``dT/dx = (max_x T - min_x T) / 2^B`` elsewhere, that is within h of a border.

    The paper's operands are unsigned. For a signed w the rise of (6) takes the sign of w, as the
    product falls with x where w is negative.

    Args:
        products: int32 [2^B, columns] by code.
        signed: whether codes of (rows, columns) are two's complement.
        gradient: of kind "lut".

    Returns:
        float32 of the same shape, by code.

    Raises:
        ConfigError: the window is wider than the operand's range.
    """
    count, columns = products.shape
    half = _half_window(gradient, count)
    values = code_values(count.bit_length() - 1, signed[0])
    order = np.argsort(values)
    table = products[order].astype(np.int64)

    rise = (table.max(axis=0) - table.min(axis=0)).astype(np.float64)
    falls = code_values(columns.bit_length() - 1, signed[1]) < 0
    divisor = count if gradient.border == "published" else count - 1
    slopes_by_value = np.tile(np.where(falls, -rise, rise) / divisor, (count, 1))

    sums = np.concatenate([np.zeros((1, columns), np.int64), table.cumsum(axis=0)])
    window = 2 * half + 1
    smooth = (sums[window:] - sums[:-window]) / window  # S at x = half .. count - 1 - half
    slopes_by_value[half + 1 : count - 1 - half] = (smooth[2:] - smooth[:-2]) / 2
    by_code = np.empty_like(slopes_by_value)
    by_code[order] = slopes_by_value
    return by_code.astype(np.float32)


def slopes(products: NDArray[np.int32], signed: tuple[bool, bool]) -> GradientTables:
    """Return the one-dimensional gradients of a product table.

    ``by_a[b]`` is the slope of the straight line fitted by least squares to column b over all
    values of a, and ``by_b[a]`` that of row a over all values of b (arXiv 2509.10519).

    Args:
        products: int32 [2^wa, 2^wb] by code.
        signed: whether codes of (a, b) are two's complement.
    """
    return GradientTables(_slope(products, signed[0]), _slope(products.T, signed[1]))


def _slope(products: NDArray[np.int32], signed: bool) -> NDArray[np.float32]:
    values = code_values(products.shape[0].bit_length() - 1, signed).astype(np.float64)
    centred = values - values.mean()
    fitted: NDArray[np.float64] = centred @ products.astype(np.float64) / (centred @ centred)
    return fitted.astype(np.float32)


def _half_window(gradient: Gradient, count: int) -> int:
    widest = (count - 3) // 2
    half = gradient.half_window
    if half is None:
        return min(count // 16, widest)
    if half > widest:
        raise ConfigError(
            "the half-window of a gradient is too wide for the operand",
            got=f"{half} of {count} values",
            expected=f"0 to {widest}",
            remedy="lower H in lut:H, or leave it out for a sixteenth of the range",
        )
    return half
