"""Relative errors of a floating-point multiplier whose mantissas are too wide for a table.

The population: normal operands of either sign, mantissas uniform, exponents uniform over those whose
product is normal whatever the mantissas are. Strata: both signs, and the top bits of both
mantissas; all strata are equally large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DesignError
from ..cosim.wide import Pairs
from .estimate import CONFIDENCE, Estimate, Strata
from .float_codes import codes_from, fields_of, number_text
from .rounding import Rounding, rounding_of, significand_products
from .special_operands import (
    PAIRS_PER_CLASS,
    SpecialCase,
    SpecialClass,
    draw_special,
    judge,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.float_format import FloatFormat
    from .sample import Sample

    Codes = NDArray[np.uint64]

DEFAULT_SEED = 0
DRAWS = 512
"""Operand pairs of each stratum."""
_TOP_BITS = 3
_SIGNS = 4
_ABSURD = 60
"""Powers of two by which a product may be too large; past that it is none."""
STRATA = _SIGNS << (2 * _TOP_BITS)


@dataclass(frozen=True, slots=True)
class SampledFloatMetrics:
    """Errors relative to the exact product, estimated with 95 % confidence intervals.

    Attributes:
        pairs: operand pairs in the sample.
        strata: number of strata.
        confidence: of the intervals.
        mre_pct: mean relative error, 100 * mean |err| / exact.
        bias_pct: 100 * mean err / exact, of magnitudes.
        worst_at_least_pct: greatest relative error in the sample; the worst is at least that.
        worst_a: code of operand a for which it was found.
        worst_b: code of operand b.
        rounding: how the sample's mantissas come from the exact products.
        specials: what the design does with zeros, subnormals, infinities, NaN, overflow and
            underflow.
    """

    pairs: int
    strata: int
    confidence: float
    mre_pct: Estimate
    bias_pct: Estimate
    worst_at_least_pct: float
    worst_a: int
    worst_b: int
    rounding: Rounding
    specials: tuple[SpecialCase, ...]


@dataclass(frozen=True, slots=True)
class FloatPlan:
    """The operand pairs to simulate, in order.

    Attributes:
        sample: pairs of normal operands, stratified; stratum k has pairs k * `DRAWS` and on.
        special: other operands, by class.
    """

    sample: Pairs
    special: dict[SpecialClass, Pairs]

    @property
    def pairs(self) -> Pairs:
        """All of them."""
        parts = [self.sample, *self.special.values()]
        return Pairs(
            np.concatenate([part.a for part in parts]), np.concatenate([part.b for part in parts])
        )


def plan(form: FloatFormat, *, seed: int = DEFAULT_SEED) -> FloatPlan:
    """Draw the operand pairs."""
    generator = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(STRATA), DRAWS)
    top = (1 << _TOP_BITS) - 1
    low_bits = form.mantissa_bits - _TOP_BITS
    mantissas = [
        (((stratum >> shift) & top) << low_bits)
        | generator.integers(0, 1 << low_bits, len(stratum))
        for shift in (0, _TOP_BITS)
    ]
    signs = [(stratum >> (2 * _TOP_BITS + bit)) & 1 for bit in (0, 1)]
    first, second = _exponents(form, len(stratum), generator)
    sample = Pairs(
        codes_from(signs[0], first, mantissas[0], form),
        codes_from(signs[1], second, mantissas[1], form),
    )
    return FloatPlan(sample, draw_special(form, generator))


def _exponents(
    form: FloatFormat, count: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of exponents uniformly among those with a normal product, carry or no carry."""
    every = np.arange(1, form.max_exponent)
    total = every[:, None] + every[None, :] - form.bias
    legal = np.argwhere((total >= 1) & (total + 1 < form.max_exponent))
    chosen = legal[generator.integers(0, len(legal), count)]
    return every[chosen[:, 0]], every[chosen[:, 1]]


