"""What a conformance run finds: one result per circuit, and what they come to together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..record import Characterization
    from .checkout import Circuit


class TableVerdict(StrEnum):
    """How the simulated table compares with the C model's."""

    EQUAL = "equal"
    TRANSPOSED = "transposed"
    """Only the transpose agrees: ports and parameters of one name are different operands."""
    DIFFERENT = "different"
    MISSING = "missing"
    """There is no C model, or it could not be tabulated."""


class FigureVerdict(StrEnum):
    """How a measured figure compares with the published one, at its printed precision."""

    AGREES = "agrees"
    """It lies less than half a unit of the last place away: every rule of rounding prints this."""
    TIE = "tie"
    """It lies exactly half a unit away: some rules of rounding print this, others its neighbour."""
    TRUNCATED = "truncated"
    """It lies further away, but gives what is printed when its further digits are cut off."""
    DIFFERS = "differs"
    ABSENT = "absent"
    """Nothing is published."""


@dataclass(frozen=True, slots=True)
class FigureCheck:
    """One metric of one circuit.

    Attributes:
        figure: its name in `Published`.
        published: as printed; None if it is not.
        measured: over all operand pairs of the simulated table.
        verdict: how they compare.
    """

    figure: str
    published: str | None
    measured: float
    verdict: FigureVerdict


@dataclass(frozen=True, slots=True)
class CircuitResult:
    """What was found about one circuit.

    Attributes:
        circuit: its files and published figures.
        characterization: by the same path as ``rtlgrad lut``; None if that failed.
        table: how the simulated table compares with the C model's.
        differing: how many entries differ, operands bound by name; 0 where not compared.
        parameters: the C function's parameters in order, such as "B, A"; empty without a model.
        commutes: whether the simulated table equals its transpose.
        figures: the error metrics against the published ones.
        remarks: what went wrong, in words.
    """

    circuit: Circuit
    characterization: Characterization | None
    table: TableVerdict
    differing: int
    parameters: str
    commutes: bool
    figures: tuple[FigureCheck, ...]
    remarks: tuple[str, ...]

    @property
    def conforms(self) -> bool:
        """Whether the tables are equal, no figure differs, and nothing else is wrong."""
        return (
            self.table is TableVerdict.EQUAL
            and not self.remarks
            and all(check.verdict is not FigureVerdict.DIFFERS for check in self.figures)
        )


@dataclass(frozen=True, slots=True)
class Correlation:
    """How an estimate of cost goes with the published figure over all circuits.

    Attributes:
        estimate: name of the estimate in `Cost`.
        published: name of the figure in `Published`.
        circuits: how many have both.
        spearman: rank correlation; None for fewer than three circuits, or without variation.
        pearson: linear correlation; likewise.
    """

    estimate: str
    published: str
    circuits: int
    spearman: float | None
    pearson: float | None


@dataclass(frozen=True, slots=True)
class Conformance:
    """A whole run.

    Attributes:
        results: one per circuit, by name.
        correlations: of area, power and delay.
        library: name of the cell library that the estimates are for.
    """

    results: tuple[CircuitResult, ...]
    correlations: tuple[Correlation, ...]
    library: str

    @property
    def conforms(self) -> bool:
        """Whether every circuit does."""
        return all(result.conforms for result in self.results)

    def tables(self, verdict: TableVerdict) -> int:
        """Count the circuits whose table has a verdict."""
        return sum(result.table is verdict for result in self.results)

    def figures(self, verdict: FigureVerdict) -> Iterator[tuple[str, FigureCheck]]:
        """Yield (circuit, figure) for each figure with a verdict."""
        for result in self.results:
            for check in result.figures:
                if check.verdict is verdict:
                    yield result.circuit.name, check
