"""The CUDA engine as the registry has it: an `Engine` on NumPy arrays, and sums on tensors."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..mantissa_types import (
    MantissaLookup,
    check_input_grad,
    check_numbers,
    check_numbers_matmul,
    check_weight_grad,
)
from ..types import Availability, Conv2dGeometry, LookupTable, check_conv2d, check_matmul
from . import devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from ....lutgen.mantissa import MantissaTable
    from ..mantissa_types import Numbers
    from ..types import Codes
    from .devices import Device
    from .engine import TensorSums


class CudaEngine:
    """Table sums on a GPU.

    Called with NumPy arrays, it copies them to the first device and the result back. Layers call
    `tensors` instead, which computes where the operands are.

    Args:
        find_device: gives the device of an index.
        device: the kind of memory its tensors live in, as torch names it.
    """

    name = "cupy"

    def __init__(
        self,
        find_device: Callable[[int], Device] = devices.cupy_device,
        *,
        device: str = "cuda",
    ) -> None:
        self.device = device
        self._find_device = find_device
        self._sums: dict[int, TensorSums] = {}

    def availability(self) -> Availability:
        """Say whether CuPy and a driver are there."""
        return devices.availability()

    def tensors(self, index: int = 0) -> TensorSums:
        """Return the sums on the device of that index.

        Raises:
            EngineError: there is no such device.
        """
        from .engine import TensorSums  # torch is loaded on first use

        if index not in self._sums:
            self._sums[index] = TensorSums(self._find_device(index))
        return self._sums[index]

    @cached_property
    def mantissa(self) -> CudaMantissaEngine:
        """See `Engine.mantissa`."""
        return CudaMantissaEngine(self)

    def matmul(
        self,
        a_codes: Codes,
        b_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.matmul`; ``threads`` is ignored."""
        del threads
        lookup = LookupTable.of(table)
        check_matmul(a_codes, b_codes, lookup)
        sums = self.tensors()
        a, b = _tensors(sums, a_codes, b_codes)
        return _array(sums.matmul(a, b, lookup))

    def conv2d(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.conv2d`; ``threads`` is ignored."""
        del threads
        lookup = LookupTable.of(table)
        check_conv2d(x_codes, w_codes, lookup, geometry)
        sums = self.tensors()
        x, w, outside = _tensors(sums, x_codes, w_codes, np.array(geometry.pad_code, np.int32))
        return _array(sums.conv2d(x, w, lookup, geometry, outside))


class CudaMantissaEngine:
    """Sums of products by a mantissa table on a GPU, NumPy arrays in and out.

    Args:
        engine: whose devices it uses.
    """

    def __init__(self, engine: CudaEngine) -> None:
        self._engine = engine

    def matmul(
        self,
        a: Numbers,
        b: Numbers,
        table: MantissaLookup | MantissaTable,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.matmul`; ``threads`` is ignored."""
        del threads
        check_numbers_matmul(a, b)
        sums = self._engine.tensors()
        left, right = _tensors(sums, a, b)
        return _array(sums.mantissa.matmul(left, right, MantissaLookup.of(table)))

    def conv2d(
        self,
        x: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d`; ``threads`` is ignored."""
        del threads
        check_numbers(x, w, geometry)
        sums = self._engine.tensors()
        image, kernel = _tensors(sums, x, w)
        lookup = MantissaLookup.of(table)
        return _array(sums.mantissa.conv2d(image, kernel, lookup, geometry))

    def conv2d_input_grad(
        self,
        grad: Numbers,
        w: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        image: tuple[int, int],
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d_input_grad`; ``threads`` is ignored."""
        del threads
        check_input_grad(grad, w, geometry, image)
        sums = self._engine.tensors()
        left, right = _tensors(sums, grad, w)
        lookup = MantissaLookup.of(table)
        return _array(sums.mantissa.conv2d_input_grad(left, right, lookup, geometry, image))

    def conv2d_weight_grad(
        self,
        x: Numbers,
        grad: Numbers,
        table: MantissaLookup | MantissaTable,
        geometry: Conv2dGeometry,
        kernel: tuple[int, int],
        *,
        threads: int | None = None,
    ) -> Numbers:
        """See `MantissaEngine.conv2d_weight_grad`; ``threads`` is ignored."""
        del threads
        check_weight_grad(x, grad, geometry, kernel)
        sums = self._engine.tensors()
        left, right = _tensors(sums, x, grad)
        lookup = MantissaLookup.of(table)
        return _array(sums.mantissa.conv2d_weight_grad(left, right, lookup, geometry, kernel))


def load_engine() -> CudaEngine:
    """Return the engine on the GPUs of this machine."""
    return _ENGINE


_ENGINE = CudaEngine()


def _tensors(sums: TensorSums, *arrays: NDArray[Any]) -> list[Tensor]:
    import torch

    place = sums.device.torch_device
    return [torch.from_numpy(np.ascontiguousarray(array)).to(place) for array in arrays]


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array
