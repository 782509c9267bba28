"""The passes of a sweep: directions, and what stands in place of every unknown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pass:
    """One sweep over all operands.

    Attributes:
        name: for its files.
        reset: what uninitialized storage starts as: 0 all zeros, 1 all ones, 2 random.
        seed: seed of every other unknown.
        descending: direction.
    """

    name: str
    reset: int
    seed: int
    descending: bool

    @property
    def part(self) -> int:
        """Which of the parts of a clocked design's rows it visits, if it does not visit all."""
        return self.seed

    @property
    def plusargs(self) -> list[str]:
        """The arguments that make the simulation run this pass."""
        direction = ["+rtlgrad_descending"] if self.descending else []
        return [f"+verilator+rand+reset+{self.reset}", f"+verilator+seed+{self.seed}", *direction]


BASE_PASSES = (Pass("zeros", 0, 1, False), Pass("ones", 1, 2, True))
EXTRA_PASSES = tuple(Pass(f"random{seed}", 2, seed, seed % 2 == 0) for seed in range(3, 17))
"""For designs with unknowns: one bit that depends on one is missed with probability 2^-15."""
REGISTER_PASSES = EXTRA_PASSES[:6]
"""For clocked designs in which nothing but the registers is unknown at first; each visits its share
of the rows. A bit that depends on one register differs between the two base passes already."""
