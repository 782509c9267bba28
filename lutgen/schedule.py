"""Decides what to do next while designs go from their sources to their characterizations.

Each design is read, examined, synthesized and simulated; simulation takes designs in batches,
because they share a model. Tasks of later stages go first, so that results come early, and what
has proven to take long goes last, so that it holds up nothing else.
"""

from __future__ import annotations

import heapq
import itertools
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..core.errors import MissingToolError, RtlgradError, ToolFailedError
from . import tasks
from .progress import Progress, batches_of
from .work import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .executors import Workers
    from .record import AnyCharacterization
    from .tasks import SentLibrary

_GRACE_S = 2.0
"""How long idle workers wait for designs that are about to be ready, to share a model with them."""


class Priority(IntEnum):
    """What goes first when a worker is free."""

    CONCLUDE = 0
    MEASURE = 1
    SYNTHESIZE = 2
    EXAMINE = 3
    LONG = 4


@dataclass(order=True, slots=True)
class _Task:
    priority: int
    number: int
    call: Callable[[], Future[Any]] = field(compare=False)
    then: Callable[[Future[Any]], None] = field(compare=False)
    started: float = field(default=0.0, compare=False)


class Schedule:
    """The work on a set of designs.

    Args:
        workers: where it runs.
        library: cells for synthesis.
        time_limit_s: wall seconds that one design's simulation may take.
        settle: called once for each design, with its characterization or its error.
    """

    def __init__(
        self,
        workers: Workers,
        library: SentLibrary,
        time_limit_s: float,
        settle: Callable[[Progress, AnyCharacterization | RtlgradError], None],
    ) -> None:
        self._workers = workers
        self._library = library
        self._time_limit_s = time_limit_s
        self._settle_outside = settle
        self._queue: list[_Task] = []
        self._flying: dict[Future[Any], _Task] = {}
        self._waiting: list[Progress] = []
        self._numbers = itertools.count()

    def run(self, designs: Iterable[Progress]) -> None:
        """Do all the work; ends when every design is settled.

        Raises:
            MissingToolError: a tool is missing here or on a worker.
            ToolFailedError: the connection to the workers was lost.
        """
        for design in designs:
            self._examine(design, last=False)
            self._launch()
        while True:
            patience_s = self._form_batches()
            self._launch()
            if not self._flying:
                return
            done, _ = wait(self._flying, timeout=patience_s, return_when=FIRST_COMPLETED)
            for future in done:
                self._flying.pop(future).then(future)

    def _submit(
        self,
        priority: Priority,
        then: Callable[[Future[Any]], None],
        function: Callable[..., Any],
        *arguments: Any,
        **options: Any,
    ) -> None:
        def call() -> Future[Any]:
            return self._workers.executor.submit(function, *arguments, **options)

        heapq.heappush(self._queue, _Task(priority, next(self._numbers), call, then))

    def _launch(self) -> None:
        while self._queue and len(self._flying) < self._workers.slots():
            task = heapq.heappop(self._queue)
            task.started = time.monotonic()
            self._flying[task.call()] = task

    def _settle(self, design: Progress, outcome: AnyCharacterization | RtlgradError) -> None:
        if not design.settled:
            design.settled = True
            # Arrays of finished designs would add up.
            design.examined = design.synthesis = design.measured = None
            self._settle_outside(design, outcome)

    # One design at a time: examine and synthesize.

    def _examine(self, design: Progress, *, last: bool) -> None:
        def then(future: Future[Any]) -> None:
            found = _result(future, design.reference.name)
            if isinstance(found, RtlgradError):
                self._settle(design, found)
            elif found is None:
                self._examine(design, last=True)
            else:
                design.examined = found
                self._waiting.append(design)
                self._synthesize(design, last=False)

        self._submit(
            Priority.LONG if last else Priority.EXAMINE,
            then,
            tasks.examine,
            design.reference,
            design.sources,
            self._library.library,
            design.key,
            last=last,
        )

    def _synthesize(self, design: Progress, *, last: bool) -> None:
        assert design.examined is not None

        def then(future: Future[Any]) -> None:
            found = _result(future, design.reference.name)
            if found is None:
                self._synthesize(design, last=True)
                return
            design.synthesis = found
            if isinstance(found, RtlgradError):
                # What is wrong with the structure explains more than what simulation would see.
                self._settle(design, found)
            else:
                self._conclude_if_ready(design)

        self._submit(
            Priority.LONG if last else Priority.SYNTHESIZE,
            then,
            tasks.synthesize_for,
            design.examined.design,
            self._library,
            last=last,
        )

    # Batches: measure.

    def _form_batches(self) -> float | None:
        """Queue full batches, and smaller ones for workers that have nothing else to do.

        Returns:
            Seconds after which to look again, or None if that depends on tasks that are running.
        """
        self._waiting = [design for design in self._waiting if not design.settled]
        ready = [design for design in self._waiting if design.synthesis is not None]
        for batch in batches_of(ready):
            if batch.full:
                self._measure(batch.designs)
        idle = not self._queue and len(self._flying) < self._workers.slots()
        if not idle or not self._waiting:
            return None
        # A design about to be ready would need a model of its own later: it is waited for a
        # little, but no longer, so that one that takes long does not hold up the others.
        now = time.monotonic()
        young = [
            task.started + _GRACE_S - now
            for task in self._flying.values()
            if task.priority in (Priority.SYNTHESIZE, Priority.EXAMINE)
            and now - task.started < _GRACE_S
        ]
        if young:
            return max(min(young), 0.01)
        for batch in batches_of(ready or self._waiting):
            self._measure(batch.designs)
        return self._form_batches()

    def _measure(self, designs: Sequence[Progress]) -> None:
        chosen = {id(design) for design in designs}
        self._waiting = [design for design in self._waiting if id(design) not in chosen]
        self._measure_together(designs)

    def _measure_together(self, designs: Sequence[Progress]) -> None:
        taken: list[Progress] = []

        def call() -> Future[Any]:
            # Synthesis may have refused some since.
            taken.extend(item for item in designs if not item.settled)
            proven = frozenset(
                item.reference.name for item in taken if getattr(item.synthesis, "proven", False)
            )
            if not taken:
                return _nothing()
            batch = [item.examined for item in taken if item.examined is not None]
            limits = Limits(self._jobs(), self._time_limit_s)
            return self._workers.executor.submit(tasks.measure, batch, proven, limits)

        def then(future: Future[Any]) -> None:
            found = _result(future, ", ".join(item.reference.name for item in taken))
            if len(taken) > 1 and (found is None or isinstance(found, RtlgradError)):
                half = len(taken) // 2
                self._measure_together(taken[:half])
                self._measure_together(taken[half:])
                return
            for design in taken:
                if not design.settled:
                    name = design.reference.name
                    design.measured = found if isinstance(found, RtlgradError) else found[name]
                    self._conclude_if_ready(design)

        heapq.heappush(self._queue, _Task(Priority.MEASURE, next(self._numbers), call, then))

    def _jobs(self) -> int:
        """Return how many processes the next task may run at a time."""
        if self._workers.jobs is None:
            return 1
        return max(1, self._workers.jobs // (1 + len(self._flying) + len(self._queue)))

    # Both together: conclude.

    def _conclude_if_ready(self, design: Progress) -> None:
        if design.settled or design.measured is None or design.synthesis is None:
            return
        if isinstance(design.measured, RtlgradError):
            self._settle(design, design.measured)
            return

        def then(future: Future[Any]) -> None:
            self._settle(design, _result(future, design.reference.name))

        self._submit(
            Priority.CONCLUDE,
            then,
            tasks.conclude,
            design.examined,
            design.measured,
            design.synthesis,
            self._library.library,
        )


def _nothing() -> Future[Any]:
    done: Future[Any] = Future()
    done.set_result({})
    return done


def _result(future: Future[Any], names: str) -> Any:
    """Return a task's result, or the error that it ended in if the designs are at fault.

    Raises:
        MissingToolError: a tool is missing.
        ToolFailedError: the workers are lost.
    """
    try:
        return future.result()
    except MissingToolError:
        raise
    except RtlgradError as error:
        return error
    except CancelledError as error:
        raise ToolFailedError(
            "the connection to the workers was lost",
            remedy="start it again: what was done is kept, and the rest is taken up from there",
        ) from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            return ToolFailedError(
                f"the workers died again and again over {names}",
                got=str(error),
                remedy="look at the workers' logs; give them more memory",
            )
        return ToolFailedError(
            f"rtlgrad itself failed over {names}",
            got=f"{type(error).__name__}: {error} ({_place(error)})",
            remedy="report this, with the design",
        )


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "no trace"
    code = trace.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_name}"
