"""Error metrics of a multiplier, over every pair of operands.

All are exhaustive means over the 2^(wa+wb) operand pairs, each pair counted once, with
err = table - exact. The definitions are those of EvoApproxLib (Mrazek et al., DATE 2017); where
the literature has two, both are given. docs/metrics.md compares the names in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .table import ProductTable


@dataclass(frozen=True, slots=True)
class ErrorMetrics:
    """Error metrics; ``_pct`` is percent.

    Attributes:
        mae: mean absolute error, also MED (mean error distance).
        mae_pct: MAE / 2^(wa+wb).
        wce: worst-case absolute error.
        wce_pct: WCE / 2^(wa+wb).
        mse: mean squared error.
        ep_pct: error probability, also ER: share of operand pairs with err != 0.
        bias: mean error; negative if the products are too small on average.
        nmed: MAE / max|exact|, a fraction.
        mre_nonzero_pct: mean |err| / |exact| over the pairs with exact != 0; also MRED. The
            definition of EvoApproxLib LITE.
        mre_all_pct: mean |err| / max(1, |exact|) over all pairs. The definition of
            EvoApprox8b (2017).
    """

    mae: float
    mae_pct: float
    wce: int
    wce_pct: float
    mse: float
    ep_pct: float
    bias: float
    nmed: float
    mre_nonzero_pct: float
    mre_all_pct: float


def error_metrics(table: ProductTable) -> ErrorMetrics:
    """Compute the error metrics of a table against exact multiplication."""
    exact = np.abs(table.exact)
    error = table.error
    distance = np.abs(error)
    pairs = distance.size
    mae = float(distance.sum(dtype=np.int64)) / pairs
    wce = int(distance.max())
    nonzero = exact != 0
    relative = distance[nonzero] / exact[nonzero]
    return ErrorMetrics(
        mae=mae,
        mae_pct=100.0 * mae / pairs,
        wce=wce,
        wce_pct=100.0 * wce / pairs,
        mse=float(np.square(error, dtype=np.float64).mean()),
        ep_pct=100.0 * int(np.count_nonzero(error)) / pairs,
        bias=float(error.sum(dtype=np.int64)) / pairs,
        nmed=mae / int(exact.max()),
        mre_nonzero_pct=100.0 * float(relative.mean()),
        mre_all_pct=100.0 * float((distance / np.maximum(exact, 1)).mean()),
    )
