"""Finds the factors of a table of low rank, or says why there are none.

A table may be of low rank itself, or its error may be; the factors of the error and the exact product are
factors of the table then. Of a matrix there are as many integer factorisations as lattices between the one
that its rows span and the integer vectors in their span, each with many bases. Both ends are tried, with
short bases on either side, and what gives the fewest products of bytes is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .lattice import TooHardError, pivots, reduced, row_basis
from .lowrank_types import LowRankFactors, NoFactors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Pair: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]

MOST = 16
"""The greatest rank that is looked for: more than pays on a CPU."""

_LARGE = 2**18  # entries from which on one success is enough
_PASSES = 20
_SAFE = 2**31


def find_factors(products: NDArray[np.int32], most: int = MOST) -> LowRankFactors | NoFactors:
    """Return factors of a table that give it back entry by entry, or why there are none.

    The outcome depends on the arguments alone. A table of random numbers is given up within milliseconds.

    Args:
        products: int32 [2^wa, 2^wb].
        most: the greatest rank that is looked for; never more than a quarter of the shorter side, as
            beyond that reading the table costs no more.
    """
    most = min(most, max(1, min(products.shape) // 4))
    reasons: dict[str, str] = {}
    promising = sorted(_promising(products, most, reasons), key=lambda part: part.least)
    found: list[LowRankFactors] = []
    table = products.astype(np.int64) if promising else np.zeros((0, 0), np.int64)
    for part in promising:
        if any(part.least >= factors.bytes.count for factors in found):
            continue
        try:
            pair = _factors_of(table, part.beside, most)
        except TooHardError as error:
            reasons[part.name] = str(error)
            continue
        factors = _assembled(table, *_polished(*pair))
        if np.array_equal(factors.table(), table):
            found.append(factors)
            if table.size >= _LARGE:
                break
        else:
            reasons[part.name] = "its factors do not give it back"
    if found:
        return min(found, key=lambda factors: (factors.bytes.count, len(factors.bytes.left)))
    reason = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    if len(set(reasons.values())) == 1:
        reason = f"{next(iter(reasons.values()))}, of the table and of its error"
    return NoFactors(reason, searched=bool(promising))


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """An exact product that leaves a matrix of low rank of a table, so far as a sample tells.

    Attributes:
        name: what is left, in words.
        beside: the functions of a and of b that it is a product of, or None: the whole table is left.
        rank: of the sample.
    """

    name: str
    beside: Pair | None
    rank: int

    @property
    def least(self) -> int:
        """The fewest products of digits that it can come to."""
        return self.rank + (self.beside is not None)


def _promising(products: NDArray[np.int32], most: int, reasons: dict[str, str]) -> Iterator[_Part]:
    """Yield what may have factors; add the reasons against all else."""
    rows, columns = (np.arange(side, dtype=np.int64) for side in products.shape)
    products_beside: dict[str, Pair | None] = {"the table": None}
    for flip_a, sign_a in ((0, "unsigned"), (len(rows) // 2, "signed")):
        for flip_b, sign_b in ((0, "unsigned"), (len(columns) // 2, "signed")):
            pair = ((rows ^ flip_a) - flip_a, (columns ^ flip_b) - flip_b)
            products_beside[f"its error, {sign_a} by {sign_b}"] = pair
    some = [
        np.unique(np.linspace(0, len(side) - 1, 4 * most, dtype=np.int64))
        for side in (rows, columns)
    ]
    sample = products[np.ix_(*some)].astype(np.int64)
    for name, beside in products_beside.items():
        part = None if beside is None else (beside[0][some[0]], beside[1][some[1]])
        crossings = pivots(_bare(sample, part), most)
        if crossings is None:
            reasons[name] = f"rank above {most}"
        else:
            yield _Part(name, beside, len(crossings[0]))


def _factors_of(table: NDArray[np.int64], beside: Pair | None, most: int) -> Pair:
    """Return u [r, 2^wa] and v [r, 2^wb] whose product is the table but for functions of one index.

    Raises:
        TooHardError: what is left beside a product is of a greater rank than ``most``, or out of reach.
    """
    matrix = _bare(table, beside)
    crossings = pivots(matrix, most)
    if crossings is None:
        raise TooHardError(f"rank above {most}")
    rows, columns = crossings
    u, v = np.zeros((0, len(matrix)), np.int64), np.zeros((0, matrix.shape[1]), np.int64)
    if rows:
        tried = [*_bases(matrix, rows, columns)]
        tried += [(u, v) for v, u in _bases(matrix.T, columns, rows)]
        u, v = min(tried, key=lambda pair: _cost(*pair))
    return (u, v) if beside is None else (np.vstack([u, beside[0]]), np.vstack([v, beside[1]]))


def _bare(table: NDArray[np.int64], beside: Pair | None) -> NDArray[np.int64]:
    """Return what a table has beside a product, less its first row and its first column."""
    matrix = table if beside is None else table - np.multiply.outer(*beside)
    bare: NDArray[np.int64] = matrix - matrix[:1] - matrix[:, :1] + matrix[0, 0]
    return bare


def _bases(matrix: NDArray[np.int64], rows: list[int], columns: list[int]) -> Iterator[Pair]:
    """Yield factors by the lattice of a matrix's rows: a short basis, and one of short coefficients."""
    U, V = row_basis(matrix, rows, columns)
    yield U.T, V
    coefficients = reduced(U.T)
    # The same change of basis, the other way round: U.T = step @ coefficients.
    step = np.linalg.lstsq(coefficients.T.astype(np.float64), U.astype(np.float64), rcond=None)[0]
    changed = np.rint(step).astype(np.int64) @ V
    if np.array_equal(coefficients.T @ changed, matrix):
        yield coefficients, changed


