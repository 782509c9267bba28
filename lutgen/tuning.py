"""Weight tuning: other weights that suit an approximate multiplier better, found without data.

Source: V. Mrazek et al., "ALWANN: Automatic Layer-Wise Approximation of Deep Neural Network
Accelerators without Retraining", ICCAD 2019, section III-B: each weight w is replaced by

    map(w) = argmin over w' of  sum over x of  P(x) * |x*w - T[x, w']|

with x over all values of the activation. There P is uniform; here it can be what a network's
activations really are. Between equally good w', w itself is taken, else the first code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ConfigError
from ..core.files import sha256_bytes
from .table import ProductTable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


TUNED = "+tuned"
"""Behind a design's name: its table with the weights mapped as `weight_map` does without data."""


@dataclass(frozen=True, eq=False)
class WeightMap:
    """Which weight stands in for which.

    Attributes:
        codes: uint16 [2^wb], read-only: code of the weight to use, by code of the weight wanted.
        distance_before: mean over x (weighted by P) and over w of |x*w - T[x, w]|, as products.
        distance_after: the same with T[x, map(w)]; never greater.
    """

    codes: NDArray[np.uint16]
    distance_before: float
    distance_after: float

    @property
    def changed(self) -> int:
        """Number of weights that are replaced."""
        return int(np.count_nonzero(self.codes != np.arange(len(self.codes))))


def weight_map(table: ProductTable, activations: ArrayLike | None = None) -> WeightMap:
    """Find the best stand-in for each weight; see the formula at the top of this module.

    Takes 2^(wa + 2 wb) steps: 30 ms for 8 bits, minutes for 12.

    Args:
        table: the multiplier.
        activations: how often each code of a occurs, [2^wa], not negative, in any unit; uniform
            if None.

    Raises:
        ConfigError: ``activations`` has another shape, a negative entry, or no count at all.
    """
    share = _shares(activations, 1 << table.width_a)
    used = share > 0  # a layer after a ReLU uses half of its codes or fewer
    products = table.products[used].astype(np.float64).T.copy()  # [weights, activations]
    values = table.values_a[used].astype(np.float64)
    weights = share[used]
    codes = np.empty(1 << table.width_b, dtype=np.uint16)
    before = after = 0.0
    for code, value in enumerate(table.values_b):
        distances = np.abs(products - values * float(value)) @ weights
        # Rounding of the sums must not prefer one of two equally good weights.
        best = np.flatnonzero(distances <= distances.min() * (1 + 1e-12))
        chosen = code if code in best else int(best[0])
        codes[code] = chosen
        before += float(distances[code])
        after += float(distances[chosen])
    codes.flags.writeable = False
    return WeightMap(codes, before / len(codes), after / len(codes))


def tuned(table: ProductTable, mapping: WeightMap) -> ProductTable:
    """Return the table with the map folded in: ``result[x, w] = table[x, map(w)]``.

    An accelerator stores map(w) in place of w; the multiplier stays as it is. The result's id
    depends on the id of ``table`` and on the map, so that a result made with it still traces
    back to the circuit.
    """
    content = f"tuned|{table.id}|".encode() + mapping.codes.astype("<u2").tobytes()
    return ProductTable(
        table.products[:, mapping.codes],
        table.signed_a,
        table.signed_b,
        name=f"{table.name}{TUNED}",
        id=sha256_bytes(content),
    )


def tuned_table(table: ProductTable) -> ProductTable:
    """Return a table with the weights mapped as suits it without data: ``NAME+tuned``."""
    return tuned(table, weight_map(table))


def _shares(activations: ArrayLike | None, codes: int) -> NDArray[np.float64]:
    if activations is None:
        return np.full(codes, 1.0 / codes)
    counts: NDArray[Any] = np.asarray(activations, dtype=np.float64)
    if counts.shape != (codes,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ConfigError(
            "the activations' distribution does not fit the table",
            got=f"shape {counts.shape}",
            expected=f"a count for each of the {codes} codes of operand a, none negative",
        )
    if counts.sum() == 0:
        raise ConfigError(
            "the activations' distribution is empty", expected="at least one count above 0"
        )
    return np.asarray(counts / counts.sum())
