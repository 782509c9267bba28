"""Sums of products by a mantissa table on tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import layouts, operands
from .launches import SUM_PARTS_KERNEL, Launch, per_thread
from .plan import plan_mantissa

if TYPE_CHECKING:
    from torch import Tensor

    from ..mantissa_types import MantissaLookup
    from ..types import Conv2dGeometry
    from .device_tables import DeviceTables
    from .devices import Device
    from .problem import Problem


class MantissaSums:
    """Sums of floating-point products on one device; what they are stands in mantissa_types.py.

    Operands may be views; those of convolutions are made contiguous first.

    Args:
        device: where kernels run.
        tables: what is known of tables there.
    """

    def __init__(self, device: Device, tables: DeviceTables) -> None:
        self.device = device
        self._tables = tables

    def matmul(self, a: Tensor, b: Tensor, table: MantissaLookup) -> Tensor:
        """Return ``out[m, n] = sum_k P(a[m, k], b[k, n])``, float32 [M, N]; see mantissa_types.py.

        Args:
            a: float32 or bfloat16 [M, K]; any strides.
            b: float32 or bfloat16 [K, N]; any strides.
            table: the mantissa table.

        Raises:
            ConfigError: as `matmul`.
        """
        what = operands.matmul_problem(a, b)
        out = a.new_empty((a.shape[0], b.shape[1]), dtype=torch.float32)
        self._add_products(what, a, b, table, out)
        return out

    def conv2d(
        self, x: Tensor, w: Tensor, table: MantissaLookup, geometry: Conv2dGeometry
    ) -> Tensor:
        """Return a convolution by a mantissa table, float32 [B, O, H', W'].

        Raises:
            ConfigError: as `matmul`.
        """
        x, w = x.contiguous(), w.contiguous()
        what, shape = operands.conv2d_problem(x, w, geometry)
        out = x.new_empty(shape, dtype=torch.float32)
        self._add_products(what, x, w, table, out)
        return out

    def conv2d_input_grad(
        self,
        grad: Tensor,
        w: Tensor,
        table: MantissaLookup,
        geometry: Conv2dGeometry,
        image: tuple[int, int],
    ) -> Tensor:
        """Return the gradient of `conv2d` by x, float32 [B, C, H, W].

        Raises:
            ConfigError: as `matmul`.
        """
        grad, w = grad.contiguous(), w.contiguous()
        problems, shape = operands.input_grad_problems(grad, w, geometry, image)
        out = grad.new_empty(shape, dtype=torch.float32)
        for what in problems:
            self._add_products(what, grad, w, table, out)
        return out

    def conv2d_weight_grad(
        self,
        x: Tensor,
        grad: Tensor,
        table: MantissaLookup,
        geometry: Conv2dGeometry,
        kernel: tuple[int, int],
    ) -> Tensor:
        """Return the gradient of `conv2d` by w, float32 [O, C/groups, kh, kw].

        Raises:
            ConfigError: as `matmul`.
        """
        x, grad = x.contiguous(), grad.contiguous()
        what, shape = operands.weight_grad_problem(x, grad, geometry, kernel)
        out = x.new_empty(shape, dtype=torch.float32)
        self._add_products(what, x, grad, table, out)
        return out

    def _add_products(
        self, what: Problem, x: Tensor, w: Tensor, table: MantissaLookup, out: Tensor
    ) -> None:
        if not (what.rows and what.columns and what.groups):
            return
        kinds = operands.kinds(x, w, operands.NUMBER_KINDS, "numbers")
        launch = plan_mantissa(what, table.bits, self.device.gpu, kinds=kinds)
        zero = torch.zeros((), dtype=torch.int32, device=x.device)
        layout = self._tables.layout(table, layouts.mantissa_layout)
        read = {"x": x, "w": w, "table": layout, "outside": zero}
        splits = launch.members["splits"]
        if splits == 1:
            self.device.run(launch, read, {"out": out})
            return
        # Parts lie as the whole result does; elements of other phases of it are not made use of.
        parts = out.new_zeros((splits, *out.shape))
        with_parts = {**launch.members, "out_split": out.numel()}
        self.device.run(
            Launch(launch.kernel, launch.blocks, launch.shared_bytes, with_parts),
            read,
            {"out": parts},
        )
        total = torch.empty_like(out)
        count = {"count": out.numel(), "splits": splits}
        adding = per_thread(SUM_PARTS_KERNEL, out.numel(), **count)
        self.device.run(adding, {"parts": parts}, {"out": total})
        out[what.region].copy_(total[what.region])
