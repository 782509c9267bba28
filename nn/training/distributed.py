"""Several processes that train one model: data parallelism by torchrun.

Each process takes its share of every batch, and the gradients are averaged, so that a step is that
of one process with the whole batch, up to the rounding of sums. The processes make the same
decisions from the same numbers; the first one alone writes. Two things belong to the share that a
process sees: the statistics of batch normalisation, and random draws of the model itself (dropout),
which are the same in all processes.
"""

from __future__ import annotations

import atexit
import os
import socket
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ...core.errors import ConfigError
from ..activation import synchronize_ranges

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from .config import TrainConfig


_PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others at one place before it gives up with an error."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: this one, from 0.
        count: how many there are; 1 without torchrun.
    """

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return this process's part of a batch, whose length `check` made divisible."""
        return images[self.rank :: self.count], labels[self.rank :: self.count]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def mean(self, value: float) -> float:
        """Return the mean of a number over the processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total) / self.count

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return a module that runs the model and averages its gradients over the processes."""
        if self.count == 1:
            return model
        synchronize_ranges(model)
        return DistributedDataParallel(model)

    def agree(self, model: nn.Module) -> None:
        """Give all processes the buffers of the first one: batch statistics and ranges."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def only_here(self, block: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """Return a context for the process that writes, and none for the others."""
        return block if self.writes else nullcontext()

    def check(self, config: TrainConfig) -> None:
        """Refuse what would not be the run of one process.

        Raises:
            ConfigError: a batch that cannot be divided evenly, or products that draw at random.
        """
        if config.batch_size % self.count:
            raise ConfigError(
                f"a batch cannot be divided among {self.count} processes",
                got=f"batch_size = {config.batch_size}",
                expected=f"a multiple of {self.count}",
            )
        random = "noise" if config.is_noisy else f"gradient {config.gradient!r}"
        if self.count > 1 and (config.is_noisy or config.gradient == "table"):
            raise ConfigError(
                "products that draw random numbers are trained in one process alone",
                got=f"{random} in {self.count} processes",
                remedy="run it without torchrun",
            )


def is_first() -> bool:
    """Whether this process is the one that prints: the first of torchrun's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def join_processes() -> Processes:
    """Join the other processes that torchrun started, over gloo, for the life of this one.

    Without torchrun, or with one process, there is nothing to join. A group that the caller made
    is taken as it is.
    """
    if not dist.is_initialized():
        if os.environ.get("WORLD_SIZE", "1") == "1" or "RANK" not in os.environ:
            return Processes()
        _stay_on_this_host()
        _share_cores()
        # Kept from run to run: a second group would find the addresses of the first one in the
        # store that torchrun keeps, and wait for it without end.
        dist.init_process_group("gloo", timeout=_PATIENCE)
        atexit.register(dist.destroy_process_group)
    return Processes(dist.get_rank(), dist.get_world_size())


def _stay_on_this_host() -> None:
    """Have gloo connect processes of one host over its loopback interface.

    gloo else takes the address that the host's name resolves to, which in a container may be one that
    nobody answers at.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return
    names = {name for _, name in socket.if_nameindex()}
    if "lo" in names:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _share_cores() -> None:
    """Give each process of a host its share of the cores, where nothing says how many threads.

    torchrun says so, in OMP_NUM_THREADS; other launchers may not.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // here))
