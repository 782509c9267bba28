"""Runs an outside program within limits of time and memory, and leaves nothing of it behind.

A program must not outlive this process either, even if that is ended by SIGKILL and can do
nothing about it any more. So each runs below a small shell that holds one end of a pipe whose
other end is here: when this process ends, however it does, the pipe closes, and the shell kills
its session, itself included.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_OUTPUT_BYTES = 1 << 27
"""A program that prints more than this is taken for one that never ends."""
LEAST_MEMORY_BYTES = 4 << 30
"""What a program may always use; on a larger machine it is half of the memory."""

# Standard input is the pipe. The program gets none of it; the watcher waits for its end.
_GUARD = """\
ulimit -v "$1" 2>/dev/null
shift
exec 3<&0 </dev/null
{ read -r line <&3; kill -KILL 0; } >/dev/null 2>&1 &
watcher=$!
"$@" 3<&-
code=$?
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
exit "$code"
"""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended.

    Attributes:
        code: exit status, negative for a signal; None if it was killed at its time limit, or
            because it printed without end.
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
    interrupted or killed, all that it started is killed too. Each process of that session may
    use half of the machine's memory.

    Args:
        command: program and arguments.
        limit_s: seconds of wall time.
        cwd: folder to run in.
        env: its whole environment; inherited if None.
    """
    with _starting:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(memory_limit_kib()), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        _running.add(process)
    try:
        output, timed_out = _collect(process, limit_s)
    finally:
        if process.poll() is None:
            _kill_session(process)
        code = process.wait()
        _running.discard(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
    # The shell reports a signal as 128 plus its number.
    status = 128 - code if 128 < code < 128 + signal.NSIG else code
    return Completed(code=None if timed_out else status, output=output)


@cache
def memory_limit_kib() -> int:
    """Return how much memory one outside process may use, in KiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no limit, or no control groups
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(LEAST_MEMORY_BYTES, total // 2) >> 10


def kill_all() -> None:
    """Kill every program that is being waited for, in whichever thread."""
    with _starting:
        for process in list(_running):
            _kill_session(process)


@contextlib.contextmanager
def killable(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let `kill_all` kill a process that leads a session while the block waits for it."""
    _running.add(process)
    try:
        yield
    finally:
        _running.discard(process)


@contextlib.contextmanager
def worker_pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads to wait for programs in; if the block fails, what has not begun is dropped.

    If it was interrupted, what is running is killed too, rather than waited for.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                _kill_until_idle(pool)
            raise


_running: set[subprocess.Popen[bytes]] = set()
# Held from before a program starts until it is known, so that `kill_all` misses none.
_starting = threading.RLock()


def _kill_until_idle(pool: ThreadPoolExecutor) -> None:
    """Kill what a pool's threads run, and what those that had just taken a task go on to start."""
    idle = threading.Thread(target=pool.shutdown, daemon=True)
    idle.start()
    while idle.is_alive():
        kill_all()
        idle.join(0.05)


def _collect(process: subprocess.Popen[bytes], limit_s: float) -> tuple[str, bool]:
    """Read what a program prints until it ends; return that and whether it had to be stopped."""
    assert process.stdout is not None
    deadline = time.monotonic() + limit_s
    chunks: list[bytes] = []
    size = 0
    stopped = False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not stopped:
            if selector.select(max(deadline - time.monotonic(), 0.0)):
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                chunks.append(chunk)
                size += len(chunk)
            stopped = time.monotonic() >= deadline or size > MAX_OUTPUT_BYTES
    if not stopped:
        try:
            process.wait(timeout=max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            stopped = True
    return b"".join(chunks).decode(errors="replace"), stopped


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
