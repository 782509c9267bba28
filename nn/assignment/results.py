"""The files of a finished search: all candidates, the front, a plot, and assignments to use."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.files import readable_json, write_atomic
from ...lutgen.tuning import TUNED
from .energy import EnergyFigure
from .file import AssignmentFile, Tile, save_assignment
from .outcome import front
from .plot import draw_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .evaluation import Measurement
    from .outcome import Candidate
    from .space import TileMap
    from .worker import Task

RESULTS = "results.json"
CHOSEN = "chosen.json"
ASSIGNMENTS = "assignments"
_SCHEMA = 1


@dataclass(frozen=True)
class Finalist:
    """A candidate that was measured on whole parts of the data set.

    Attributes:
        candidate: as the search saw it.
        measured: part ("validation", "test") -> measurement.
    """

    candidate: Candidate
    measured: Mapping[str, Measurement]

    @property
    def validation(self) -> Measurement:
        """On all validation images; the choice is made by it."""
        return self.measured["validation"]


@dataclass(frozen=True)
class StudyResult:
    """A finished search.

    Attributes:
        task: what was searched.
        settings: what identifies the study, as plain JSON values.
        candidates: all, by number.
        front: those that no other dominates on the images of the search, by energy.
        finalists: of the front, by energy.
        singles: finalists that use one design for all layers, by energy; not all on the front.
        max_loss: points that may be lost.
        sigmas: standard errors by which the loss on all validation images must be below that.
        chosen: the finalist of least energy for which it is; None if there is none.
        best_single: the same among the singles.
        seconds: wall time by phase, of this session.
        tables: design -> (table id, characterization id).
        costs: design -> area, delay, and what weight tuning gained, as plain JSON values.
    """

    task: Task
    settings: Mapping[str, Any]
    candidates: Sequence[Candidate]
    front: Sequence[Candidate]
    finalists: Sequence[Finalist]
    singles: Sequence[Finalist]
    max_loss: float
    sigmas: float
    chosen: Finalist | None
    best_single: Finalist | None
    tables: Mapping[str, tuple[str, str]]
    costs: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def saved_pct(self, designs: Sequence[str], figure: EnergyFigure | None = None) -> float:
        """Return the share of the multiplication energy of the base design that is saved."""
        energy, kind = self.task.energy, figure or self.task.figure
        base = energy.total_nj([self.task.base.name] * len(self.task.space.layers), kind)
        return 100 * (1 - energy.total_nj(designs, kind) / base)


def singles_of(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with one design in all layers that no other such one dominates."""
    return front([one for one in candidates if len(set(one.assignment.by_layer)) == 1])


def nearest_to(candidates: Sequence[Candidate], loss_points: float, count: int) -> list[Candidate]:
    """Return the ``count`` candidates whose loss is nearest to a given one, in their order."""
    near = sorted(candidates, key=lambda one: abs(one.loss_points - loss_points))[:count]
    return [one for one in candidates if one in near]


def best_of(finalists: Sequence[Finalist], max_loss: float, sigmas: float) -> Finalist | None:
    """Return the finalist of least energy that keeps to a loss on all validation images.

    Args:
        finalists: to choose from.
        max_loss: points that may be lost.
        sigmas: standard errors by which the measured loss must be below that.
    """
    allowed = [
        one
        for one in finalists
        if one.validation.loss_points + sigmas * one.validation.error_points <= max_loss
    ]
    return min(allowed, key=lambda one: one.candidate.energy_nj, default=None)


def save_study(result: StudyResult, folder: Path) -> None:
    """Write results.json, candidates.csv, front.csv, front.svg and a file for each finalist.

    Raises:
        ConfigError: the folder cannot be written.
    """
    write_atomic(folder / RESULTS, readable_json(study_as_data(result)))
    rows = [_row(result, one) for one in result.candidates]
    write_atomic(folder / "candidates.csv", _csv(rows))
    measured = {one.candidate.number: one for one in result.finalists}
    write_atomic(
        folder / "front.csv",
        _csv([_row(result, one, measured.get(one.number)) for one in result.front]),
    )
    write_atomic(folder / "front.svg", draw_study(result))
    for one in result.finalists:
        name = f"candidate-{one.candidate.number:04d}.json"
        save_assignment(assignment_file(result, one), folder / ASSIGNMENTS / name)
    if result.chosen is not None:
        save_assignment(assignment_file(result, result.chosen), folder / CHOSEN)


