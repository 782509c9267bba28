"""Error metrics of an integer multiplier estimated from a stratified sample of its operand pairs.

The figures are those of `rtlgrad.lutgen.metrics`, over all operand pairs, each counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cosim.wide import Pairs
from .estimate import CONFIDENCE, Estimate, Strata
from .strata import corners, stratum_of, stratum_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.interface import Interface
    from .sample import Sample

_INT64_BITS = 62
"""Sums and differences of two numbers of so many bits fit int64."""


@dataclass(frozen=True, slots=True)
class SampledMetrics:
    """Estimates with 95 % confidence intervals; ``_pct`` is percent.

    Attributes:
        pairs: operand pairs in the sample.
        corner_pairs: of those, the pairs of two corners, which were all taken.
        strata: number of strata that are not empty.
        confidence: of the intervals.
        mae: mean absolute error.
        mae_pct: MAE / 2^(wa+wb).
        mse: mean squared error.
        ep_pct: share of operand pairs with err != 0.
        bias: mean error.
        nmed: MAE / max|exact|, a fraction.
        mre_nonzero_pct: mean |err| / |exact| over the pairs with exact != 0.
        mre_all_pct: mean |err| / max(1, |exact|) over all pairs.
        wce_at_least: greatest absolute error in the sample; the worst case is at least that.
        wce_at_least_pct: the same / 2^(wa+wb).
        worst_a: code of operand a for which it was found.
        worst_b: code of operand b.
    """

    pairs: int
    corner_pairs: int
    strata: int
    confidence: float
    mae: Estimate
    mae_pct: Estimate
    mse: Estimate
    ep_pct: Estimate
    bias: Estimate
    nmed: Estimate
    mre_nonzero_pct: Estimate
    mre_all_pct: Estimate
    wce_at_least: int
    wce_at_least_pct: float
    worst_a: int
    worst_b: int


def sampled_metrics(sample: Sample, interface: Interface) -> SampledMetrics:
    """Estimate the error metrics of a design from a sample that `rtlgrad.lutgen.strata.draw` drew."""
    pairs = Pairs(sample.a, sample.b)
    index = stratum_of(interface, pairs)
    strata = Strata(index, stratum_sizes(interface))
    exact, error = products_and_errors(sample, interface)
    distance, magnitude = np.abs(error), np.abs(exact)
    population = 1 << (interface.a.width + interface.b.width)
    zeros = (1 << interface.a.width) + (1 << interface.b.width) - 1
    relative = (distance / np.maximum(magnitude, 1)).astype(np.float64)
    nonzero = np.where(magnitude != 0, relative, 0.0)
    mae = strata.mean(distance)
    worst = int(np.argmax(distance))
    greatest = max(abs(x * y) for x in interface.a.limits for y in interface.b.limits)
    wce = int(distance[worst])
    return SampledMetrics(
        pairs=len(sample),
        corner_pairs=len(corners(interface.a)) * len(corners(interface.b)),
        strata=len(strata),
        confidence=CONFIDENCE,
        mae=mae,
        mae_pct=mae.times(100 / population),
        mse=strata.mean(error.astype(np.float64) ** 2),
        ep_pct=strata.share(np.asarray(error != 0, dtype=np.bool_)).times(100),
        bias=strata.mean(error),
        nmed=mae.times(1 / greatest),
        mre_nonzero_pct=strata.mean(nonzero).times(100 * (population / (population - zeros))),
        mre_all_pct=strata.mean(relative).times(100),
        wce_at_least=wce,
        wce_at_least_pct=100 * wce / population,
        worst_a=int(sample.a[worst]),
        worst_b=int(sample.b[worst]),
    )


def products_and_errors(sample: Sample, interface: Interface) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the exact products and the errors of a sample.

    Returns:
        int64 [N] each; of Python integers (dtype object) where they could leave int64.
    """
    a, b = sample.operands(interface)
    outputs = sample.outputs(interface)
    widest = max(interface.a.width + interface.b.width, interface.out.width)
    if widest > _INT64_BITS:
        a, b, outputs = (values.astype(object) for values in (a, b, outputs))
    exact = a * b
    return exact, outputs - exact
