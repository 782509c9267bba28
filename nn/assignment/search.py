"""NSGA-II over assignments, shared by any number of processes through one folder.

The algorithm is Optuna's (K. Deb et al., "A fast and elitist multiobjective genetic algorithm:
NSGA-II", IEEE Trans. Evol. Comput. 6(2), 2002, with constrained domination). All trials are in a
journal in the study's folder. A process holds a lock as long as it lives; what was running in one
that is gone is tried again by another.
"""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from ...core.errors import MissingToolError
from ...core.files import canonical_json, unwritable
from .outcome import Candidate, candidate_from_json

try:
    import optuna
    from optuna.samplers import NSGAIISampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState
except ImportError as error:
    raise MissingToolError(
        "the search for assignments needs Optuna, which is not installed",
        got=error,
        remedy="pip install 'rtlgrad[search]'",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from .evaluation import Measurement
    from .space import SearchSpace, TileMap

Objective: TypeAlias = "Callable[[int, TileMap, Measurement | None], Candidate]"
"""Trial number, assignment, and an earlier measurement of the same designs -> what came out."""

JOURNAL = "journal.log"
_LOCK = ".study.lock"
_STUDY = "assignment"
_WORKERS = "workers"
_CANDIDATE, _WORKER, _RETRY = "candidate", "worker", "retry of"


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a search goes.

    Attributes:
        trials: candidates in all, those that came up before included.
        population: of NSGA-II.
        seed: of the genetic algorithm.
    """

    trials: int
    population: int = 40
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials of a study are in which state.

    Attributes:
        complete: with a result.
        running: in a process that lives, or was not yet seen to be gone.
        waiting: to be run.
        lost: whose process went away; each was, or will be, tried again.
    """

    complete: int
    running: int
    waiting: int
    lost: int


class SharedStudy:
    """A search in a folder that processes share.

    Args:
        folder: of the study; made if it is not there.
        space: what is chosen from.
        budget: how far to go.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, folder: Path, space: SearchSpace, budget: Budget) -> None:
        self._folder = folder
        self._space = space
        self._budget = budget
        try:
            (folder / _WORKERS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with locked_file(folder / _LOCK):
            self._study = self._open()
        self._has_sampler = False

    def _open(self) -> Study:
        study = optuna.create_study(
            storage=JournalStorage(_Journal(self._folder / JOURNAL)),
            study_name=_STUDY,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        for design in self._space.designs:
            study.enqueue_trial(self._space.single(design), skip_if_exists=True)
        return study

    @property
    def counts(self) -> Counts:
        """How far the search is."""
        states = [trial.state for trial in self._study.get_trials(deepcopy=False)]
        return Counts(
            states.count(TrialState.COMPLETE),
            states.count(TrialState.RUNNING),
            states.count(TrialState.WAITING),
            states.count(TrialState.FAIL),
        )

    @property
    def candidates(self) -> list[Candidate]:
        """All that were tried, by number."""
        return [candidate_from_json(trial.user_attrs[_CANDIDATE]) for trial in self._complete()]

    def work(self, objective: Objective, *, limit: int | None = None) -> int:
        """Try candidates until the budget is used up; return how many this process tried.

        Args:
            objective: evaluates an assignment. An error in it ends the work, and its trial is
                tried again by another process, or when the search goes on.
            limit: how many to try at most.
        """
        done = 0
        with self._present() as worker:
            while limit is None or done < limit:
                found = self._next(worker)
                if found is None:
                    break
                trial, assignment = found
                candidate = objective(trial.number, assignment, self._earlier(assignment))
                trial.set_user_attr(_CANDIDATE, candidate.to_json())
                for name, value in candidate.violations.items():
                    trial.set_constraint(name, value)
                self._study.tell(trial, (candidate.loss_points, candidate.energy_nj))
                done += 1
        return done

    def _next(self, worker: str) -> tuple[Trial, TileMap] | None:
        with locked_file(self._folder / _LOCK):
            self._reclaim()
            now = self.counts
            if now.complete + now.running >= self._budget.trials and not now.waiting:
                return None
            if not self._has_sampler:
                self._begin_sampling()
            trial = self._study.ask()
            genome = {
                name: trial.suggest_categorical(name, values)
                for name, values in self._space.genes.items()
            }
            # Last, so that a trial with a worker has all its genes.
            trial.set_user_attr(_WORKER, worker)
        return trial, self._space.decode(genome)

    def _begin_sampling(self) -> None:
        """Take random numbers that no other process takes, nor an earlier session of this one.

        A search in one process that is not interrupted is the same each time.
        """
        now = self.counts
        mixed = np.random.SeedSequence([self._budget.seed, now.complete, now.running, now.lost])
        seed = int(mixed.generate_state(1)[0])
        self._study.sampler = NSGAIISampler(population_size=self._budget.population, seed=seed)
        self._has_sampler = True

    def _reclaim(self) -> None:
        """Put back to the queue what was running in processes that are gone.

        In two steps, each of which may be the last of a process: whatever has failed and was not
        put back is put back.
        """
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state is TrialState.RUNNING and not self._lives(trial):
                self._study.tell(trial.number, state=TrialState.FAIL)
        trials = self._study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(_RETRY) for trial in trials}
        for trial in trials:
            genes = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if trial.state is TrialState.FAIL and genes and trial.number not in retried:
                self._study.enqueue_trial(genes, user_attrs={_RETRY: trial.number})

    def _lives(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(_WORKER)
        if worker is None:  # killed between asking and saying who asked, under the study's lock
            return False
        path = self._folder / _WORKERS / str(worker)
        try:
            with path.open("r") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def _present(self) -> Iterator[str]:
        """Show that this process lives, until it does not."""
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        path = self._folder / _WORKERS / name
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            try:
                yield name
            finally:
                path.unlink(missing_ok=True)

    def _earlier(self, assignment: TileMap) -> Measurement | None:
        wanted = assignment.by_layer
        for candidate in self.candidates:
            if candidate.assignment.by_layer == wanted and candidate.measurement is not None:
                return candidate.measurement
        return None

    def _complete(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


class _Journal(JournalFileBackend):
    """A journal that a kill at any moment leaves usable.

    Optuna's own lock outlives a process that is killed within it, and a line that was cut short
    would spoil the next one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, one a line, after removing a part of a line that a kill has left."""
        lines = "".join(canonical_json(log) + "\n" for log in logs)
        lock = self._path.with_name(f".{self._path.name}.lock")
        with locked_file(lock), self._path.open("r+b") as stream:
            _cut_to_whole_lines(stream)
            stream.write(lines.encode())
            stream.flush()
            os.fsync(stream.fileno())


def _cut_to_whole_lines(stream: BinaryIO) -> None:
    """Leave a file at its end, without a last line that does not end."""
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        return
    stream.seek(size - 1)
    if stream.read(1) != b"\n":
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
    stream.seek(0, os.SEEK_END)


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Wait for a lock between processes, hold it for the block; it dies with the process."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
