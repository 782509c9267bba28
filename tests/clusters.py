"""A Dask cluster of processes on this machine, for tests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="distributed is not installed"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def cluster_of_two(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler on loopback with two workers of one thread; its address, and the workers.

    Args:
        folder: where they run; workers see the host's files by absolute paths alone.
    """
    address = f"tcp://127.0.0.1:{free_port()}"
    folder.mkdir()
    common = {
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "start_new_session": True,
    }

    def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
        return subprocess.Popen([*command, "--no-dashboard"], **common)  # type: ignore[call-overload, no-any-return]

    started = [start("dask_scheduler", "--host", address)]
    alone = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
    workers = [start("dask_worker", address, *alone) for _ in range(2)]
    try:
        yield address, workers
    finally:
        for process in [*workers, *started]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
