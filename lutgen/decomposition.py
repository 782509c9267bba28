"""Checks that a floating-point multiplier computes sign, exponent and mantissa apart.

Then a table of its mantissas says everything about normal operands: all pairs of mantissas at one
exponent give the table, and a sample over exponents and signs must be what the table predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DesignError
from ..cosim.wide import Pairs
from .float_codes import codes_from, fields_of, number_text
from .mantissa import MantissaTable
from .special_operands import (
    PAIRS_PER_CLASS,
    CounterExample,
    SpecialCase,
    SpecialClass,
    draw_special,
    judge,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cosim.float_format import FloatFormat

    Codes = NDArray[np.uint64]

DEFAULT_SEED = 0
SAMPLED_PAIRS = 1 << 16
_LEAST_DRAWS = 16
_SIGNS = ((0, 0), (0, 1), (1, 0), (1, 1))
_RANGE = (SpecialClass.UNDERFLOW, SpecialClass.OVERFLOW)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """How it was checked that sign, exponent and mantissa are computed apart.

    Attributes:
        exponent_bits: of the format.
        reference_exponent: stored exponent of both operands for the table: that of [1, 2).
        sampled_pairs: pairs of normal operands with a normal product, over all signs and exponents
            of a, that equal the table's prediction.
        strata: pairs of signs times exponents of a.
        seed: of the sample (NumPy's PCG64).
        specials: what the design does with other operands.
        netlist_pairs: pairs, all of the above, for which the mapped netlist was evaluated and found
            equal to the simulation; 0 without a netlist.
    """

    exponent_bits: int
    reference_exponent: int
    sampled_pairs: int
    strata: int
    seed: int
    specials: tuple[SpecialCase, ...]
    netlist_pairs: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The operand pairs that a check needs, in the order in which they are simulated.

    Attributes:
        mantissas: every pair of mantissas at the reference exponent, row by row.
        normal: normal operands; most of their products are in range.
        special: other operands, by class.
    """

    mantissas: Pairs
    normal: Pairs
    special: dict[SpecialClass, Pairs]

    @property
    def pairs(self) -> Pairs:
        """All of them."""
        parts = [self.mantissas, self.normal, *self.special.values()]
        return Pairs(
            np.concatenate([part.a for part in parts]), np.concatenate([part.b for part in parts])
        )


def plan(form: FloatFormat, *, seed: int = DEFAULT_SEED, pairs: int = SAMPLED_PAIRS) -> Plan:
    """Choose the operand pairs that show whether a multiplier of a format decomposes.

    Args:
        form: the format.
        seed: of the generator (NumPy's PCG64).
        pairs: of normal operands, about; each pair of signs and exponent gets at least 16.
    """
    generator = np.random.default_rng(seed)
    side = np.arange(1 << form.mantissa_bits)
    ones = codes_from(np.zeros_like(side), np.full_like(side, form.bias), side, form)
    mantissas = Pairs(np.repeat(ones, len(side)), np.tile(ones, len(side)))
    normal = draw_normal(form, generator, pairs)
    return Plan(mantissas, normal, draw_special(form, generator))


def draw_normal(form: FloatFormat, generator: np.random.Generator, pairs: int) -> Pairs:
    """Draw normal operands over all signs and exponents, with random mantissas.

    For each pair of signs and each exponent of a, exponents of b are those at the edges of
    underflow and overflow and others between.
    """
    exponents = range(1, form.max_exponent)
    draws = max(_LEAST_DRAWS, pairs // (len(_SIGNS) * len(exponents)))
    signs, chosen = [], []
    for sign in _SIGNS:
        for first in exponents:
            # From one below the least product to one above the greatest.
            low = max(1, form.bias - first)
            high = min(form.max_exponent - 1, form.max_exponent + form.bias - first)
            edges = [min(low + step, high) for step in range(3)]
            edges += [max(high - step, low) for step in range(3)]
            between = generator.integers(low, high, draws - len(edges), endpoint=True)
            chosen += [(first, int(second)) for second in (*edges, *between)]
            signs += [sign] * draws
    sign_a, sign_b = np.array(signs).T
    exponent_a, exponent_b = np.array(chosen).T
    mantissas = generator.integers(0, 1 << form.mantissa_bits, (2, len(signs)))
    return Pairs(
        codes_from(sign_a, exponent_a, mantissas[0], form),
        codes_from(sign_b, exponent_b, mantissas[1], form),
    )


def decompose(
    made: Plan, products: Codes, form: FloatFormat, name: str, *, seed: int = DEFAULT_SEED
) -> tuple[MantissaTable, Decomposition]:
    """Find a multiplier's mantissa table, and check that it says everything about normal operands.

    Args:
        made: the operand pairs, as `plan` gave them.
        products: uint64 [N], the design's products for ``made.pairs``.
        form: the format.
        name: the design's name.
        seed: that of the plan, for the record.

    Raises:
        DesignError: it does not; gives a counter-example.
    """
    of_mantissas, rest = np.split(products, [len(made.mantissas)])
    of_normal, of_special = np.split(rest, [len(made.normal)])
    table = _table(made.mantissas, of_mantissas, form, name)
    predicted, exponent = predict(table, made.normal, form)
    inside = (exponent >= 1) & (exponent < form.max_exponent)
    _check_prediction(made.normal, of_normal, predicted, inside, form, name)
    cases = []
    for (kind, pairs), answers in zip(
        made.special.items(), of_special.reshape(-1, PAIRS_PER_CLASS), strict=True
    ):
        if kind in _RANGE:
            pairs, answers = _joined(pairs, answers, made.normal, of_normal)
            reached = predict(table, pairs, form)[1]
            out = reached < 1 if kind is SpecialClass.UNDERFLOW else reached >= form.max_exponent
            pairs, answers = Pairs(pairs.a[out], pairs.b[out]), answers[out]
        if not len(pairs):
            continue  # exponents of two bits cannot underflow
        cases.append(judge(kind, pairs, [int(code) for code in answers], form, table))
    return table, Decomposition(
        exponent_bits=form.exponent_bits,
        reference_exponent=form.bias,
        sampled_pairs=int(np.count_nonzero(inside)),
        strata=len(_SIGNS) * (form.max_exponent - 1),
        seed=seed,
        specials=tuple(cases),
    )


def predict(
    table: MantissaTable, pairs: Pairs, form: FloatFormat
) -> tuple[Codes, NDArray[np.int64]]:
    """Return what a table says of normal operands: products, and their exponents.

    A product is right only if its exponent is that of a normal number.
    """
    a, b = fields_of(pairs.a, form), fields_of(pairs.b, form)
    carry = table.carry[a.mantissa, b.mantissa].astype(np.int64)
    exponent = a.exponent + b.exponent - form.bias + carry
    stored = np.clip(exponent, 0, form.max_exponent)
    mantissa = table.mantissa[a.mantissa, b.mantissa]
    return codes_from(a.sign ^ b.sign, stored, mantissa, form), exponent


def _table(pairs: Pairs, products: Codes, form: FloatFormat, name: str) -> MantissaTable:
    found = fields_of(products, form)
    carry = found.exponent - form.bias
    wrong = np.flatnonzero((found.sign != 0) | (carry < 0) | (carry > 1))
    if wrong.size:
        at = int(wrong[0])
        raise DesignError(
            f"{name} is not a multiplier of {form} numbers",
            got=" x ".join(number_text(int(code[at]), form) for code in (pairs.a, pairs.b))
            + f" = {number_text(int(products[at]), form)}; {wrong.size} of {len(pairs)} pairs of "
            "mantissas give such products",
            expected="a product from 1 up, below 4, of two numbers from 1 up, below 2",
            remedy="look at the sidecar's format, and at the order of sign, exponent and mantissa",
        )
    side = 1 << form.mantissa_bits
    return MantissaTable(
        form.mantissa_bits,
        found.mantissa.reshape(side, side),
        carry.astype(np.bool_).reshape(side, side),
        name=name,
    )


def _check_prediction(
    pairs: Pairs,
    products: Codes,
    predicted: Codes,
    inside: NDArray[np.bool_],
    form: FloatFormat,
    name: str,
) -> None:
    wrong = np.flatnonzero(inside & (products != predicted))
    if not wrong.size:
        return
    at = int(wrong[0])
    shown = (number_text(int(code[at]), form) for code in (pairs.a, pairs.b, products, predicted))
    raise DesignError(
        f"{name} does not decompose into sign, exponent and mantissa: no mantissa table says what it "
        "computes",
        got=f"{CounterExample(*shown)}; {wrong.size} of {np.count_nonzero(inside)} sampled products "
        "differ",
        expected="the exclusive or of the signs, the sum of the exponents, and the same mantissa "
        "whatever signs and exponents are",
    )


def _joined(pairs: Pairs, answers: Codes, more: Pairs, of_more: Codes) -> tuple[Pairs, Codes]:
    joined = Pairs(np.concatenate([pairs.a, more.a]), np.concatenate([pairs.b, more.b]))
    return joined, np.concatenate([answers, of_more])
