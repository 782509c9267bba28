"""Sums weighted by gradient tables, on tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .launches import LUT_GRADIENT_W_KERNEL, LUT_GRADIENT_X_KERNEL, Launch
from .problem import check_elements

if TYPE_CHECKING:
    from torch import Tensor

    from .devices import Device

_OUTPUTS = 16  # of a block of `lut_gradient_w`


class GradientSums:
    """The backward pass by gradient tables on one device.

    Args:
        device: where kernels run.
    """

    def __init__(self, device: Device) -> None:
        self.device = device

    def lut_backward(
        self, x: Tensor, w: Tensor, g: Tensor, scale: Tensor, by_a: Tensor, by_b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of one matrix product through a table.

        Operands, results and the order of sums are those of `rtlgrad.nn.gradients.native.lut_backward`.

        Raises:
            ConfigError: more than 2^31 elements.
        """
        (K, M), outputs = x.shape, g.shape[0]
        check_elements(x=(K, M), w=(K, outputs), g=(outputs, M))
        dx = x.new_zeros((K, M), dtype=torch.float32)
        dw = x.new_zeros((K, outputs), dtype=torch.float32)
        tensors = {"x": x, "w": w, "g": g, "scale": scale}
        read = {name: tensor.contiguous() for name, tensor in tensors.items()}
        members = {
            "inner": K,
            "outputs": outputs,
            "positions": M,
            "activation_codes": by_a.shape[1],
        }
        launch = Launch(LUT_GRADIENT_X_KERNEL, K * -(-M // 256), 0, members)
        if K and M and outputs:
            self.device.run(launch, {**read, "table": by_a.contiguous()}, {"result": dx})
            kernel = LUT_GRADIENT_W_KERNEL
            blocks = K * -(-outputs // _OUTPUTS)
            second = replace(launch, kernel=kernel, blocks=blocks, shared_bytes=4 * kernel.threads)
            self.device.run(second, {**read, "table": by_b.contiguous()}, {"result": dw})
        return dx, dw
