"""A stratified choice among the operand pairs that a layer used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stratified(
    counts: NDArray[np.int64],
    values_a: NDArray[np.int64],
    values_b: NDArray[np.int64],
    limit: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Choose pairs from those that occur, the same number from each stratum where there are so many.

    A stratum is a pair of classes; a value's class is its sign and the position of its leading
    one, so that small operands are looked at as closely as large ones. Where a stratum has fewer
    pairs, all are taken and the others give more.

    Args:
        counts: int64 [2^wa, 2^wb], how often each pair occurs.
        values_a: int64 [2^wa], what the codes of a stand for.
        values_b: int64 [2^wb].
        limit: how many pairs to choose at most.
        seed: of the choice within a stratum (NumPy's PCG64).

    Returns:
        bool [2^wa, 2^wb]: the pairs chosen, all of them if there are no more than ``limit``.
    """
    occurring = counts > 0
    a, b = np.nonzero(occurring)
    if len(a) <= limit:
        return occurring
    classes = _classes(values_b)
    strata = _classes(values_a)[a] * (int(classes.max()) + 1) + classes[b]
    shuffled = np.random.default_rng(seed).permutation(len(a))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    _, starts, sizes = np.unique(strata[by_stratum], return_index=True, return_counts=True)
    # The place of a pair in its stratum; taking the lowest places first takes evenly from all.
    places = np.arange(len(a)) - np.repeat(starts, sizes)
    taken = by_stratum[np.argsort(places, kind="stable")[:limit]]
    chosen = np.zeros(counts.shape, np.bool_)
    chosen[a[taken], b[taken]] = True
    return chosen


def _classes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    magnitude = np.frexp(np.abs(values).astype(np.float64))[1].astype(np.int64)
    return 2 * magnitude + (values < 0)
