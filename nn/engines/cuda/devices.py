"""Where kernels run: a GPU through CuPy, or anything else that offers the same few operations."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from ....core.errors import EngineError
from ..types import Availability
from .gpus import Gpu
from .launches import COMPILER_OPTIONS, Kernel, source_of
from .nvrtc import load_compilers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from .launches import Launch


class Device(Protocol):
    """Something that runs launches on tensors."""

    @property
    def gpu(self) -> Gpu:
        """What plans are made for."""

    @property
    def torch_device(self) -> torch.device:
        """Where its tensors live."""

    def run(
        self, launch: Launch, read: Mapping[str, Tensor], written: Mapping[str, Tensor]
    ) -> None:
        """Run a kernel, on torch's current stream where there are streams.

        Args:
            launch: the kernel and its numbers.
            read: tensors by the member of the kernel's structure that takes their address.
            written: the same for tensors that the kernel changes.

        Raises:
            EngineError: it cannot be compiled or run.
        """


class CupyDevice:
    """A CUDA device, driven by CuPy.

    Kernels are given the tensors' addresses: nothing is copied, no type is refused that CuPy lacks (bfloat16),
    and torch's allocator, which orders memory by stream, stays right as launches go to torch's own.
    """

    def __init__(self, index: int) -> None:
        torch, cupy = _modules()
        self._torch, self._cupy, self._index = torch, cupy, index
        self.torch_device = torch.device("cuda", index)
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        self.gpu = Gpu(
            name=properties["name"].decode(),
            capability=(int(properties["major"]), int(properties["minor"])),
            multiprocessors=int(properties["multiProcessorCount"]),
            shared_bytes=int(properties["sharedMemPerBlockOptin"]),
            clock_ghz=int(properties.get("clockRate", 0)) * 1e-6,
        )
        self._functions: dict[Kernel, Any] = {}
        load_compilers()

    def run(
        self, launch: Launch, read: Mapping[str, Tensor], written: Mapping[str, Tensor]
    ) -> None:
        """See `Device.run`."""
        stream = self._torch.cuda.current_stream(self._index).cuda_stream
        addresses = {name: t.data_ptr() for name, t in (*read.items(), *written.items())}
        argument = launch.argument(addresses)
        with self._cupy.cuda.Device(self._index), self._cupy.cuda.ExternalStream(stream):
            function = self._function(launch.kernel)
            if launch.shared_bytes > function.max_dynamic_shared_size_bytes:
                function.max_dynamic_shared_size_bytes = launch.shared_bytes
            grid, block = (launch.blocks,), (launch.kernel.threads,)
            function(grid, block, (argument,), shared_mem=launch.shared_bytes)

    def _function(self, kernel: Kernel) -> Any:
        if kernel not in self._functions:
            options = (*COMPILER_OPTIONS, *kernel.options)
            try:
                # CuPy keeps what it compiles in the user's cache, keyed by source and options.
                module = self._cupy.RawModule(code=source_of(kernel), options=options)
                self._functions[kernel] = module.get_function(kernel.name)
            except Exception as error:
                raise EngineError(
                    f"the CUDA kernel {kernel} does not compile",
                    got=str(error)[-2000:],
                    remedy="install a CuPy that fits the driver, or use the engine 'native'",
                ) from error
        return self._functions[kernel]


def availability() -> Availability:
    """Say whether CuPy, torch and the driver together can run kernels, and what is missing."""
    if importlib.util.find_spec("cupy") is None:
        return Availability(False, f"CuPy is not installed: {_hint()}")
    return _driver()


def _hint() -> str:
    """Return how to install the CuPy that fits the CUDA of this torch."""
    version = importlib.import_module("torch").version.cuda
    if version is None:
        return "install a torch for CUDA 12 or 13 first, since this one has no CUDA"
    return (
        f"pip install 'rtlgrad[cuda{version.split('.')[0]}]', as this torch is for CUDA {version}"
    )


@cache
def _driver() -> Availability:
    try:
        torch, cupy = _modules()
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy has its own error types, and importing it may fail in any way
        missing = f"CuPy does not work here ({error}): is there a GPU, and a driver as new as CuPy's CUDA?"
        return Availability(False, missing)
    if not torch.cuda.is_available():
        found = (
            f"is for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        )
        return Availability(False, f"torch finds no GPU that it can use: it {found}")
    device = cupy_device(0)
    capability = ".".join(map(str, device.gpu.capability))
    name = f"{device.gpu.name}, compute capability {capability}, {count} in all"
    if device.gpu.capability < (7, 5):
        return Availability(False, f"{name}: 7.5 or later is needed")
    return Availability(True, f"CuPy {cupy.__version__} on {name}")


@cache
def cupy_device(index: int) -> CupyDevice:
    """Return the CUDA device of that index, as torch and CuPy count them."""
    return CupyDevice(index)


def _modules() -> tuple[Any, Any]:
    return importlib.import_module("torch"), importlib.import_module("cupy")
