"""Rules out, before a run, that an int32 accumulator overflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import OverflowRiskError

if TYPE_CHECKING:
    from .types import Codes, LookupTable

INT32_MAX = 2**31 - 1


def check_accumulator(w_codes: Codes, table: LookupTable) -> int:
    """Refuse sums of products that could leave int32 for these weights, whatever the activations.

    Where ``K`` products of the table's largest magnitude fit, nothing more is looked at. Else the
    bound is the tightest that holds for every activation and every order of summation: over an
    output's weights, the sum of the greatest (least) product in each weight's column, counted
    where it is positive (negative).

    Args:
        w_codes: weight codes [O, ...]; an output's sum runs over all axes but the first.
        table: the product table.

    Returns:
        The bound: no partial sum of products exceeds it in magnitude.

    Raises:
        OverflowRiskError: the bound exceeds 2^31 - 1; the message has the numbers.
    """
    K = int(np.prod(w_codes.shape[1:]))
    simple = K * table.max_abs
    if simple <= INT32_MAX or w_codes.size == 0:
        return simple
    least, greatest = table.column_limits
    per_output = w_codes.reshape(w_codes.shape[0], K)
    highest = int(np.maximum(greatest, 0)[per_output].sum(axis=1).max())
    lowest = int(np.minimum(least, 0)[per_output].sum(axis=1).min())
    bound = max(highest, -lowest)
    if bound > INT32_MAX:
        raise OverflowRiskError(
            "an int32 accumulator could overflow",
            got=f"sums of {K} products of up to {table.max_abs}; with the weights at hand up to "
            f"{bound} in magnitude",
            expected=f"at most {INT32_MAX}",
            remedy="use a table with narrower operands, or a layer with fewer products per output",
        )
    return bound


def correction_bound(K: int, *, x_max: int, x_zero: int, w_max: int, w_zero: int) -> int:
    """Bound the zero-point corrections of a sum of ``K`` products, term by term.

    The corrected sum is ``sum(T - x*zw - w*zx + zx*zw)`` (ALWANN: Mrazek et al., ICCAD 2019);
    this bounds the magnitude of everything in it but T.

    Args:
        K: products per output.
        x_max: largest magnitude of an activation's value.
        x_zero: the activation's zero point.
        w_max: largest magnitude of a weight's value.
        w_zero: the weight's zero point.
    """
    return K * (x_max * abs(w_zero) + w_max * abs(x_zero) + abs(x_zero * w_zero))
