"""What a run tells while it works, as data; whoever listens decides how to show it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from pathlib import Path

    from .evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Started:
    """A run begins, or goes on from a checkpoint.

    Attributes:
        folder: the run's folder.
        epoch: epochs already done (0 for a new run).
        epochs: epochs in all.
        engine: the engine that does the table's sums; None in fp32.
    """

    folder: Path
    epoch: int
    epochs: int
    engine: str | None


@dataclass(frozen=True, slots=True)
class StepDone:
    """A training step ended; sent a few times a second at most, and at the end of an epoch.

    Attributes:
        epoch: the epoch at work, counted from 1.
        epochs: epochs in all.
        step: steps done in this epoch.
        steps: steps in an epoch.
        loss: mean training loss so far in this epoch.
        images_per_s: since the epoch began.
        products_per_s: multiplications of the forward pass per second of training, since then:
            images_per_s times those of one image. Gradients, twice as many, are in the time alone.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    products_per_s: float


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch ended and its checkpoint is on disk.

    Attributes:
        epoch: the epoch, counted from 1.
        epochs: epochs in all.
        loss: mean training loss.
        validation: on the held-out training images; None if there are none.
        seconds: for the epoch, validation included.
    """

    epoch: int
    epochs: int
    loss: float
    validation: Evaluation | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluating:
    """An evaluation goes on.

    Attributes:
        what: "initial", "validation" or "test".
        batch: batches done.
        batches: batches in all.
    """

    what: str
    batch: int
    batches: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ctrl-C was pressed; what is on disk is whole.

    Attributes:
        folder: the run's folder.
        epoch: epochs that are safe in the checkpoint.
        epochs: epochs in all.
    """

    folder: Path
    epoch: int
    epochs: int

    @property
    def advice(self) -> str:
        """One sentence on how to go on."""
        return (
            f"interrupted: {self.epoch} of {self.epochs} epochs are safe in {self.folder}; "
            "give the same command again to go on from there"
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over and its result is on disk.

    Attributes:
        folder: the run's folder.
        before: test accuracy before training, where weights were given or a table is used.
        after: test accuracy of the result.
    """

    folder: Path
    before: Evaluation | None
    after: Evaluation


Event = Started | StepDone | EpochDone | Evaluating | Interrupted | Finished


class Progress(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event) -> None:
        """Take note of an event; called in the training thread, so be quick."""


def silent(event: Event) -> None:
    """Show nothing."""
    del event


class PlainProgress:
    """Prints a line per event that matters, and one every ``interval_s`` within an epoch.

    Args:
        stream: where to; standard error by default.
        interval_s: least time in seconds between two lines within an epoch.
    """

    def __init__(self, stream: TextIO | None = None, interval_s: float = 10.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._interval_s = interval_s
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Print the event if it is worth a line."""
        line = self._line(event)
        if line is not None:
            self._last = time.monotonic()
            print(line, file=self._stream, flush=True)

    def _line(self, event: Event) -> str | None:
        match event:
            case Started():
                engine = f", engine {event.engine}" if event.engine else ", fp32"
                done = f", {event.epoch} of {event.epochs} epochs done" if event.epoch else ""
                return f"{event.folder}{engine}{done}"
            case StepDone():
                if time.monotonic() - self._last < self._interval_s:
                    return None
                return (
                    f"epoch {event.epoch}/{event.epochs} step {event.step}/{event.steps} "
                    f"loss {event.loss:.4f} {event.images_per_s:,.0f} images/s "
                    f"{event.products_per_s / 1e9:.3g} G products/s"
                )
            case EpochDone():
                line = f"epoch {event.epoch}/{event.epochs} loss {event.loss:.4f}"
                if event.validation is not None:
                    line += f" validation {event.validation.accuracy:.2%}"
                return f"{line} {event.seconds:.1f} s"
            case Evaluating():
                return None
            case Interrupted():
                return event.advice
            case Finished():
                before = "" if event.before is None else f", {event.before.accuracy:.2%} before"
                return f"test accuracy {event.after.accuracy:.2%}{before}"
