"""Sums of table entries on tensors: plans a problem, lends the table, launches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import layouts, operands
from .lowrank import run_lowrank
from .plan import plan_saturating, plan_table
from .routes import TableRoute

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..types import Conv2dGeometry, LookupTable
    from .device_tables import DeviceTables
    from .devices import Device
    from .digit_layout import DigitLayout
    from .problem import Problem


class IntegerSums:
    """Sums of entries of integer tables on one device.

    Operands may be views; those of convolutions are made contiguous first. Codes must lie within
    the table: they are not looked at, as that would wait for the device.

    Args:
        device: where kernels run.
        tables: what is known of tables there.
    """

    def __init__(self, device: Device, tables: DeviceTables) -> None:
        self.device = device
        self._tables = tables

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

    def saturating_conv2d(
        self,
        x: Tensor,
        w: Tensor,
        table: LookupTable,
        geometry: Conv2dGeometry,
        outside: Tensor,
        bits: int,
    ) -> Tensor:
        """Return a convolution's sums in an accumulator that is clamped after every addition.

        Products are added in the order of a weight's entries, as `rtlgrad.nn.accumulators` says.

        Args:
            x: as `conv2d`, as is all else.
            w: weight codes.
            table: the product table.
            geometry: of the convolution.
            outside: the code of taps outside the image.
            bits: of the accumulator, 2 to 32.

        Raises:
            ConfigError: as `matmul`.
        """
        x, w = x.contiguous(), w.contiguous()
        what, shape = operands.conv2d_problem(x, w, geometry)
        out = x.new_zeros(shape, dtype=torch.int32)
        if what.rows and what.columns and what.groups:
            kinds = operands.kinds(x, w, operands.CODE_KINDS, "codes")
            launch = plan_saturating(what, table, self.device.gpu, kinds=kinds, bits=bits)
            read = {"x": x, "w": w, "outside": outside.to(torch.int32)}
            read["table"] = self._tables.layout(table, layouts.row_layout)
            self.device.run(launch, read, {"out": out})
        return out

    def less_activations(
        self, table: LookupTable, factor: int, values: NDArray[np.int64]
    ) -> LookupTable | None:
        """See `DeviceTables.less_activations`."""
        return self._tables.less_activations(table, factor, values)

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
        # A tap that is no product at all has no digits.
        complete = outside is not None or what.is_dense

        def digits() -> DigitLayout | None:
            return self._tables.digits_of(table) if complete else None

        estimate = plan_table(what, table, self.device.gpu, kinds=kinds, digits=digits)
        if estimate.splits > 1:
            out[what.region].zero_()
        read = {"x": x, "w": w}
        if outside is not None:
            read["outside"] = outside.to(torch.int32)
        found = digits() if estimate.route is TableRoute.LOWRANK else None
        if found is not None:
            run_lowrank(self.device, self._tables, estimate.launch, found, read, out)
            return
        expanded = estimate.route is TableRoute.EXPANDED
        make = layouts.expanded_layout if expanded else layouts.row_layout
        read["table"] = self._tables.layout(table, make)
        self.device.run(estimate.launch, read, {"out": out})
