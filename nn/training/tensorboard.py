"""The figures of each epoch for TensorBoard, where it is installed (an extra)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .progress import EpochDone, Finished, Interrupted, Started

if TYPE_CHECKING:
    from .progress import Event, Progress

FOLDER_NAME = "tensorboard"


class TensorBoardProgress:
    """Writes losses and accuracies into a run's folder, and passes every event on.

    What a resumed run does anew replaces what an earlier session wrote. metrics.jsonl stays the
    record of the run.

    Args:
        others: who else is told.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, others: Progress) -> None:
        try:
            self._writer_of: Any = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "TensorBoard is not installed",
                got=error,
                remedy="pip install 'rtlgrad[tensorboard]', or leave --tensorboard out: "
                "metrics.jsonl has the same figures",
            ) from error
        self._others = others
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        """Write what the event says, and pass it on."""
        if isinstance(event, Started):
            folder = event.folder / FOLDER_NAME
            self._writer = self._writer_of(str(folder), purge_step=event.epoch + 1)
        elif isinstance(event, EpochDone) and self._writer is not None:
            self._write(event)
        elif isinstance(event, Interrupted | Finished) and self._writer is not None:
            if isinstance(event, Finished):
                self._writer.add_scalar("accuracy/test", event.after.accuracy, 0)
            self._writer.close()
            self._writer = None
        self._others(event)

    def _write(self, event: EpochDone) -> None:
        scalars = {"loss/train": event.loss, "seconds": event.seconds}
        if event.validation is not None:
            scalars["loss/validation"] = event.validation.loss
            scalars["accuracy/validation"] = event.validation.accuracy
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, event.epoch)
        self._writer.flush()
