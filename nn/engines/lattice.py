"""Short integer bases of the rows of an integer matrix of low rank.

Floating point only guides the search: every step adds whole multiples of vectors to others, exchanges two,
or solves a system exactly, so what comes out spans what went in, whatever the rounding.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRIME = 2**31 - 1  # products of two residues fit 64 bits
_LOVASZ = 0.99
_SAFE = 2**62


class TooHardError(Exception):
    """The search took more steps, or met greater numbers, than it may."""


def pivots(matrix: NDArray[np.int64], most: int) -> tuple[list[int], list[int]] | None:
    """Return rows and columns whose crossings are a regular matrix of the matrix's rank modulo a prime.

    That rank is never greater than the true one, and a basis of as many rows that gives all others,
    checked exactly, shows them to be equal.

    Args:
        matrix: int64 [m, n].
        most: the greatest rank that is wanted.

    Returns:
        As many rows and columns as the rank, or None if it is greater than ``most``.
    """
    rest = matrix % _PRIME
    rows: list[int] = []
    columns: list[int] = []
    while (at := int(np.argmax(rest != 0))) or rest.flat[0]:
        if len(rows) == most:
            return None
        i, j = divmod(at, rest.shape[1])
        inverse = pow(int(rest[i, j]), -1, _PRIME)
        factors = rest[:, j] * inverse % _PRIME
        touched = np.flatnonzero(factors)
        rest[touched] = (rest[touched] - factors[touched, None] * rest[i] % _PRIME) % _PRIME
        rows.append(i)
        columns.append(j)
    return rows, columns


def row_basis(
    matrix: NDArray[np.int64], rows: list[int], columns: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a short basis of the lattice that the rows of a matrix span, and the rows in terms of it.

    Args:
        matrix: int64 [m, n].
        rows: as `pivots` returns them.
        columns: the same.

    Returns:
        U [m, r] and V [r, n], int64, with ``U @ V == matrix``.

    Raises:
        TooHardError: it is out of reach, or the matrix has a greater rank after all.
    """
    basis = reduced(matrix[rows])
    while True:
        U = _coordinates(matrix, basis, columns)
        outside = np.flatnonzero(np.any(_product(U, basis) != matrix, axis=1))
        if not len(outside):
            return U, basis
        basis = reduced(_with_vector(basis, matrix[outside[0]], columns))