def assignment_file(result: StudyResult, one: Finalist) -> AssignmentFile:
    """Return a finalist as training and evaluation take it."""
    assignment, space = one.candidate.assignment, result.task.space
    source = {
        **{key: result.settings[key] for key in ("checkpoint_sha256", "base_id", "data_sha256")},
        "candidate": one.candidate.number,
        "energy_saved_pct": result.saved_pct(assignment.by_layer),
        "measured": {part: found.to_json() for part, found in one.measured.items()},
    }
    tiles = tuple(Tile(design, *result.tables[design]) for design in assignment.designs)
    layers = dict(zip(space.layers, assignment.tile_of, strict=True))
    return AssignmentFile(space.accelerator, tiles, layers, source)


def study_as_data(result: StudyResult) -> dict[str, Any]:
    """Return everything as plain JSON values."""
    task = result.task
    base = [task.base.name] * len(task.space.layers)
    finals = {
        one.candidate.number: {part: found.to_json() for part, found in one.measured.items()}
        for one in (*result.finalists, *result.singles)
    }
    return {
        "schema": _SCHEMA,
        "settings": dict(result.settings),
        "max_loss_points": result.max_loss,
        "sigmas": result.sigmas,
        "reference": {
            "design": task.base.name,
            "table_id": task.base.id,
            "energy_nj": _energies(result, base),
            "search_images": task.images.count,
        },
        "energy_model": task.energy.to_json(),
        "designs": {
            design: {
                "table_id": ids[0],
                "characterization_id": ids[1],
                "tuned": design.endswith(TUNED),
                **result.costs[design],
            }
            for design, ids in result.tables.items()
        },
        "candidates": [
            {
                **one.to_json(),
                "by_layer": list(one.assignment.by_layer),
                "energies_nj": _energies(result, one.assignment.by_layer),
                "saved_pct": result.saved_pct(one.assignment.by_layer),
                "finals": finals.get(one.number),
            }
            for one in result.candidates
        ],
        "front": [one.number for one in result.front],
        "finalists": [one.candidate.number for one in result.finalists],
        "singles": [one.candidate.number for one in result.singles],
        "chosen": None if result.chosen is None else result.chosen.candidate.number,
        "best_single": None if result.best_single is None else result.best_single.candidate.number,
        "seconds": dict(result.seconds),
    }


def _energies(result: StudyResult, designs: Sequence[str]) -> dict[str, Any]:
    energy = result.task.energy
    return {
        "per_layer": list(energy.layer_nj(designs, result.task.figure)),
        **{figure.value: energy.total_nj(designs, figure) for figure in EnergyFigure},
    }


def _row(result: StudyResult, one: Candidate, final: Finalist | None = None) -> dict[str, object]:
    layers = dict(zip(result.task.space.layers, one.assignment.by_layer, strict=True))
    measured = one.measurement
    finals: dict[str, object] = {}
    if final is not None:
        for part, found in final.measured.items():
            finals |= {
                f"{part}_accuracy_pct": 100 * found.accuracy,
                f"{part}_loss_points": found.loss_points,
                f"{part}_error_points": found.error_points,
            }
    return {
        "number": one.number,
        "tiles": " ".join(one.assignment.designs),
        "tile_of_layer": " ".join(map(str, one.assignment.tile_of)),
        "energy_nj": one.energy_nj,
        "saved_pct": result.saved_pct(one.assignment.by_layer),
        "loss_points": one.loss_points,
        "images": 0 if measured is None else measured.count,
        "stopped": measured is not None and measured.stopped,
        "feasible": one.is_feasible,
        "seconds": 0.0 if measured is None or one.reused else measured.seconds,
        **finals,
        **layers,
    }


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def tile_text(assignment: TileMap, layers: Sequence[str]) -> str:
    """Say for people which layers each tile has."""
    parts = []
    for tile, design in enumerate(assignment.designs):
        mine = [n for n, of in zip(layers, assignment.tile_of, strict=True) if of == tile]
        parts.append(f"{design}: {', '.join(mine)}")
    return "; ".join(parts)
