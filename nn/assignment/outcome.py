"""What came out of one candidate, and which candidates no other dominates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .evaluation import Measurement, measurement_from_json
from .space import TileMap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a predictor says about an assignment before anything is evaluated.

    Attributes:
        accuracy: on the images of the search, 0 to 1.
        low: lower end of the interval in which it expects the accuracy.
        high: upper end.
    """

    accuracy: float
    low: float
    high: float


class Predictor(Protocol):
    """Predicts the accuracy of an assignment, much faster than it can be evaluated.

    A search evaluates a candidate unless even ``high`` means a loss beyond what matters. A mean
    error that is a sum over layers, each with its own design, suits.
    """

    def predict(self, designs: Mapping[str, str]) -> Predicted:
        """Return the accuracy to expect.

        Args:
            designs: layer -> design, weight-tuned ones with their suffix, in the order in which the layers run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An assignment that a search tried.

    Attributes:
        number: of the trial, from 0.
        assignment: what was tried.
        loss_points: accuracy lost on the images of the search, in points: measured, or predicted
            if there is no measurement.
        energy_nj: multiplication energy per image.
        violations: limit -> by how much it is exceeded, as a share of it; kept where not above 0.
        measurement: on the images of the search; None if a predictor spared it.
        predicted: what the predictor said; None without one.
        reused: whether an earlier candidate with the same designs in all layers was measured.
    """

    number: int
    assignment: TileMap
    loss_points: float
    energy_nj: float
    violations: Mapping[str, float]
    measurement: Measurement | None
    predicted: Predicted | None = None
    reused: bool = False

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps to every limit."""
        return all(value <= 0 for value in self.violations.values())

    @property
    def is_complete(self) -> bool:
        """Whether it was measured on all images of the search."""
        return self.measurement is not None and not self.measurement.stopped

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        p = self.predicted
        return {
            "number": self.number,
            "designs": list(self.assignment.designs),
            "tile_of": list(self.assignment.tile_of),
            "loss_points": self.loss_points,
            "energy_nj": self.energy_nj,
            "violations": dict(self.violations),
            "measurement": None if self.measurement is None else self.measurement.to_json(),
            "predicted": None if p is None else [p.accuracy, p.low, p.high],
            "reused": self.reused,
        }


def candidate_from_json(values: Mapping[str, Any]) -> Candidate:
    """Undo `Candidate.to_json`."""
    measurement, predicted = values["measurement"], values["predicted"]
    return Candidate(
        number=values["number"],
        assignment=TileMap(tuple(values["designs"]), tuple(values["tile_of"])),
        loss_points=values["loss_points"],
        energy_nj=values["energy_nj"],
        violations=values["violations"],
        measurement=None if measurement is None else measurement_from_json(measurement),
        predicted=None if predicted is None else Predicted(*predicted),
        reused=values["reused"],
    )


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the feasible, wholly measured candidates that no other dominates, by energy.

    One dominates another if it is no worse in loss and energy and better in one. Of candidates
    with the same designs in all layers the first stays; of others alike in both figures, all do.
    """
    first: dict[tuple[str, ...], Candidate] = {}
    for one in sorted(candidates, key=lambda one: one.number):
        if one.is_feasible and one.is_complete:
            first.setdefault(one.assignment.by_layer, one)
    found: list[Candidate] = []
    for one in sorted(first.values(), key=lambda one: (one.energy_nj, one.loss_points)):
        best = found[-1] if found else None
        alike = best is not None and (one.energy_nj, one.loss_points) == (
            best.energy_nj,
            best.loss_points,
        )
        if best is None or one.loss_points < best.loss_points or alike:
            found.append(one)
    return found
