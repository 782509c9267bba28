"""The CUDA kernels of the torch ops: the same definitions, computed where the tensors are.

torch calls these for CUDA tensors in place of the ops' general form; shapes for torch.compile and
gradients are those of the definitions. Tables stay on the CPU; the engine keeps a copy on each device.
Zero points and scales stay on the device too, so a forward pass waits for it only where quantization
looks for NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from ..core.errors import ConfigError, EngineError
from .accumulators import parse_accumulator
from .engines import (
    INT32_MAX,
    Conv2dGeometry,
    LookupTable,
    check_accumulator,
    resolve_engine,
)
from .engines.cuda import CudaEngine
from .mantissa_ops import (
    mantissa_conv2d,
    mantissa_conv2d_input_grad,
    mantissa_conv2d_weight_grad,
    mantissa_linear,
    mantissa_matmul,
)
from .mantissa_tables import mantissa_lookup_of
from .ops import approx_conv2d, approx_linear
from .quantize import OperandFormat, decode
from .quantize_ops import fake_quantize, quantize_codes, refuse_bad_scale, refuse_nan
from .table_ops import table_conv2d, table_matmul
from .tables import lookup_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .engines.cuda.engine import TensorSums


def _sums(engine: str, tensor: Tensor) -> TensorSums:
    chosen = resolve_engine(engine, device=tensor.device.type)
    if not isinstance(chosen, CudaEngine):
        raise EngineError(
            f"the engine {chosen.name!r} does not compute on tensors of {tensor.device}",
            remedy="use the engine 'cupy', or 'auto'",
        )
    return chosen.tensors(max(0, tensor.get_device()))


def _lookup(table: Tensor) -> LookupTable:
    return lookup_of(table.cpu())


# ---- sums of table entries ----------------------------------------------------------------------


def table_matmul_cuda(
    a_codes: Tensor, b_codes: Tensor, table: Tensor, engine: str = "auto"
) -> Tensor:
    """See `table_matmul`."""
    lookup = _lookup(table)
    _check_codes(lookup, a_codes, b_codes)
    _check_sums(b_codes.t(), lookup)
    return _sums(engine, a_codes).matmul(a_codes, b_codes, lookup)


def table_conv2d_cuda(
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    pad_code: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """See `table_conv2d`."""
    lookup = _lookup(table)
    _check_codes(lookup, x_codes, w_codes)
    _check_codes(lookup, pad_code.to(torch.int16), w_codes)
    _check_sums(w_codes, lookup)
    geometry = _geometry(stride, padding, dilation, groups)
    sums = _sums(engine, x_codes)
    return sums.conv2d(x_codes, w_codes, lookup, geometry, pad_code.to(x_codes.device))


def _check_codes(table: LookupTable, a: Tensor, b: Tensor) -> None:
    """Refuse codes outside the table, which waits for the device; codes of all 8 bits cannot be."""
    for role, codes, side in zip(
        ("activation", "weight"), (a, b), table.products.shape, strict=True
    ):
        if codes.numel() == 0 or (codes.dtype == torch.uint8 and side >= 256):
            continue
        low, high = (int(value) for value in codes.aminmax())
        if low < 0 or high >= side:
            raise ConfigError(
                f"{role} codes lie outside the table",
                got=f"codes {low} to {high}",
                expected=f"0 to {side - 1} for a table of shape {table.products.shape}",
            )


def _check_sums(w_codes: Tensor, table: LookupTable) -> None:
    """Refuse sums that could leave int32; the weights are looked at only where they matter."""
    K = w_codes[0].numel() if len(w_codes) else 0
    if K * table.max_abs > INT32_MAX:
        check_accumulator(w_codes.cpu().numpy(), table)


# ---- layers -------------------------------------------------------------------------------------


def approx_linear_cuda(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    """See `approx_linear`: a convolution of 1x1 images."""
    del x_hat, w_hat
    images, kernels = x_codes[:, :, None, None], w_codes[:, :, None, None]
    geometry = Conv2dGeometry()
    operands = (images, kernels, table, x_scale, x_zero, w_scale, w_zero, signed)
    del gradient
    return _layer(operands, geometry, engine, accumulator).flatten(1)


def approx_conv2d_cuda(
    x_hat: Tensor,
    w_hat: Tensor,
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w_scale: Tensor,
    w_zero: int,
    signed: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
    gradient: str = "ste",
    accumulator: str = "int32",
) -> Tensor:
    """See `approx_conv2d`."""
    del x_hat, w_hat, gradient
    operands = (x_codes, w_codes, table, x_scale, x_zero, w_scale, w_zero, signed)
    geometry = _geometry(stride, padding, dilation, groups)
    return _layer(operands, geometry, engine, accumulator)


def _layer(
    operands: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int, Sequence[bool]],
    geometry: Conv2dGeometry,
    engine: str,
    accumulator: str,
) -> Tensor:
    x, w, table, x_scale, x_zero, w_scale, w_zero, signed = operands
    kind = parse_accumulator(accumulator)
    if kind.mode == "saturate":
        raise EngineError(
            f"the accumulator {accumulator!r} is not computed on {x.device}",
            expected="int32 or wrap:N",
            remedy="move the model and its inputs to the CPU",
        )
    lookup = _lookup(table)
    if kind.mode == "exact":
        _check_sums(w, lookup)
    a, b = (
        OperandFormat(side.bit_length() - 1, sign)
        for side, sign in zip(lookup.products.shape, signed, strict=True)
    )
    sums = _sums(engine, x)
    # In two's complement the zero point is 0, so its value is its code in every format.
    acc = sums.conv2d(x, w, lookup, geometry, x_zero)
    if kind.mode == "wrap":
        acc = (acc << 32 - kind.bits) >> 32 - kind.bits
    return sums.scaling.finish(
        acc,
        x,
        w,
        geometry,
        weight_sums=decode(w, b).flatten(1).sum(dim=1, dtype=torch.int64),
        x_zero=x_zero,
        x_scale=x_scale,
        w_scale=w_scale,
        w_zero=w_zero,
        x_bits=a.bits,
        x_signed=a.signed,
    )


def fake_quantize_cuda(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `fake_quantize`, in one pass over x."""
    sums = _sums("auto", x)
    x_hat, codes, inside, damage = sums.scaling.quantize(x, scale, zero, low, high, bits)
    if int(damage):
        refuse_bad_scale(scale)
        refuse_nan(x)
    return x_hat, codes, inside


