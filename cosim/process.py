"""Runs an outside program with a time limit, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended.

    Attributes:
        code: exit status, negative for a signal; None if it was killed at its time limit.
        output: standard output and standard error together, in order.
    """

    code: int | None
    output: str

    @property
    def timed_out(self) -> bool:
        """Whether the time limit ended it."""
        return self.code is None

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.code == 0


def run(
    command: Sequence[str | Path],
    *,
    limit_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program and wait for it.

    It gets a session of its own, so that at the time limit, or when this process is
    interrupted, all that it started is killed too.

    Args:
        command: program and arguments.
        limit_s: seconds of wall time.
        cwd: folder to run in.
        env: its whole environment; inherited if None.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=env,
        start_new_session=True,
    )
    _running.add(process)
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _kill_session(process)
        output, _ = process.communicate()
        return Completed(code=None, output=output)
    except BaseException:
        _kill_session(process)
        process.wait()
        raise
    finally:
        _running.discard(process)
    return Completed(code=process.returncode, output=output)


def kill_all() -> None:
    """Kill every program that is being waited for, in whichever thread."""
    for process in list(_running):
        _kill_session(process)


_running: set[subprocess.Popen[str]] = set()


def _kill_session(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
