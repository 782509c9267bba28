"""What surrounds the sums of a layer: quantization before, zero points and scales after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from . import operands
from .launches import FINISH_KERNEL, QUANTIZE_KERNEL, per_thread

if TYPE_CHECKING:
    from torch import Tensor

    from ..types import Conv2dGeometry
    from .devices import Device


@dataclass(frozen=True, eq=False)
class Scales:
    """What makes a layer's result of its sums: ``(sum - weight_sums * x_zero) * (x_scale * w_scale)``.

    The difference is an integer, then a float32, as is the product of the scales.

    Attributes:
        weight_sums: int64 [O], what the activations' zero point multiplies.
        x_zero: int32 [], the activations' zero point.
        x_scale: float32 [].
        w_scale: float32 [O].
    """

    weight_sums: Tensor
    x_zero: Tensor
    x_scale: Tensor
    w_scale: Tensor

    def read(self) -> dict[str, Tensor]:
        """Return what a kernel reads, by the member of `struct Gemm`."""
        return {
            "weight_sums": self.weight_sums.contiguous(),
            "x_zero": self.x_zero.to(torch.int32),
            "x_scale": self.x_scale,
            "w_scale": self.w_scale.contiguous(),
        }


class Scaling:
    """Quantization and rescaling on one device.

    Args:
        device: where kernels run.
    """

    def __init__(self, device: Device) -> None:
        self.device = device

    def quantize(
        self, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize and dequantize in one pass; formulas and results as `rtlgrad.nn.quantize`.

        Args:
            x: float32, any shape.
            scale: float32, broadcastable to x.
            zero: int32 [].
            low: the least quantized value.
            high: the greatest quantized value.
            bits: the operand's width.

        Returns:
            x_hat, codes, the mask of what was not clamped, and int32 [1] of what is wrong: bit 0 for
            NaN in the result, bit 1 for a scale that is not a finite positive number.
        """
        x = x.contiguous()
        x_hat = torch.empty_like(x)
        codes = torch.empty_like(x, dtype=torch.uint8 if bits <= 8 else torch.int16)
        inside = torch.empty_like(x, dtype=torch.bool)
        damage = torch.zeros(1, dtype=torch.int32, device=x.device)
        if scale.numel() > 1 and scale.shape != (x.shape[0], *[1] * (x.ndim - 1)):
            scale = scale.expand_as(x)
        channels = scale.numel()
        if x.numel():
            launch = per_thread(
                *(QUANTIZE_KERNEL, x.numel()),
                count=x.numel(),
                inner=x.numel() // channels,
                channels=channels,
                low=low,
                high=high,
                bits=bits,
            )
            read = {"x": x, "scale": scale.contiguous(), "zero": zero.to(torch.int32)}
            written = {"x_hat": x_hat, "codes": codes, "inside": inside.view(torch.uint8)}
            self.device.run(launch, read, {**written, "damage": damage})
        return x_hat, codes, inside, damage

    def finish(
        self,
        acc: Tensor,
        x: Tensor,
        w: Tensor,
        geometry: Conv2dGeometry,
        scales: Scales,
        *,
        w_zero: int,
        x_bits: int,
        x_signed: bool,
    ) -> Tensor:
        """Return a layer's result from its sums, as `rtlgrad.nn.ops.approx_conv2d` defines it.

        Args:
            acc: int32 [B, O, H', W'], from `conv2d`.
            x: activation codes [B, C, H, W].
            w: weight codes [O, C/groups, kh, kw]; their shape alone is used.
            geometry: of the convolution.
            scales: what is left to do besides w_zero.
            w_zero: what each window's activations are multiplied by, to be subtracted.
            x_bits: width of an activation's code.
            x_signed: whether it is two's complement.

        Returns:
            float32 [B, O, H', W'].
        """
        x = x.contiguous()
        what, _ = operands.conv2d_problem(x, w, geometry)
        out = torch.empty_like(acc, dtype=torch.float32)
        if not out.numel():
            return out
        sizes = {
            **what.indices,
            "rows": what.rows,
            "columns": what.columns,
            "depth": what.depth,
            "groups": what.groups,
            "x_kind": operands.CODE_KINDS[x.dtype],
        }
        members = {f"gather.{name}": value for name, value in sizes.items()}
        members |= {"w_zero": w_zero, "x_bits": x_bits, "x_signed": int(x_signed)}
        launch = per_thread(FINISH_KERNEL, what.columns * what.groups, **members)
        read = {"x": x, "out": acc.contiguous(), **scales.read()}
        gathered = {f"gather.{name}": tensor for name, tensor in read.items()}
        self.device.run(launch, gathered, {"result": out})
        return out