def quantize_codes_cuda(
    x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int, bits: int
) -> Tensor:
    """See `quantize_codes`."""
    return fake_quantize_cuda(x, scale, zero, low, high, bits)[1]


# ---- products by a mantissa table ---------------------------------------------------------------


def mantissa_matmul_cuda(a: Tensor, b: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    """See `mantissa_matmul`."""
    return _sums(engine, a).mantissa.matmul(a, b, mantissa_lookup_of(table.cpu()))


def mantissa_linear_cuda(
    x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], engine: str = "auto"
) -> Tensor:
    """See `mantissa_linear`."""
    if approximate[0]:
        return mantissa_matmul_cuda(x, w.t(), table, engine)
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x, w)


def mantissa_conv2d_cuda(
    x: Tensor,
    w: Tensor,
    table: Tensor,
    approximate: Sequence[bool],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """See `mantissa_conv2d`."""
    if approximate[0]:
        geometry = _geometry(stride, padding, dilation, groups)
        lookup = mantissa_lookup_of(table.cpu())
        return _sums(engine, x).mantissa.conv2d(x, w, lookup, geometry)
    top, bottom, left, right = padding
    padded = functional.pad(x, (left, right, top, bottom))
    with torch.autocast(x.device.type, enabled=False):
        return functional.conv2d(padded, w, None, stride, 0, dilation, groups)


def mantissa_conv2d_input_grad_cuda(
    grad: Tensor,
    w: Tensor,
    table: Tensor,
    image: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """See `mantissa_conv2d_input_grad`."""
    geometry = _geometry(stride, padding, dilation, groups)
    lookup, size = mantissa_lookup_of(table.cpu()), (image[0], image[1])
    return _sums(engine, grad).mantissa.conv2d_input_grad(grad, w, lookup, geometry, size)


def mantissa_conv2d_weight_grad_cuda(
    x: Tensor,
    grad: Tensor,
    table: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """See `mantissa_conv2d_weight_grad`."""
    geometry = _geometry(stride, padding, dilation, groups)
    lookup, size = mantissa_lookup_of(table.cpu()), (kernel[0], kernel[1])
    return _sums(engine, x).mantissa.conv2d_weight_grad(x, grad, lookup, geometry, size)


def _geometry(
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Conv2dGeometry:
    top, bottom, left, right = padding
    return Conv2dGeometry(
        stride=(stride[0], stride[1]),
        padding=(top, bottom, left, right),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )


CUDA_KERNELS = {
    table_matmul: table_matmul_cuda,
    table_conv2d: table_conv2d_cuda,
    approx_linear: approx_linear_cuda,
    approx_conv2d: approx_conv2d_cuda,
    fake_quantize: fake_quantize_cuda,
    quantize_codes: quantize_codes_cuda,
    mantissa_matmul: mantissa_matmul_cuda,
    mantissa_linear: mantissa_linear_cuda,
    mantissa_conv2d: mantissa_conv2d_cuda,
    mantissa_conv2d_input_grad: mantissa_conv2d_input_grad_cuda,
    mantissa_conv2d_weight_grad: mantissa_conv2d_weight_grad_cuda,
}
"""What CUDA tensors take for each op."""


def register(device: str) -> None:
    """Have tensors of a kind of device, as torch names it, take these kernels from now on."""
    for operation, kernel in CUDA_KERNELS.items():
        operation.register_kernel(device)(kernel)


register("cuda")
