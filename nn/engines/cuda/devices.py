"""Where kernels run: a GPU through CuPy, or anything else that offers the same few operations."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from ....core.errors import EngineError
from ..types import Availability
from .gpus import Gpu
from .launches import Kernel, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from .launches import Launch

COMPILER_OPTIONS = ("-std=c++17", "--fmad=false")
"""What NVRTC is told; --fmad=false keeps products and sums apart where the source does."""


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
    """A CUDA device, driven by CuPy. Tensors go there by DLPack, without a copy."""

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

    def run(
        self, launch: Launch, read: Mapping[str, Tensor], written: Mapping[str, Tensor]
    ) -> None:
        """See `Device.run`."""
        stream = self._torch.cuda.current_stream(self._index).cuda_stream
        with self._cupy.cuda.Device(self._index), self._cupy.cuda.ExternalStream(stream):
            arrays = {
                name: self._cupy.from_dlpack(tensor.detach())
                for name, tensor in (*read.items(), *written.items())
            }
            argument = launch.argument({name: array.data.ptr for name, array in arrays.items()})
            function = self._function(launch.kernel)
            if launch.shared_bytes > function.max_dynamic_shared_size_bytes:
                function.max_dynamic_shared_size_bytes = launch.shared_bytes
            function(
                (launch.blocks,),
                (launch.kernel.threads,),
                (argument,),
                shared_mem=launch.shared_bytes,
            )

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
        return Availability(
            False, "CuPy is not installed: pip install 'rtlgrad[cuda12]' or [cuda13]"
        )
    return _driver()


@cache
def _driver() -> Availability:
    try:
        torch, cupy = _modules()
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy has its own error types, and importing it may fail in any way
        return Availability(False, f"CuPy does not work here: {error}")
    if not torch.cuda.is_available():
        return Availability(False, "this torch has no CUDA, or finds no GPU")
    device = cupy_device(0)
    name = f"{device.gpu.name}, compute capability {device.gpu.capability}, {count} in all"
    if device.gpu.capability < (7, 5):
        return Availability(False, f"{name}: 7.5 is needed")
    return Availability(True, f"CuPy {cupy.__version__} on {name}")


@cache
def cupy_device(index: int) -> CupyDevice:
    """Return the CUDA device of that index, as torch and CuPy count them."""
    return CupyDevice(index)


def _modules() -> tuple[Any, Any]:
    return importlib.import_module("torch"), importlib.import_module("cupy")
