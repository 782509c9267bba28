"""The CUDA engine on tensors: plans a problem, lends the table, launches."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import layouts, operands
from .launches import (
    FINISH_KERNEL,
    QUANTIZE_KERNEL,
    SUM_PARTS_KERNEL,
    Launch,
    per_thread,
)
from .plan import TableRoute, plan_mantissa, plan_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..mantissa_types import MantissaLookup
    from ..types import Conv2dGeometry, LookupTable
    from .devices import Device
    from .problem import Problem


class TensorSums:
    """Sums of products on one device, tensors in and out.

    Operands may be views; those of convolutions are made contiguous first. Codes must lie within
    the table: they are not looked at, as that would wait for the device.

    Args:
        device: where kernels run.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._layouts: Any = weakref.WeakKeyDictionary()

    # ---- tables of integers ---------------------------------------------------------------------

    def matmul(self, a: Tensor, b: Tensor, table: LookupTable) -> Tensor:
        """Return ``acc[m, n] = sum_k T[a[m, k], b[k, n]]``, int32 [M, N].

        Args:
            a: activation codes, uint8 or int16 [M, K]; any strides.
            b: weight codes, uint8 or int16 [K, N]; any strides.
            table: the product table.

        Raises:
            ConfigError: shapes or types that do not fit, or more than 2^31 elements.
        """
        what = operands.matmul_problem(a, b)
        out = a.new_empty((a.shape[0], b.shape[1]), dtype=torch.int32)
        self._add_entries(what, a, b, table, out, outside=None)
        return out

    def conv2d(
        self, x: Tensor, w: Tensor, table: LookupTable, geometry: Conv2dGeometry, outside: Tensor
    ) -> Tensor:
        """Return a convolution's sums of ``T[x, w]``, int32 [B, O, H', W'].

        Args:
            x: activation codes, uint8 or int16 [B, C, H, W].
            w: weight codes, uint8 or int16 [O, C/groups, kh, kw].
            table: the product table.
            geometry: of the convolution; its pad_code is not used.
            outside: int32 [], the code of taps outside the image; it stays on the device.

        Raises:
            ConfigError: as `matmul`.
        """
        x, w = x.contiguous(), w.contiguous()
        what, shape = operands.conv2d_problem(x, w, geometry)
        out = x.new_empty(shape, dtype=torch.int32)
        self._add_entries(what, x, w, table, out, outside=outside)
        return out

    def conv2d_input_grad(
        self,
        grad: Tensor,
        w: Tensor,
        table: LookupTable,
        geometry: Conv2dGeometry,
        image: tuple[int, int],
        outside: Tensor | None = None,
    ) -> Tensor:
        """Return the sums of ``T[grad, w]`` of a convolution's input gradient, int32 [B, C, H, W].

        Args:
            grad: codes of the result's gradient, uint8 or int16 [B, O, H', W'].
            w: weight codes, uint8 or int16 [O, C/groups, kh, kw].
            table: the product table.
            geometry: of the convolution; its pad_code is not used.
            image: (height, width) of the input.
            outside: int32 [], the code of gradients outside the result; None: no product there.

        Raises:
            ConfigError: as `matmul`.
        """
        grad, w = grad.contiguous(), w.contiguous()
        problems, shape = operands.input_grad_problems(grad, w, geometry, image)
        out = grad.new_empty(shape, dtype=torch.int32)
        for what in problems:
            self._add_entries(what, grad, w, table, out, outside=outside)
        return out

    def conv2d_weight_grad(
        self,
        x: Tensor,
        grad: Tensor,
        table: LookupTable,
        geometry: Conv2dGeometry,
        kernel: tuple[int, int],
        outside: Tensor | None = None,
    ) -> Tensor:
        """Return the sums of ``T[x, grad]`` of a weight gradient, int32 [O, C/groups, kh, kw].

        Args:
            x: activation codes, uint8 or int16 [B, C, H, W].
            grad: codes of the result's gradient, uint8 or int16 [B, O, H', W'].
            table: the product table.
            geometry: of the convolution; its pad_code is not used.
            kernel: (height, width) of the weights.
            outside: int32 [], the code of taps outside the image; None: no product there.

        Raises:
            ConfigError: as `matmul`.
        """
        x, grad = x.contiguous(), grad.contiguous()
        what, shape = operands.weight_grad_problem(x, grad, geometry, kernel)
        out = x.new_empty(shape, dtype=torch.int32)
        self._add_entries(what, x, grad, table, out, outside=outside)
        return out

    def _add_entries(
        self,
        what: Problem,
        x: Tensor,
        w: Tensor,
        table: LookupTable,
        out: Tensor,
        *,
        outside: Tensor | None,
    ) -> None:
        if not (what.rows and what.columns and what.groups):
            return
        kinds = operands.kinds(x, w, operands.CODE_KINDS, "codes")
        estimate = plan_table(what, table, self.device.gpu, kinds=kinds)
        launch = estimate.launch
        if launch.members["splits"] > 1:
            out.zero_()
        expanded = estimate.route is TableRoute.EXPANDED
        make = layouts.expanded_layout if expanded else layouts.row_layout
        read = {"x": x, "w": w, "table": self._layout(table, make)}
        if outside is not None:
            read["outside"] = outside.to(torch.int32)
        self.device.run(launch, read, {"out": out})

    # ---- tables of mantissas --------------------------------------------------------------------

    def mantissa_matmul(self, a: Tensor, b: Tensor, table: MantissaLookup) -> Tensor:
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

    def mantissa_conv2d(
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

    def mantissa_conv2d_input_grad(
        self,
        grad: Tensor,
        w: Tensor,
        table: MantissaLookup,
        geometry: Conv2dGeometry,
        image: tuple[int, int],
    ) -> Tensor:
        """Return the gradient of `mantissa_conv2d` by x, float32 [B, C, H, W].

        Raises:
            ConfigError: as `matmul`.
        """
        grad, w = grad.contiguous(), w.contiguous()
        problems, shape = operands.input_grad_problems(grad, w, geometry, image)
        out = grad.new_empty(shape, dtype=torch.float32)
        for what in problems:
            self._add_products(what, grad, w, table, out)
        return out

    def mantissa_conv2d_weight_grad(
        self,
        x: Tensor,
        grad: Tensor,
        table: MantissaLookup,
        geometry: Conv2dGeometry,
        kernel: tuple[int, int],
    ) -> Tensor:
        """Return the gradient of `mantissa_conv2d` by w, float32 [O, C/groups, kh, kw].

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
        layout = self._layout(table, layouts.mantissa_layout)
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

    # ---- what surrounds the sums of a layer ------------------------------------------------------

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
        *,
        weight_sums: Tensor,
        x_zero: Tensor,
        x_scale: Tensor,
        w_scale: Tensor,
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
            weight_sums: int64 [O], the sum of each output's weights, as values.
            x_zero: int32 [], the activations' zero point.
            x_scale: float32 [].
            w_scale: float32 [O].
            w_zero: the weights' zero point.
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
        read = {
            "gather.x": x,
            "gather.out": acc.contiguous(),
            "weight_sums": weight_sums,
            "x_zero": x_zero.to(torch.int32),
            "x_scale": x_scale,
            "w_scale": w_scale,
        }
        self.device.run(launch, read, {"result": out})
        return out

    # ---- tables on the device -------------------------------------------------------------------

    def _layout(self, table: Any, make: Callable[[Any], np.ndarray[Any, Any]]) -> Tensor:
        """Return a table's layout on the device, made once for as long as the table lives."""
        known = self._layouts.setdefault(table, {})
        if make not in known:
            # Tensors of 16-bit entries are signed: torch has no arithmetic on uint16, and needs none.
            array = make(table)
            signed = array.view(np.int16) if array.dtype == np.uint16 else array
            known[make] = torch.from_numpy(np.ascontiguousarray(signed)).to(
                self.device.torch_device
            )
        layout: Tensor = known[make]
        return layout
