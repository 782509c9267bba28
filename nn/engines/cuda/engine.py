"""The CUDA engine on tensors, in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .device_tables import DeviceTables
from .gradient_sums import GradientSums
from .integer_sums import IntegerSums
from .mantissa_sums import MantissaSums
from .scaling import Scaling

if TYPE_CHECKING:
    from .devices import Device


class TensorSums(IntegerSums):
    """Sums of products on one device, tensors in and out.

    Args:
        device: where kernels run.

    Attributes:
        mantissa: the same for float32 numbers, whose products go through a mantissa table.
        gradients: the backward pass by gradient tables.
        scaling: what surrounds the sums of a layer.
    """

    def __init__(self, device: Device) -> None:
        tables = DeviceTables(device.torch_device)
        super().__init__(device, tables)
        self.mantissa = MantissaSums(device, tables)
        self.gradients = GradientSums(device)
        self.scaling = Scaling(device)