def _cost(u: NDArray[np.int64], v: NDArray[np.int64]) -> tuple[int, float]:
    """Return the number of products of bytes, and how near it is to being less."""
    pairs = [(_width(x), _width(y)) for x, y in zip(u, v, strict=True)]
    bits = sum(one.bit_length() + other.bit_length() for one, other in pairs)
    return sum(_bytes(one) * _bytes(other) for one, other in pairs), bits


def _width(values: NDArray[np.int64]) -> int:
    return int(np.ptp(values)) // (int(np.gcd.reduce(values)) or 1)


def _bytes(width: int) -> int:
    return max(1, -(-width.bit_length() // 8))


def _polished(u: NDArray[np.int64], v: NDArray[np.int64]) -> Pair:
    """Add multiples of functions to others, and take what that adds from the other side, while it helps."""
    u, v = u.copy(), v.copy()
    each = [_cost(u[i : i + 1], v[i : i + 1]) for i in range(len(u))]
    for _ in range(_PASSES):
        improved = False
        for i in range(len(u)):
            for j in range(len(u)):
                if i != j:
                    improved |= _improve(u, v, i, j, each)
        if not improved:
            break
    return u, v


def _improve(
    u: NDArray[np.int64], v: NDArray[np.int64], i: int, j: int, each: list[tuple[int, float]]
) -> bool:
    """Try v[i] + times * v[j] with u[j] - times * u[i], in place; tell whether one of them helped."""
    before = (each[i][0] + each[j][0], each[i][1] + each[j][1])
    for times in {1, -1, *_nearest(v[i], v[j]), *(-x for x in _nearest(u[j], u[i]))}:
        if times == 0:
            continue
        one, other = v[i] + times * v[j], u[j] - times * u[i]
        cost_i, cost_j = _cost(u[i][None], one[None]), _cost(other[None], v[j][None])
        if (cost_i[0] + cost_j[0], cost_i[1] + cost_j[1]) < before:
            v[i], u[j] = one, other
            each[i], each[j] = cost_i, cost_j
            return True
    return False


def _nearest(values: NDArray[np.int64], direction: NDArray[np.int64]) -> tuple[int, ...]:
    """Return whole multiples of a direction that bring values near a constant."""
    centred = direction - direction.mean()
    length = float(centred @ centred)
    if length == 0:
        return ()
    times = -float(centred @ values) / length
    if abs(times) >= _SAFE:
        return ()
    return (int(np.floor(times)), int(np.ceil(times)))


def _assembled(
    table: NDArray[np.int64], u: NDArray[np.int64], v: NDArray[np.int64]
) -> LowRankFactors:
    """Return the factors of a table that is the product of u and v but for functions of one index."""
    kept = [i for i in range(len(u)) if np.ptp(u[i]) and np.ptp(v[i])]
    u, v = u[kept], v[kept]
    rest = table - u.T @ v
    columns = rest[0].copy()
    rows = rest[:, 0] - rest[0, 0]
    if len(u) and np.any(rows):
        times = np.rint(np.linalg.lstsq(u.T.astype(float), rows.astype(float), rcond=None)[0])
        whole = times.astype(np.int64)
        if np.array_equal(whole @ u - (whole @ u)[0], rows):
            columns -= (whole @ u)[0]
            v = v + whole[:, None]
            rows = np.zeros_like(rows)
    return LowRankFactors(columns, rows, u, v)
