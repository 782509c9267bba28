"""Checks a table against a circuit's, and finds the mistake that explains every difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from .compare import Comparison, compare
from .mantissa_mistakes import MANTISSA_MISTAKES, combined, view_of
from .mistakes import MISTAKES, Mistake, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ..mantissa import MantissaTable
    from ..record import Characterization
    from ..table import ProductTable

PAIRS_UP_TO = 1 << 16
"""Entries up to which mistakes are tried in pairs too: about a second for 8 x 8 bits."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What turns the circuit's table into the one in question, in every entry.

    Attributes:
        mistakes: names of the mistakes, in the order in which they are made; none if the table
            is another design's as it is.
        texts: what each of them is.
        design: the design with whose table they are made, if it is another one.
    """

    mistakes: tuple[str, ...]
    texts: tuple[str, ...]
    design: str | None = None

    def __str__(self) -> str:
        parts = [f"it is the table of {self.design}"] if self.design is not None else []
        return "; then ".join([*parts, *self.texts])


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a check.

    Attributes:
        equal: whether the tables are equal in every entry and in the operands' widths and signs.
        shape: shape of the table in question.
        expected_shape: shape of the circuit's.
        signs: what differs in the operands' signs, for people; empty if nothing does.
        comparison: entry by entry; None if the shapes differ.
        explanations: the simplest that explain every difference; several if they come to the
            same for this circuit, none if nothing known does.
        pairs_tried: whether mistakes were tried in pairs as well.
    """

    equal: bool
    shape: tuple[int, int]
    expected_shape: tuple[int, int]
    signs: tuple[str, ...]
    comparison: Comparison | None
    explanations: tuple[Explanation, ...]
    pairs_tried: bool


def diagnose(
    found: ProductTable, design: Characterization, others: Iterable[Characterization] = ()
) -> Diagnosis:
    """Check a product table against a design.

    Args:
        found: the table in question.
        design: what it should be the table of.
        others: designs that it could be the table of by mistake.
    """
    view = _view(design)
    # A stored design is not explained by being itself.
    known = (design.table.id, found.id)
    shape = found.products.shape
    candidates = (
        (other.name, _view(other))
        for other in others
        if other.table.id not in known and other.table.products.shape in (shape, shape[::-1])
    )
    products = found.products.astype(np.int64)
    result = _diagnosed(
        products,
        view,
        MISTAKES,
        candidates,
        lambda: compare(products, view.products, design.table.values_a, design.table.values_b),
    )
    signs = _sign_differences(found, design.table)
    if not signs:
        return result
    return Diagnosis(
        equal=False,
        shape=result.shape,
        expected_shape=result.expected_shape,
        signs=signs,
        comparison=result.comparison,
        explanations=result.explanations,
        pairs_tried=result.pairs_tried,
    )


def diagnose_mantissas(found: MantissaTable, expected: MantissaTable) -> Diagnosis:
    """Check a mantissa table against another; entries are carry * 2^m + mantissa."""
    codes = np.arange(1 << expected.mantissa_bits, dtype=np.int64)
    entries, view = combined(found), view_of(expected)
    return _diagnosed(
        entries,
        view,
        MANTISSA_MISTAKES,
        (),
        lambda: compare(entries, view.products, codes, codes),
    )


def _view(design: Characterization) -> View:
    table, out = design.table, design.interface.out
    signs = (table.signed_a, table.signed_b)
    return View(table.products.astype(np.int64), signs, out.width, out.signed)


def _diagnosed(
    found: NDArray[np.int64],
    right: View,
    mistakes: Mapping[str, Mistake],
    others: Iterable[tuple[str, View]],
    compared: Callable[[], Comparison],
) -> Diagnosis:
    same_shape = found.shape == right.products.shape
    comparison = compared() if same_shape else None
    equal = comparison is not None and comparison.differing == 0
    pairs = found.size <= PAIRS_UP_TO
    explanations: tuple[Explanation, ...] = ()
    if not equal:
        explanations = _explained(found, right, mistakes, others, pairs)
    rows, columns = found.shape
    return Diagnosis(
        equal=equal,
        shape=(rows, columns),
        expected_shape=(right.products.shape[0], right.products.shape[1]),
        signs=(),
        comparison=comparison,
        explanations=explanations,
        pairs_tried=pairs,
    )


def _explained(
    found: NDArray[np.int64],
    right: View,
    mistakes: Mapping[str, Mistake],
    others: Iterable[tuple[str, View]],
    pairs: bool,
) -> tuple[Explanation, ...]:
    """Return the simplest explanations: one mistake, another design, either with one more."""
    if explained := tuple(_single(found, right, mistakes, None)):
        return explained
    designs = list(others)
    same = [Explanation((), (), name) for name, view in designs if _equal(found, view)]
    if same:
        return tuple(same)
    if pairs and (explained := tuple(_paired(found, right, mistakes))):
        return explained
    return tuple(
        explanation
        for name, view in designs
        for explanation in _single(found, view, mistakes, name)
    )


def _equal(found: NDArray[np.int64], view: View | None) -> bool:
    return view is not None and np.array_equal(found, view.products)


def _single(
    found: NDArray[np.int64], right: View, mistakes: Mapping[str, Mistake], design: str | None
) -> Iterator[Explanation]:
    for name, mistake in mistakes.items():
        if _equal(found, mistake.make(right)):
            yield Explanation((name,), (mistake.text,), design)


def _paired(
    found: NDArray[np.int64], right: View, mistakes: Mapping[str, Mistake]
) -> Iterator[Explanation]:
    seen = set()
    for first in mistakes.values():
        once = first.make(right)
        if once is None:
            continue
        for second in mistakes.values():
            names = frozenset((first.name, second.name))
            # Most pairs commute: the same two need not be told twice.
            if names not in seen and _equal(found, second.make(once)):
                seen.add(names)
                yield Explanation((first.name, second.name), (first.text, second.text))


def _sign_differences(found: ProductTable, expected: ProductTable) -> tuple[str, ...]:
    word = {True: "signed", False: "unsigned"}
    pairs = (
        ("a", found.signed_a, expected.signed_a),
        ("b", found.signed_b, expected.signed_b),
    )
    return tuple(
        f"operand {name} is {word[here]} in the table, {word[there]} in the design"
        for name, here, there in pairs
        if here is not there
    )


def check_kind(found: ProductTable, expected: ProductTable) -> None:
    """Check that two tables have anything in common to compare.

    Raises:
        ConfigError: their operands have other widths, in either order.
    """
    shape, other = found.products.shape, expected.products.shape
    if shape not in (other, other[::-1]):
        raise ConfigError(
            f"table {found.name!r} cannot be a table of {expected.name!r}",
            got=f"operands of {found.width_a} and {found.width_b} bits",
            expected=f"{expected.width_a} and {expected.width_b} bits",
        )
