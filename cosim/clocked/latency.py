"""Measures when a clocked multiplier's product appears, and how its operations follow each other.

docs/conventions.md, "Clocked designs", says what counts as what. `measure` is written as a
generator: it yields lists of inputs, is sent what the design answered, and ends with the latency.
The designs of one model are so measured together, and no simulator is needed to test it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import RtlgradError, SidecarError, SimulationError, UnknownOutputError
from ..interface import RESET_CYCLES, Clocking, ClockStyle, Latency
from .operation_times import Evidence, handshake_times, settling_times
from .pipeline_delay import MAX_DELAY, Stream, pipeline_delay
from .probing import Manner, Operation, Script, operand_pool
from .refusals import Refusal, no_start

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from ..design import Design
    from .probing import Trace

    Measuring = Generator[Script, Trace, Latency]

SEED = 20_241
POOL = 32
"""Operand pairs to measure with."""
_REPEATS = 3
_STREAM = 1024
_SHORT = 96
"""Cycles that operands are held at first; if that does not do, `cycle_limit` cycles."""
_IDLE = 16
_IDLE_TRIED = (0, 1, 2, 4, 8, 16)


def cycle_limit(design: Design) -> int:
    """Return how many clock cycles an operation may take: four for each code of an operand."""
    widest = max(design.interface.a.width, design.interface.b.width)
    return min(max(1024, 4 << widest), 16_384)


def measure_all(
    designs: Mapping[int, Design],
    play: Callable[[Mapping[int, Script]], Mapping[int, Trace]],
) -> dict[int, Latency | RtlgradError]:
    """Measure several designs, in as few simulations as may be.

    Args:
        designs: the clocked designs, by any number.
        play: simulates lists of inputs and returns what the designs answered, by number.
    """
    found: dict[int, Latency | RtlgradError] = {}
    running: dict[int, Measuring] = {}
    wanted: dict[int, Script] = {}

    def advance(index: int, step: Callable[[], Script]) -> None:
        try:
            wanted[index] = step()
        except StopIteration as end:
            found[index] = end.value
        except RtlgradError as error:
            found[index] = error

    for index, design in designs.items():
        running[index] = measure(design)
        advance(index, running[index].__next__)
    while wanted:
        asked, wanted = wanted, {}
        for index, trace in play(asked).items():
            advance(index, lambda index=index, trace=trace: running[index].send(trace))  # type: ignore[misc]
    return found


def measure(design: Design) -> Measuring:
    """Yield lists of inputs, take what the design answers, and return its latency.

    Raises:
        SimulationError: there is no fixed latency and no done output, done never comes, or the
            design keeps state from one operation to the next.
        SidecarError: the sidecar's style cannot be, or is not, that of the design.
    """
    return (yield from _Measurement(design).run())


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Operations that begin in one manner, as part of a script."""

    manner: Manner
    operations: Sequence[Operation]


