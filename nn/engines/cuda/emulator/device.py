"""The emulator as a device of the CUDA engine: same plans, same sources, tensors on the CPU."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from .....core.errors import EngineError
from ..gpus import Gpu
from ..launches import SOURCES
from .build import build_kernel
from .memory import GuardedCopy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..launches import Kernel, Launch

_REPORT_BYTES = 512


class Order(IntEnum):
    """How the threads of a block take turns between barriers."""

    ASCENDING = 0
    DESCENDING = 1
    SHUFFLED = 2


class EmulatedDevice:
    """Runs kernels as `host.h` says.

    Args:
        gpu: what plans are made for; None for a small GPU with an H100's shared memory.
        order: of threads, and of blocks where it is descending.
        seed: of the shuffling.
        sources: the folder that kernels are read from.
    """

    torch_device = torch.device("cpu")

    def __init__(
        self,
        gpu: Gpu | None = None,
        *,
        order: Order = Order.ASCENDING,
        seed: int = 0,
        sources: Path = SOURCES,
    ) -> None:
        self.gpu = gpu or Gpu("emulated", (9, 0), 4, 227 << 10)
        self.launched: list[Launch] = []
        self._order, self._seed, self._sources = order, seed, sources

    def run(
        self, launch: Launch, read: Mapping[str, Tensor], written: Mapping[str, Tensor]
    ) -> None:
        """See `Device.run`.

        Raises:
            EngineError: the kernel does what it must not; the message says what and where.
        """
        if launch.shared_bytes > self.gpu.shared_bytes:
            raise EngineError(
                f"{launch.kernel} wants more shared memory than there is",
                got=launch.shared_bytes,
                expected=f"at most {self.gpu.shared_bytes} on {self.gpu.name}",
            )
        self.launched.append(launch)
        library = _library(launch.kernel, self._sources)
        copies, changed = self._guarded(read, writable=False), self._guarded(written, writable=True)
        argument = launch.argument({n: c.address for n, c in (*copies.items(), *changed.items())})
        report = ctypes.create_string_buffer(_REPORT_BYTES)
        failed = library.rtlgrad_emulate(
            _symbol(library, f"{launch.kernel.name}_entry"),
            argument.ctypes.data,
            (ctypes.c_uint * 3)(launch.blocks, 1, 1),
            (ctypes.c_uint * 3)(launch.kernel.threads, 1, 1),
            launch.shared_bytes,
            self._order.value,
            self._seed,
            report,
        )
        if failed:
            raise EngineError(
                f"the emulator stopped {launch.kernel}", got=report.value.decode(errors="replace")
            )
        for name, copy in changed.items():
            if not copy.is_intact:
                raise EngineError(f"{launch.kernel} wrote outside a buffer", got=f"near {name!r}")
            copy.copy_back()

    def _guarded(self, tensors: Mapping[str, Tensor], *, writable: bool) -> dict[str, GuardedCopy]:
        # Blocks in descending order are as likely to run over a buffer's begin as over its end.
        from_start = self._order is Order.DESCENDING
        return {
            name: GuardedCopy(tensor, writable=writable, from_start=from_start)
            for name, tensor in tensors.items()
        }


@cache
def _library(kernel: Kernel, sources: Path) -> Any:
    library = ctypes.CDLL(str(build_kernel(kernel, sources)))
    library.rtlgrad_emulate.argtypes = (
        *(ctypes.c_void_p, ctypes.c_void_p),
        *(ctypes.c_uint * 3, ctypes.c_uint * 3),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_uint),
        ctypes.c_char_p,
    )
    size = getattr(library, f"{kernel.name}_argument_bytes")()
    if size != kernel.argument.itemsize:
        raise EngineError(
            f"Python and C++ disagree about what {kernel.name} takes",
            got=f"{kernel.argument.itemsize} bytes in Python",
            expected=f"{size} bytes",
        )
    return library


def _symbol(library: ctypes.CDLL, name: str) -> int | None:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
