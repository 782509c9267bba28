"""Where the work of a characterization runs: threads of this process, or a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, MissingToolError
from ..cosim.programs.process import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

CONNECT_LIMIT_S = 10.0
"""How long a scheduler may take to answer, and how long to wait for its first worker."""
_COUNT_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor, and what has to be known to keep it busy.

    Attributes:
        executor: runs the tasks.
        slots: returns how many tasks it runs at a time, which may change.
        jobs: processes that all tasks together may run at a time; None if each task has a
            processor of its own and no more.
        remote: whether workers may not see the host's files.
    """

    executor: Executor
    slots: Callable[[], int]
    jobs: int | None
    remote: bool


@contextlib.contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """Run tasks in threads of this process: what takes time in them are outside programs."""
    with worker_pool(jobs) as pool:
        yield Workers(pool, lambda: jobs, jobs, remote=False)


@contextlib.contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """Run tasks on the workers of a Dask scheduler.

    Args:
        address: of the scheduler, "tcp://host:8786".

    Raises:
        MissingToolError: Dask is not installed.
        ConfigError: there is no scheduler, or it has no workers.
    """
    if importlib.util.find_spec("distributed") is None:
        raise MissingToolError(
            "--scheduler needs the Python package 'distributed' (Dask)",
            remedy="pip install 'rtlgrad[dask]', the same version as on the cluster",
        )
    client = _connected(address)
    try:
        yield Workers(client.get_executor(), _Count(client), None, remote=True)
    finally:
        # What is still running goes on to its own limits; its results are not wanted any more.
        client.close(timeout=CONNECT_LIMIT_S)


def _connected(address: str) -> Any:
    import distributed

    # Typed in part only.
    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=CONNECT_LIMIT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address}",
            got=str(error) or type(error).__name__,
            expected="the address that `dask scheduler` prints, for example tcp://host:8786",
            remedy="start one, or leave out --scheduler to work on this machine",
        ) from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_LIMIT_S)
    except TimeoutError as error:
        client.close()
        raise ConfigError(
            f"the Dask scheduler at {address} has no workers",
            remedy=f"start one where rtlgrad and its tools are installed: dask worker {address}",
        ) from error
    return client


class _Count:
    """Counts the threads of all workers, now and then: workers come and go."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._threads = 1
        self._counted = -_COUNT_EVERY_S

    def __call__(self) -> int:
        if time.monotonic() - self._counted >= _COUNT_EVERY_S:
            self._threads = max(1, sum(self._client.nthreads().values()))
            self._counted = time.monotonic()
        return self._threads
