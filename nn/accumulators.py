"""Accumulators narrower than int32: what hardware with few bits would add up.

An accumulator of n bits holds the sum of the table's products, in two's complement, beginning at
0. Zero-point corrections and bias are outside it, as they are everywhere else (an accelerator adds
constants of a layer once, not per product).

``wrap:n``
    Modulo 2^n. The order of additions does not matter, so it follows from any engine's sum.
``saturate:n``
    Clamped to -2^(n-1) .. 2^(n-1) - 1 after every addition. The order matters: products are added
    in the order of a weight's entries (input channel, then kernel row, then kernel column).

`saturating_sums` is the specification of the latter, and what computes it on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engines import LookupTable
    from .engines.types import Codes

MODES = ("wrap", "saturate")
MIN_BITS, MAX_BITS = 2, 32
_BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True, slots=True)
class Accumulator:
    """The register that sums of products are kept in.

    Attributes:
        mode: "exact" (int32, refused where it could overflow), "wrap" or "saturate".
        bits: its width, 2 to 32.
    """

    mode: str = "exact"
    bits: int = 32

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest number it holds."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1


def parse_accumulator(text: str) -> Accumulator:
    """Read an accumulator: ``int32``, ``wrap:N`` or ``saturate:N``.

    Raises:
        ConfigError: it is none of these.
    """
    if text == "int32":
        return Accumulator()
    mode, _, width = text.partition(":")
    if mode not in MODES or not width.isdecimal() or not MIN_BITS <= int(width) <= MAX_BITS:
        raise ConfigError(
            f"accumulator {text!r} makes no sense",
            expected=f"int32, wrap:N or saturate:N with N from {MIN_BITS} to {MAX_BITS} bits",
        )
    return Accumulator(mode, int(width))


def wrapped(sums: NDArray[np.int32], accumulator: Accumulator) -> NDArray[np.int32]:
    """Return sums modulo 2^bits in two's complement.

    Args:
        sums: int32, each right modulo 2^32.
        accumulator: of mode "wrap".
    """
    unused = 32 - accumulator.bits
    return np.right_shift(np.left_shift(sums, unused), unused)


def saturating_sums(
    a_codes: Codes, b_codes: Codes, table: LookupTable, accumulator: Accumulator
) -> NDArray[np.int32]:
    """Add products one by one, clamping after each.

    Args:
        a_codes: activations, uint8 or int16 [M, K].
        b_codes: weights, uint8 or int16 [K, N].
        table: the product table.
        accumulator: of mode "saturate".

    Returns:
        int32 [M, N].
    """
    low, high = accumulator.limits
    M, N = a_codes.shape[0], b_codes.shape[1]
    sums = np.zeros((M, N), dtype=np.int64)
    step = max(1, _BLOCK_ENTRIES // max(1, N))
    for start in range(0, M, step):
        rows = slice(start, start + step)
        for k in range(a_codes.shape[1]):
            sums[rows] += table.products[a_codes[rows, k][:, None], b_codes[k][None, :]]
            np.clip(sums[rows], low, high, out=sums[rows])
    return sums.astype(np.int32)


def refuse_engine(engine: str) -> None:
    """Refuse an engine asked for by name that cannot saturate.

    Raises:
        EngineError: it cannot.
    """
    if engine not in ("auto", "numpy"):
        raise EngineError(
            f"the engine {engine!r} does not saturate",
            got="an accumulator that is clamped after every addition",
            expected="the engine 'numpy', or 'auto', which takes it here",
            remedy="choose one of these, or an accumulator that wraps around",
        )