def sampled_float_metrics(
    sample: Sample, specials: tuple[SpecialCase, ...], form: FloatFormat, name: str
) -> SampledFloatMetrics:
    """Estimate relative errors from a sample whose pairs are those of `plan`.

    Raises:
        DesignError: a product is infinite or NaN, or has the wrong sign; gives the operands.
    """
    a, b = fields_of(sample.a, form), fields_of(sample.b, form)
    got = fields_of(sample.codes[:, 0], form)
    expected = a.exponent + b.exponent - form.bias
    absurd = (got.exponent == form.max_exponent) | (got.exponent - expected > _ABSURD)
    _check_products(sample, absurd | ((a.sign ^ b.sign) != got.sign), form, name)
    exact = significand_products(a.mantissa, b.mantissa, form.mantissa_bits)
    relative = _relative_errors(exact, expected, got.exponent, got.mantissa, form)
    # Equally large, whatever their size.
    strata = Strata(np.repeat(np.arange(STRATA), DRAWS), [1] * STRATA, whole=False)
    worst = int(np.argmax(np.abs(relative)))
    carry = got.exponent - expected
    usual = bool(((carry == 0) | (carry == 1)).all())
    return SampledFloatMetrics(
        pairs=len(sample),
        strata=STRATA,
        confidence=CONFIDENCE,
        mre_pct=strata.mean(np.abs(relative)).times(100),
        bias_pct=strata.mean(relative).times(100),
        worst_at_least_pct=100 * float(abs(relative[worst])),
        worst_a=int(sample.a[worst]),
        worst_b=int(sample.b[worst]),
        rounding=rounding_of(exact, form.mantissa_bits, got.mantissa, carry == 1)
        if usual
        else Rounding.NEITHER,
        specials=specials,
    )


def judge_specials(made: FloatPlan, answers: Codes, form: FloatFormat) -> tuple[SpecialCase, ...]:
    """Name what a design does with special operands.

    Args:
        made: the operand pairs.
        answers: uint64 [N], the design's products for ``made.special``, in its order.
        form: the format.
    """
    cases = []
    for (kind, pairs), products in zip(
        made.special.items(), answers.reshape(-1, PAIRS_PER_CLASS), strict=True
    ):
        a, b = fields_of(pairs.a, form), fields_of(pairs.b, form)
        reached = a.exponent + b.exponent - form.bias
        kept = np.ones(len(pairs), dtype=np.bool_)
        if kind is SpecialClass.UNDERFLOW:
            kept = reached < 0
        elif kind is SpecialClass.OVERFLOW:
            kept = reached >= form.max_exponent
        if kept.any():
            chosen = Pairs(pairs.a[kept], pairs.b[kept])
            cases.append(judge(kind, chosen, [int(code) for code in products[kept]], form, None))
    return tuple(cases)


def _check_products(
    sample: Sample,
    flags: NDArray[np.bool_],
    form: FloatFormat,
    name: str,
) -> None:
    wrong = np.flatnonzero(flags)
    if not wrong.size:
        return
    at = int(wrong[0])
    a, b, got = (int(code) for code in (sample.a[at], sample.b[at], sample.codes[at, 0]))
    raise DesignError(
        f"{name} is not a multiplier of {form} numbers",
        got=f"{number_text(a, form)} x {number_text(b, form)} = {number_text(got, form)}; "
        f"{wrong.size} of {len(sample)} sampled products are like that",
        expected="a finite number of about the right size, with the exclusive or of the signs",
        remedy="look at the sidecar's format, and at the order of sign, exponent and mantissa",
    )


def _relative_errors(
    exact: NDArray[Any],
    exponent: NDArray[np.int64],
    got_exponent: NDArray[np.int64],
    got_mantissa: NDArray[np.int64],
    form: FloatFormat,
) -> NDArray[np.float64]:
    """Return (got - exact) / exact for magnitudes; a subnormal or zero product counts as it is.

    The difference is taken in integers where both are of one size, and so loses no digits.
    """
    m = form.mantissa_bits
    normal = got_exponent > 0
    significand = np.where(normal, got_mantissa + (1 << m), got_mantissa)
    shift = np.maximum(got_exponent, 1) - exponent
    close = (shift == 0) | (shift == 1)
    kind = exact.dtype
    scaled = (significand.astype(kind) << np.where(close, shift, 0).astype(kind)) << m
    relative = ((scaled - exact) / exact).astype(np.float64)
    far = np.ldexp(significand.astype(np.float64), shift + m) / exact.astype(np.float64) - 1.0
    return np.where(close, relative, far)
