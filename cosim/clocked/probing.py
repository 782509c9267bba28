"""Lists of inputs for a clocked design, and what it answered: see ``probe`` in clocked.svh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..interface import RESET_CYCLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Pair = tuple[int, int]
"""Operand codes a and b."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an operation begins.

    Attributes:
        start_held: the start input stays asserted, and is released between operations.
        reset_each: each operation begins with a reset.
    """

    start_held: bool = False
    reset_each: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation in a list of inputs.

    Attributes:
        pair: number of its operands in the pool.
        first: number of the cycle whose active edge takes the operands.
        cycles: how many cycles the operands stay, that one included.
    """

    pair: int
    first: int
    cycles: int


@dataclass
class Script:
    """A list of inputs, in the making; all levels are as if active high.

    Attributes:
        lines: the list in the format that clocked.svh reads.
        cycles: clock cycles in the list so far.
    """

    lines: list[str] = field(default_factory=list)
    cycles: int = 0

    def play(self, count: int, pair: Pair, *, start: bool = False, reset: bool = False) -> int:
        """Add cycles with constant inputs; return the number of the first one."""
        first = self.cycles
        if count > 0:
            self.lines.append(f"{count} {reset:d} {start:d} {pair[0]:x} {pair[1]:x}\n")
            self.cycles += count
        return first

    def begin(self) -> None:
        """Add a reset, if the design has one, and as many idle cycles."""
        self.play(RESET_CYCLES, (0, 0), reset=True)
        self.play(RESET_CYCLES, (0, 0))

    def operate(
        self, pairs: Sequence[Pair], number: int, manner: Manner, cycles: int, idle: int
    ) -> Operation:
        """Add one operation with the pool's pair of that number, and idle cycles after it."""
        pair = pairs[number]
        if manner.reset_each:
            self.play(RESET_CYCLES, pair, reset=True)
        first = self.play(1, pair, start=True)
        self.play(cycles - 1, pair, start=manner.start_held)
        self.play(idle, pair)
        return Operation(number, first, cycles)


@dataclass(frozen=True, slots=True)
class Trace:
    """What a design answered, cycle by cycle.

    Attributes:
        texts: the output codes that occurred, in hexadecimal; with x or z where unknown.
        before: int32 [cycles], number of the output code with the cycle's inputs before its
            active edge.
        after: the same after the edge, while the inputs are still there.
        done: int8 [cycles], done after the edge: 1 asserted, 0 not, -1 unknown.
    """

    texts: tuple[str, ...]
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    done: NDArray[np.int8]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Bool [codes]: whether all bits of an output code are known."""
        return np.array([not set(text) & set("xXzZ") for text in self.texts], bool)

    def bits(self, width: int) -> NDArray[np.int8]:
        """Return int8 [codes, width], the bits from the lowest up; -1 all through if unknown."""
        rows = np.full((len(self.texts), width), -1, np.int8)
        for row, text, known in zip(rows, self.texts, self.known, strict=True):
            if known:
                row[:] = [int(text, 16) >> bit & 1 for bit in range(width)]
        return rows


def read_trace(text: str) -> Trace | None:
    """Return a trace as clocked.svh writes it; None if its end is missing."""
    lines = text.splitlines()
    if not lines or not lines[-1].endswith(" end"):
        return None
    cycles = int(lines[-1].split()[0])
    numbers: dict[str, int] = {}
    rows = []
    for line in lines[:-1]:
        cycle, before, after, done = line.split()
        codes = [numbers.setdefault(code, len(numbers)) for code in (before, after)]
        rows.append((int(cycle), *codes, int(done) if done in "01" else -1))
    changes = np.array(rows, np.int32).reshape(-1, 4)
    lengths = np.diff(changes[:, 0], append=np.int32(cycles))
    columns = [np.repeat(changes[:, column], lengths) for column in (1, 2, 3)]
    return Trace(tuple(numbers), columns[0], columns[1], columns[2].astype(np.int8))


def operand_pool(width_a: int, width_b: int, count: int, seed: int) -> tuple[list[Pair], int]:
    """Return operand codes to measure with, and how many of them are special.

    Zero, the middle and the greatest code of both operands come first, then seeded random pairs.
    """
    special = [
        (a, b)
        for a in (0, 1 << (width_a - 1), (1 << width_a) - 1)
        for b in (0, 1 << (width_b - 1), (1 << width_b) - 1)
    ]
    rng = np.random.default_rng(seed)

    def draw(width: int) -> int:
        return int.from_bytes(rng.bytes(8), "little") >> 64 - width

    pool = dict.fromkeys(special)
    for _ in range(8 * count):
        if len(pool) < count:
            pool[(draw(width_a), draw(width_b))] = None
    return list(pool), len(special)
