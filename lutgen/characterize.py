"""From Verilog files to stored characterizations: what holds is reused, the rest is made and kept.

The work itself is in `rtlgrad.lutgen.schedule` (in which order) and `rtlgrad.lutgen.tasks` (what
runs on the workers); the results are saved here, by one process, as they come.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError, ToolError
from ..core.files import tidy_folder
from ..cosim.cost import CellLibrary, cell_library
from ..cosim.design import DesignReference, check_unique
from ..cosim.programs.process import worker_pool
from ..cosim.programs.tools import require_package
from ..cosim.reading.missing import explained
from ..cosim.reading.sources import read_sources
from ..cosim.simulation.simulator import Simulator, require_simulator
from ..cosim.simulation.sweep import DEFAULT_TIME_LIMIT_S
from .executors import dask_workers, local_workers
from .freshness import fresh, work_key
from .progress import Progress
from .schedule import Schedule
from .store import save
from .tasks import SentLibrary, send_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ..cosim.reading.sources import Sources
    from .executors import Workers
    from .record import AnyCharacterization


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on one design ended: with a characterization, or with an error.

    Attributes:
        reference: the design.
        characterization: what was found, None on failure.
        error: why there is none.
        reused: whether the stored one still held and nothing was done.
    """

    reference: DesignReference
    characterization: AnyCharacterization | None = None
    error: RtlgradError | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How to characterize.

    Attributes:
        root: folder of the store; each design gets a folder in it.
        library: cells for area and delay.
        jobs: processes at a time on this machine.
        time_limit_s: wall seconds that one design's simulation may take.
        force: do the work even if the stored result still holds.
        scheduler: address of a Dask scheduler whose workers do the work; None for this machine.
    """

    root: Path
    library: CellLibrary = field(default_factory=cell_library)
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    force: bool = False
    scheduler: str | None = None


def characterize(
    references: Sequence[DesignReference],
    settings: Settings,
    progress: Callable[[Outcome], None] = lambda _outcome: None,
) -> list[Outcome]:
    """Characterize designs, and keep each as soon as it is done.

    A design that fails does not stop the others, and its stored characterization, if there is
    one, stays as it was. An interruption loses only what was not done yet.

    Args:
        references: the designs; their names must be unique.
        settings: where to and how.
        progress: called with each outcome as it comes.

    Returns:
        One outcome per design, in the order given.

    Raises:
        DesignError: two designs have one name.
        ToolError: a tool is missing, or the connection to the workers was lost.
        ConfigError: the store cannot be written, or no scheduler answers.
    """
    check_unique(references)
    outcomes: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        outcomes[outcome.reference.name] = outcome
        progress(outcome)

    tidy_folder(settings.root)
    stale = []
    for reference in references:
        stored = None if settings.force else fresh(reference, settings.library, settings.root)
        if stored is None:
            stale.append(reference)
        else:
            settle(Outcome(reference, stored, reused=True))
    _work(stale, settings, settle)
    return [outcomes[reference.name] for reference in references]


def _work(
    stale: Sequence[DesignReference], settings: Settings, settle: Callable[[Outcome], None]
) -> None:
    """Do the work on designs whose stored characterization does not hold."""
    if not stale:
        return
    # A missing tool is no design's fault.
    require_simulator(Simulator.VERILATOR)
    for package in ("pyverilog", "pyslang", "pyosys"):
        require_package(package)

    def keep(design: Progress, outcome: AnyCharacterization | RtlgradError) -> None:
        if isinstance(outcome, RtlgradError):
            error = explained(outcome, design.reference, design.sources.text)
            settle(Outcome(design.reference, error=error))
        else:
            save(outcome, settings.root)
            settle(Outcome(design.reference, outcome))

    with _workers(settings) as workers, worker_pool(settings.jobs) as readers:
        library = SentLibrary(settings.library)
        if workers.remote:
            library = send_library(settings.library)
        schedule = Schedule(workers, library, settings.time_limit_s, keep)
        schedule.run(_read_all(stale, settings.library, readers, settle))


def _workers(settings: Settings) -> AbstractContextManager[Workers]:
    if settings.scheduler is not None:
        return dask_workers(settings.scheduler)
    return local_workers(settings.jobs)


def _read_all(
    stale: Sequence[DesignReference],
    library: CellLibrary,
    readers: Executor,
    settle: Callable[[Outcome], None],
) -> Iterator[Progress]:
    """Read the sources of all designs; what cannot be read is settled."""
    for reference, found in zip(stale, readers.map(_read, stale), strict=True):
        if isinstance(found, RtlgradError):
            settle(Outcome(reference, error=found))
        else:
            yield Progress(reference, found, work_key(reference, library))


def _read(reference: DesignReference) -> Sources | RtlgradError:
    try:
        return read_sources(reference.path, reference.sidecar.files)
    except ToolError:
        raise
    except RtlgradError as error:
        return error