class _Measurement:
    def __init__(self, design: Design) -> None:
        ports = design.interface
        assert ports.clocking is not None
        self._design = design
        self._clocking: Clocking = ports.clocking
        self._pool, self._special = operand_pool(ports.a.width, ports.b.width, POOL, SEED)
        self._rng = np.random.default_rng(SEED)
        self._handshake = self._clocking.done is not None and (
            self._clocking.style is not ClockStyle.HELD
        )

    def run(self) -> Measuring:
        claim = self._clocking.style
        if claim is ClockStyle.HANDSHAKE and self._clocking.done is None:
            raise SidecarError(
                f"{self._design.path}: the sidecar says handshake, but no output says done",
                remedy='name it: [clock] done = "PORT"',
            )
        script = Script()
        stream = self._stream(script)
        attempts = [self._attempt(script, manner, _SHORT) for manner in self._manners()]
        trace = yield script
        if claim in (None, ClockStyle.PIPELINED):
            latency = self._pipelined(trace, stream)
            if latency is not None and (claim or self._lasts(trace, stream, latency, attempts)):
                return latency
        if claim is ClockStyle.PIPELINED:
            raise self._error(
                "is not pipelined",
                got=f"no delay of up to {MAX_DELAY} cycles explains what it answers to new "
                "operands in each cycle",
                remedy="correct style and cycles in the sidecar's [clock], or leave them out",
            )
        judged = self._judged(trace, attempts)
        if isinstance(judged, Refusal):
            script = Script()
            limit = cycle_limit(self._design)
            attempts = [self._attempt(script, manner, limit) for manner in self._manners()]
            judged = self._judged((yield script), attempts)
        if isinstance(judged, Refusal):
            raise self._refused(judged)
        return (yield from self._spaced(*judged))

    def _manners(self) -> list[Manner]:
        if self._clocking.start is not None:
            return [Manner(), Manner(start_held=True)]
        manners = [] if self._handshake else [Manner()]
        if self._clocking.reset is not None:
            manners.append(Manner(reset_each=True))
        return manners

    def _stream(self, script: Script) -> Stream:
        """Add new operands in every cycle; where there is a start input, with gaps."""
        script.begin()
        numbers = self._rng.integers(0, len(self._pool), _STREAM + MAX_DELAY)
        starts = self._rng.random(len(numbers)) < 0.75
        if self._clocking.start is None:
            starts[:] = True
        for number, start in zip(numbers, starts, strict=True):
            script.play(1, self._pool[number], start=bool(start))
        return Stream(script.cycles - len(numbers), numbers, starts)

    def _attempt(self, script: Script, manner: Manner, cycles: int) -> _Attempt:
        script.begin()
        order = np.tile(np.arange(len(self._pool)), _REPEATS)
        self._rng.shuffle(order)
        # Varying pauses, so that a design that counts by itself is met at any count.
        pauses = self._rng.integers(0, 32, len(order))
        return _Attempt(
            manner,
            [
                script.operate(self._pool, int(number), manner, cycles + int(pause), _IDLE)
                for number, pause in zip(order, pauses, strict=True)
            ],
        )

    def _pipelined(self, trace: Trace, stream: Stream) -> Latency | None:
        done = trace.done if self._clocking.done is not None else None
        width = self._design.interface.out.width
        found = pipeline_delay(trace, stream, width, done, self._clocking.cycles)
        if found is None:
            return None
        if found.aligned:
            return Latency(ClockStyle.PIPELINED, found.cycles, found.cycles, 1)
        if self._clocking.start is None and done is None and self._clocking.style is None:
            return Latency(ClockStyle.HELD, found.cycles, found.cycles, found.cycles)
        return None

    def _lasts(
        self, trace: Trace, stream: Stream, latency: Latency, attempts: Sequence[_Attempt]
    ) -> bool:
        """Return whether the pipeline's products are also those of operands that are held.

        A serial design without a done output shows what it loads when it is started in every
        cycle. Where there is one, it has told that the products are there.
        """
        if self._clocking.done is not None or latency.style is ClockStyle.HELD:
            return True
        seen = trace.before if latency.cycles == 0 else trace.after
        products = {
            int(number): int(seen[stream.first + cycle + max(latency.cycles - 1, 0)])
            for cycle, number in enumerate(stream.numbers[:_STREAM])
            if stream.starts[cycle]
        }
        return all(
            trace.after[item.first + item.cycles - 1] == products.get(item.pair)
            for item in attempts[0].operations
        )

    def _judged(
        self, trace: Trace, attempts: Sequence[_Attempt]
    ) -> tuple[Manner, Evidence] | Refusal:
        """Return the first manner that works, or why the most telling one does not."""
        if not attempts:
            return no_start()
        refusals: list[tuple[int, bool, Refusal]] = []
        for attempt in attempts:
            if self._handshake:
                found = handshake_times(trace, attempt.operations, self._pool)
            else:
                runs_free = self._clocking.start is None and not attempt.manner.reset_each
                found = settling_times(
                    trace,
                    attempt.operations,
                    self._pool,
                    special=self._special,
                    runs_free=runs_free,
                    claimed=self._clocking.cycles,
                )
            if isinstance(found, Evidence):
                return attempt.manner, found
            # A reset puts every operation at the same point: what it shows is clearer.
            refusals.append((found.weight, attempt.manner.reset_each, found))
        return max(refusals, key=lambda item: item[:2])[2]

    def _spaced(self, manner: Manner, evidence: Evidence) -> Measuring:
        """Find how soon the next operation may begin, and return the latency."""
        script = Script()
        tries = []
        for idle in _IDLE_TRIED:
            script.begin()
            order = self._rng.permutation(np.tile(np.arange(len(self._pool)), 2))
            tries.append(
                [
                    script.operate(self._pool, int(n), manner, evidence.cycles_of[int(n)], idle)
                    for n in order
                ]
            )
        trace = yield script
        for idle, operations in zip(_IDLE_TRIED, tries, strict=True):
            if self._agrees(trace, operations, evidence):
                return self._latency(manner, evidence, idle)
        raise self._error(
            "does not repeat its products when operations follow each other closely",
            got=f"up to {_IDLE_TRIED[-1]} idle cycles between them do not do",
            remedy="look for state that an operation leaves behind",
        )

    def _agrees(self, trace: Trace, operations: Sequence[Operation], evidence: Evidence) -> bool:
        if self._handshake:
            again = handshake_times(trace, operations, self._pool)
            return isinstance(again, Evidence) and again.products == evidence.products
        read = ((item.pair, trace.after[item.first + item.cycles - 1]) for item in operations)
        return all(trace.texts[code] == evidence.products[number] for number, code in read)

    def _latency(self, manner: Manner, evidence: Evidence, idle: int) -> Latency:
        claimed = self._clocking.cycles
        if self._handshake and claimed not in (None, evidence.most):
            raise self._error(
                f"does not take {claimed} cycles, as the sidecar says",
                got=f"{evidence.least} to {evidence.most} cycles from start to done",
                remedy="correct cycles in the sidecar's [clock], or leave it out",
            )
        resetting = RESET_CYCLES if manner.reset_each else 0
        return Latency(
            ClockStyle.HANDSHAKE if self._handshake else ClockStyle.HELD,
            evidence.most,
            evidence.least,
            resetting + evidence.most + idle,
            start_held=manner.start_held,
            reset_each=manner.reset_each,
        )

    def _refused(self, refusal: Refusal) -> RtlgradError:
        kind = UnknownOutputError if refusal.unknown else SimulationError
        return kind(
            f"{self._design.path}: {self._design.name} {refusal.what}",
            got=refusal.got,
            expected=refusal.expected,
            remedy=refusal.remedy,
        )

    def _error(self, what: str, *, got: str, remedy: str) -> SimulationError:
        return SimulationError(
            f"{self._design.path}: {self._design.name} {what}", got=got, remedy=remedy
        )
