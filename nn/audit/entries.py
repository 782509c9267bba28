"""What the RTL answers for the entries of one table: asked once for each pair, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..multipliers import MultiplierTable


class EntrySource(Protocol):
    """The live RTL of a table's design."""

    def entries(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what the table should hold in rows ``a`` and columns ``b``, int64 [N].

        Products as values; of a mantissa table ``carry << m | mantissa``, or -1 for none.
        """


Simulators: TypeAlias = "Callable[[MultiplierTable], EntrySource]"
"""Gives the live RTL behind a table, always the same for one table; an RtlgradError says why there
is none."""


class KnownEntries:
    """The answers of a table's RTL so far.

    Args:
        source: the RTL.
        shape: of the table.

    Attributes:
        values: int64 [2^wa, 2^wb]: the answers; 0 where there is none yet.
        known: bool [2^wa, 2^wb]: where there is one.
        used: bool [2^wa, 2^wb]: pairs that some layer multiplied.
        asked: pairs put through the RTL.
    """

    def __init__(self, source: EntrySource, shape: tuple[int, int]) -> None:
        self._source = source
        self.values = np.zeros(shape, np.int64)
        self.known = np.zeros(shape, np.bool_)
        self.used = np.zeros(shape, np.bool_)
        self.asked = 0

    def learn(self, wanted: NDArray[np.bool_]) -> None:
        """Ask for the pairs of a mask, bool [2^wa, 2^wb], that are not known yet."""
        a, b = np.nonzero(wanted & ~self.known)
        if len(a):
            self.values[a, b] = self._ask(a, b)
            self.known[a, b] = True

    def outer(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the answers for pairs that are known already, [P, O]."""
        made: NDArray[np.int64] = self.values[:, b].take(a, axis=0)
        return made

    def _ask(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        self.asked += len(a)
        return self._source.entries(a, b)


class EveryProduct:
    """Puts every single product through the RTL, however often its operands have met before.

    Args:
        entries: where answers are kept; of a pair that was ever answered otherwise than the table
            has it, that answer.
        table: int64 [2^wa, 2^wb], what the layer's table holds.
    """

    def __init__(self, entries: KnownEntries, table: NDArray[np.int64]) -> None:
        self._entries = entries
        self._table = table

    def outer(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the RTL's products of codes [P] and [O]: int64 [P, O]."""
        entries = self._entries
        rows, columns = np.repeat(a, len(b)), np.tile(b, len(a))
        answers = entries._ask(rows, columns)
        kept, right = entries.values[rows, columns], self._table[rows, columns]
        new = ~entries.known[rows, columns] | (kept == right)
        entries.values[rows[new], columns[new]] = answers[new]
        differing = answers != right
        entries.values[rows[differing], columns[differing]] = answers[differing]
        entries.known[rows, columns] = True
        return answers.reshape(len(a), len(b))
