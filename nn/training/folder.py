"""A run's folder: the names in it, and the lock that keeps two processes apart."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.files import unwritable
from .checkpoint import CHECKPOINT_NAME
from .results import RESULT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.jsonl"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; the lock dies with the process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{folder} is in use",
                got="another process is training in it",
                remedy="wait for it, or name another folder",
            ) from error
        for name in (CONFIG_NAME, CHECKPOINT_NAME, METRICS_NAME, RESULT_NAME):
            for remnant in folder.glob(f".{name}.*"):  # a write that a kill cut short
                remnant.unlink(missing_ok=True)
        yield
