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
    from .routes import Estimate
    from .scaling import Scales


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
        self._add_entries(what, {"x": a, "w": b}, table, out)
        return out

    def conv2d(
        self,
        x: Tensor,
        w: Tensor,
        table: LookupTable,
        geometry: Conv2dGeometry,
        outside: Tensor,
        scales: Scales | None = None,
    ) -> Tensor:
        """Return a convolution's sums of ``T[x, w]``, int32 [B, O, H', W'].

        Where scales are given and a block sees all of k, what they make of the sums is stored instead:
        float32. Sums that several blocks add up stay int32.

        Args:
            x: activation codes, uint8 or int16 [B, C, H, W].
            w: weight codes, uint8 or int16 [O, C/groups, kh, kw].
            table: the product table.
            geometry: of the convolution; its pad_code is not used.
            outside: int32 [], the code of taps outside the image; it stays on the device.
            scales: of the layer.

        Raises:
            ConfigError: as `matmul`.
        """
        x, w = x.contiguous(), w.contiguous()
        what, shape = operands.conv2d_problem(x, w, geometry)
        given = _given(x, w, outside)
        if what.is_empty:
            return x.new_empty(shape, dtype=torch.int32)
        estimate = self._plan(what, given, table)
        whole = scales is not None and estimate.splits == 1
        out = x.new_empty(shape, dtype=torch.float32 if whole else torch.int32)
        self._run(what, estimate, given, table, out, scales if whole else None)
        return out

    def saturating_conv2d(
        self,
        x: Tensor,
        w: Tensor,
        table: LookupTable,
        geometry: Conv2dGeometry,
        outside: Tensor,
        bits: int,
        scales: Scales | None = None,
    ) -> Tensor:
        """Return a convolution's sums in an accumulator that is clamped after every addition.

        Products are added in the order of a weight's entries, as `rtlgrad.nn.accumulators` says. int32, or
        float32 where scales are given.

        Args:
            x: as `conv2d`, as is all else.
            w: weight codes.
            table: the product table.
            geometry: of the convolution.
            outside: the code of taps outside the image.
            bits: of the accumulator, 2 to 32.
            scales: of the layer.

        Raises:
            ConfigError: as `matmul`.
        """
        x, w = x.contiguous(), w.contiguous()
        what, shape = operands.conv2d_problem(x, w, geometry)
        out = x.new_zeros(shape, dtype=torch.int32 if scales is None else torch.float32)
        if not what.is_empty:
            kinds = operands.kinds(x, w, operands.CODE_KINDS, "codes")
            launch = plan_saturating(what, table, self.device.gpu, kinds=kinds, bits=bits)
            read = {**_given(x, w, outside), **({} if scales is None else scales.read())}
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
            self._add_entries(what, _given(grad, w, outside), table, out)
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
        self._add_entries(what, _given(x, grad, outside), table, out)
        return out

    def _add_entries(
        self, what: Problem, given: dict[str, Tensor], table: LookupTable, out: Tensor
    ) -> None:
        if not what.is_empty:
            self._run(what, self._plan(what, given, table), given, table, out)

    def _plan(self, what: Problem, given: dict[str, Tensor], table: LookupTable) -> Estimate:
        kinds = operands.kinds(given["x"], given["w"], operands.CODE_KINDS, "codes")
        # A tap that is no product at all has no digits.
        complete = "outside" in given or what.is_dense

        def digits() -> DigitLayout | None:
            return self._tables.digits_of(table) if complete else None

        return plan_table(what, table, self.device.gpu, kinds=kinds, digits=digits)

    def _run(
        self,
        what: Problem,
        estimate: Estimate,
        given: dict[str, Tensor],
        table: LookupTable,
        out: Tensor,
        scales: Scales | None = None,
    ) -> None:
        if estimate.splits > 1:
            out[what.region].zero_()
        read = {**given, **({} if scales is None else scales.read())}
        lowrank = estimate.route is TableRoute.LOWRANK
        digits = self._tables.digits_of(table) if lowrank else None
        if digits is not None:
            run_lowrank(self.device, self._tables, estimate.launch, digits, read, out)
            return
        expanded = estimate.route is TableRoute.EXPANDED
        make = layouts.expanded_layout if expanded else layouts.row_layout
        read["table"] = self._tables.layout(table, make)
        self.device.run(estimate.launch, read, {"out": out})


def _given(x: Tensor, w: Tensor, outside: Tensor | None) -> dict[str, Tensor]:
    """Return the operands by the member of `struct Gemm` that takes their address."""
    there = {} if outside is None else {"outside": outside.to(torch.int32)}
    return {"x": x, "w": w, **there}
