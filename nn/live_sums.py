"""A layer's output summed from products that come from elsewhere: from the RTL itself.

It is written apart from the engines, which it is compared with: products in the order of a
weight's entries, sums in int64, the corrections for zero points written out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..core.errors import OverflowRiskError
from .accumulators import Accumulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .quantize import OperandFormat


class OuterProducts(Protocol):
    """Something that multiplies every one of some codes by every one of others."""

    def outer(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the products of activation codes [P] and weight codes [O]: int64 [P, O]."""


@dataclass(frozen=True, eq=False)
class IntegerOperands:
    """The operands of a layer, by output, group by group.

    Attributes:
        columns: activation codes, int64 [groups, K, P]; P runs over images and positions, K over a
            weight's entries.
        kernels: weight codes, int64 [groups, O / groups, K].
        a: format of the activations.
        b: format of the weights.
        x_zero: zero point of the activations, as a value.
        w_zero: zero point of the weights, as a value.
        factors: float32 [groups, O / groups], what a sum is multiplied by.
        accumulator: what keeps the sums of products.
    """

    columns: NDArray[np.int64]
    kernels: NDArray[np.int64]
    a: OperandFormat
    b: OperandFormat
    x_zero: int
    w_zero: int
    factors: NDArray[np.float32]
    accumulator: Accumulator = Accumulator()  # noqa: RUF009 - frozen

    @property
    def products(self) -> int:
        """How many products the outputs take."""
        return int(self.columns.size * self.kernels.shape[1])

    def sums(self, source: OuterProducts) -> NDArray[np.int64]:
        """Return the sums of products, int64 [groups, P, O / groups].

        Products are added one after the other, in the order of K, as the accumulator has it.

        Raises:
            OverflowRiskError: a sum left int64, or the products are too wide for it to be known.
        """
        groups, K, positions = self.columns.shape
        sums = np.zeros((groups, positions, self.kernels.shape[1]), np.int64)
        low, high = self.accumulator.limits
        room = np.iinfo(np.int64).max
        for group in range(groups):
            total, greatest = sums[group], 0
            for k in range(K):
                made = source.outer(self.columns[group, k], self.kernels[group, :, k])
                greatest += _max_abs(made)
                if greatest > room:
                    raise OverflowRiskError(
                        "a sum of products could leave int64",
                        got=f"products that add up to {greatest} in {k + 1} of {K} steps",
                        expected=f"at most {room}",
                    )
                total += made
                if self.accumulator.mode == "saturate":
                    np.clip(total, low, high, out=total)
        if self.accumulator.mode == "wrap":
            sums = (sums - low) % (1 << self.accumulator.bits) + low
        return sums

    def rescaled(self, sums: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what sums of products stand for, float32 [groups, P, O / groups], without bias.

        ``float32(sum - zw * sum_k x_k - zx * sum_k w_k + K * zx * zw) * factor`` (V. Mrazek et al.,
        ALWANN, ICCAD 2019).
        """
        x, w = values_of(self.columns, self.a), values_of(self.kernels, self.b)
        K = self.columns.shape[1]
        corrected = sums - self.w_zero * x.sum(axis=1)[:, :, None]
        corrected -= self.x_zero * w.sum(axis=2)[:, None, :]
        corrected += K * self.x_zero * self.w_zero
        made: NDArray[np.float32] = corrected.astype(np.float32) * self.factors[:, None, :]
        return made

    def at(self, positions: NDArray[np.int64]) -> IntegerOperands:
        """Return the operands of some positions alone."""
        return replace(self, columns=self.columns[:, :, positions])


def values_of(codes: NDArray[np.int64], operand: OperandFormat) -> NDArray[np.int64]:
    """Return the values of codes, int64 of the same shape."""
    if not operand.signed:
        return codes
    half = 1 << (operand.bits - 1)
    return ((codes + half) & ((1 << operand.bits) - 1)) - half


def _max_abs(products: NDArray[np.int64]) -> int:
    if not products.size:
        return 0
    return max(-int(products.min()), int(products.max()))