def reduced(basis: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a short basis of the lattice that a basis spans; lengths are measured about the mean.

    A. K. Lenstra, H. W. Lenstra and L. Lovasz, Factoring polynomials with rational coefficients, 1982;
    with the projections in floating point, made anew after every pass.

    Args:
        basis: int64 [r, n], independent rows.

    Raises:
        TooHardError: too many exchanges, or numbers beyond 62 bits.
    """
    vectors = basis.copy()
    r = len(vectors)
    left = 400 + 40 * r * r
    k = 1
    while k < r:
        ortho = _Projections.of(vectors)
        k = 1
        steady = True
        while k < r:
            steady &= not ortho.shorten(vectors, k)
            if ortho.ordered(k):
                k += 1
                continue
            left -= 1
            if left < 0:
                raise TooHardError("its lattice is not reduced within the steps allowed")
            ortho.exchange(vectors, k)
            steady = False
            k = max(1, k - 1)
        if steady:
            break
        left -= 1
        if left < 0:
            raise TooHardError("its lattice is not reduced within the steps allowed")
        k = 1
    return vectors


class _Projections:
    """Of each vector upon those before it: ``mu``, and ``norms`` of what is left."""

    def __init__(self, mu: NDArray[np.float64], norms: NDArray[np.float64]) -> None:
        self.mu, self.norms = mu, norms

    @classmethod
    def of(cls, vectors: NDArray[np.int64]) -> _Projections:
        centred = vectors - vectors.mean(axis=1, keepdims=True)
        R = np.linalg.qr(centred.T, mode="r")
        diagonal = np.diag(R).copy()
        diagonal[diagonal == 0] = np.finfo(np.float64).tiny
        return cls((R / diagonal[:, None]).T.copy(), diagonal**2)

    def shorten(self, vectors: NDArray[np.int64], k: int) -> bool:
        """Take multiples of earlier vectors from vector k; tell whether there were any."""
        changed = False
        for i in range(k - 1, -1, -1):
            if abs(self.mu[k, i]) <= 0.501:
                continue
            times = round(self.mu[k, i])
            if abs(times) * int(np.abs(vectors[i]).max()) >= _SAFE:
                raise TooHardError("its lattice takes numbers of more than 62 bits")
            vectors[k] -= times * vectors[i]
            self.mu[k, : i + 1] -= times * self.mu[i, : i + 1]
            changed = True
        return changed

    def ordered(self, k: int) -> bool:
        bound = (_LOVASZ - self.mu[k, k - 1] ** 2) * self.norms[k - 1]
        return bool(self.norms[k] >= bound)

    def exchange(self, vectors: NDArray[np.int64], k: int) -> None:
        """Exchange vectors k - 1 and k (H. Cohen, Computational Algebraic Number Theory, 2.6.3)."""
        mu, norms = self.mu, self.norms
        vectors[[k - 1, k]] = vectors[[k, k - 1]]
        mu[[k - 1, k], : k - 1] = mu[[k, k - 1], : k - 1]
        slope = mu[k, k - 1]
        length = norms[k] + slope**2 * norms[k - 1]
        mu[k, k - 1] = slope * norms[k - 1] / length
        norms[k] = norms[k - 1] * norms[k] / length
        norms[k - 1] = length
        later = mu[k + 1 :, k].copy()
        mu[k + 1 :, k] = mu[k + 1 :, k - 1] - slope * later
        mu[k + 1 :, k - 1] = later + mu[k, k - 1] * mu[k + 1 :, k]


def _coordinates(
    matrix: NDArray[np.int64], basis: NDArray[np.int64], columns: list[int]
) -> NDArray[np.int64]:
    """Return the rows in terms of a basis, rounded: right for those that are whole multiples."""
    square = basis[:, columns].astype(np.float64)
    found = np.linalg.solve(square.T, matrix[:, columns].T.astype(np.float64)).T
    if np.abs(found).max(initial=0) >= 2**53:
        raise TooHardError("its lattice takes numbers of more than 53 bits")
    whole: NDArray[np.int64] = np.rint(found).astype(np.int64)
    return whole


def _product(U: NDArray[np.int64], V: NDArray[np.int64]) -> NDArray[np.int64]:
    bound = int(np.abs(U).max(initial=0)) * int(np.abs(V).max(initial=0)) * len(V)
    if bound >= _SAFE:
        raise TooHardError("its lattice takes numbers of more than 62 bits")
    return U @ V


def _with_vector(
    basis: NDArray[np.int64], vector: NDArray[np.int64], columns: list[int]
) -> NDArray[np.int64]:
    """Return a basis of what a basis and one more vector in its span generate."""
    parts = _solve(basis[:, columns], vector[columns])
    whole = lcm(*(part.denominator for part in parts))
    p = [int(part * whole) for part in parts]
    r = len(p)
    exact = basis.astype(object)
    if np.any(np.array(p, dtype=object) @ exact != whole * vector.astype(object)):
        raise TooHardError("its rank is greater than it is modulo a prime")
    if whole == 1:
        raise TooHardError("its lattice takes more digits than floating point has")
    # The rows of whole * 1 and p generate the lattice in terms of basis / whole; triangular form.
    steps = np.zeros((r, r), dtype=object)
    for i in range(r):
        shared, x, y = _bezout(whole, p[i])
        row = [y * one % whole for one in p]
        row[i] = x * whole + y * p[i]
        steps[i, i:] = row[i:]
        p = [-(whole // shared) * one % whole for one in p]
    made = steps @ exact // whole
    if max(abs(int(one)) for one in made.flat) >= _SAFE:
        raise TooHardError("its lattice takes numbers of more than 62 bits")
    whole_basis: NDArray[np.int64] = made.astype(np.int64)
    return whole_basis


def _bezout(a: int, b: int) -> tuple[int, int, int]:
    """Return g, x, y with ``g = gcd(a, b) = x a + y b``, for positive a."""
    shared = gcd(a, b)
    if a == shared:
        return shared, 1, 0
    y = pow(b // shared, -1, a // shared)
    return shared, (shared - y * b) // a, y


def _solve(square: NDArray[np.int64], right: NDArray[np.int64]) -> list[Fraction]:
    """Return x with ``x @ square == right``, by elimination over the rationals."""
    r = len(square)
    system = [[Fraction(int(x)) for x in (*square[:, i], right[i])] for i in range(r)]
    for i in range(r):
        pivot = next(k for k in range(i, r) if system[k][i])
        system[i], system[pivot] = system[pivot], system[i]
        inverse = 1 / system[i][i]
        system[i] = [x * inverse for x in system[i]]
        for k in range(r):
            if k != i and system[k][i]:
                factor = system[k][i]
                system[k] = [x - factor * y for x, y in zip(system[k], system[i], strict=True)]
    return [row[r] for row in system]
