"""What a process of a search does: rebuild the model, and evaluate candidates of the shared study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..training.allocator import keep_freed_memory
from ..training.determinism import reproducible
from ..training.loading import load_model
from .evaluation import AssignmentEvaluator
from .outcome import Candidate, Predictor
from .search import Budget, SharedStudy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ...lutgen.table import ProductTable
    from ..data import Batches
    from .energy import EnergyFigure, EnergyModel
    from .evaluation import Measurement
    from .space import SearchSpace, TileMap


@dataclass(frozen=True, slots=True)
class Size:
    """What one multiplier of a design takes.

    Attributes:
        area_um2: of its cells.
        delay_ps: longest path; of a clocked design its least clock period.
    """

    area_um2: float
    delay_ps: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What an assignment must keep to.

    Attributes:
        stop_points: greatest loss of accuracy that is of interest, in points.
        area_um2: of one multiplier of each tile together; None for any.
        delay_ps: of the slowest tile's multiplier; None for any.
    """

    stop_points: float
    area_um2: float | None = None
    delay_ps: float | None = None


@dataclass(frozen=True)
class Task:
    """All that a process needs to take part in a search; it can be pickled.

    Attributes:
        folder: of the study.
        checkpoint: the network's file.
        base: the table that it was made with.
        space: what is chosen from.
        budget: how far to go.
        tables: design -> table.
        sizes: design -> what a multiplier of it takes.
        energy: of the designs in the layers.
        figure: which energy is minimized.
        images: to evaluate on, in order.
        limits: what to keep to.
        engine: that does the tables' sums.
        threads: of one process; None leaves torch's setting.
        cache_bytes: memory of one process for outputs of layers.
        predictor: spares candidates that are surely too bad; None evaluates all.
    """

    folder: Path
    checkpoint: Path
    base: ProductTable
    space: SearchSpace
    budget: Budget
    tables: Mapping[str, ProductTable]
    sizes: Mapping[str, Size]
    energy: EnergyModel
    figure: EnergyFigure
    images: Batches
    limits: Limits
    engine: str = "auto"
    threads: int | None = None
    cache_bytes: int = 0
    predictor: Predictor | None = None


def search_here(task: Task, *, done: Callable[[Candidate], None] | None = None) -> int:
    """Evaluate candidates until the budget is used up; return how many.

    Args:
        task: what to do.
        done: told about each candidate.

    Raises:
        RecordError, IdentityError: the checkpoint is damaged or of another table.
        ConfigError: a table's operands are not the model's.
    """
    with reproducible(seed=0, threads=task.threads):
        judge = Judge(task, evaluator(task))

        def objective(number: int, assignment: TileMap, earlier: Measurement | None) -> Candidate:
            candidate = judge(number, assignment, earlier)
            if done is not None:
                done(candidate)
            return candidate

        return SharedStudy(task.folder, task.space, task.budget).work(objective)


def search_alone(task: Task) -> None:
    """Do `search_here` in a process of its own."""
    keep_freed_memory()
    search_here(task)


def evaluator(task: Task) -> AssignmentEvaluator:
    """Load a task's model and make what evaluates assignments on its images."""
    loaded = load_model(task.checkpoint, task.base, engine=task.engine)
    return AssignmentEvaluator(
        loaded.model, list(task.images.epoch()), task.tables, cache_bytes=task.cache_bytes
    )


class Judge:
    """Says what an assignment costs, measuring its accuracy only where that is needed.

    Args:
        task: figures and limits.
        evaluator: measures accuracies.
    """

    def __init__(self, task: Task, evaluator: AssignmentEvaluator) -> None:
        self._task = task
        self._evaluator = evaluator

    def __call__(self, number: int, assignment: TileMap, earlier: Measurement | None) -> Candidate:
        """Return the candidate with its figures.

        Args:
            number: of the trial.
            assignment: what to judge.
            earlier: measurement of the same designs in all layers, if there is one.
        """
        task, designs = self._task, assignment.by_layer
        stop = task.limits.stop_points
        predicted, measured = None, earlier
        if earlier is None and task.predictor is not None:
            names = dict(zip(task.space.layers, designs, strict=True))
            predicted = task.predictor.predict(names)
        reference = self._evaluator.reference_correct / self._evaluator.count
        hopeless = predicted is not None and 100 * (reference - predicted.high) > stop
        if measured is None and not hopeless:
            measured = self._evaluator.measure(designs, stop_points=stop)
        if measured is not None:
            loss = measured.loss_points
        else:
            assert predicted is not None
            loss = 100 * (reference - predicted.accuracy)
        return Candidate(
            number=number,
            assignment=assignment,
            loss_points=loss,
            energy_nj=task.energy.total_nj(designs, task.figure),
            violations=violations(task, assignment, loss),
            measurement=measured,
            predicted=predicted,
            reused=earlier is not None,
        )


def violations(task: Task, assignment: TileMap, loss_points: float) -> dict[str, float]:
    """Return by how much each limit is exceeded, as a share of it; 0 or less where it is kept.

    The area is the sum over the tiles of one multiplier each, the delay that of the slowest.
    """
    limits = task.limits
    sizes = [task.sizes[design] for design in assignment.designs]
    found = {"loss": (loss_points - limits.stop_points) / limits.stop_points}
    if limits.area_um2 is not None:
        found["area"] = sum(size.area_um2 for size in sizes) / limits.area_um2 - 1
    if limits.delay_ps is not None:
        found["delay"] = max(size.delay_ps for size in sizes) / limits.delay_ps - 1
    return found
