"""The CUDA kernels of the torch ops: the same definitions, computed where the tensors are.

torch calls these for CUDA tensors in place of the ops' general form; shapes for torch.compile and
gradients are those of the definitions. Tables stay on the CPU; the engine keeps a copy on each device.
Zero points and scales stay on the device too, so a forward pass waits for it only where quantization
looks for NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import ConfigError, EngineError
from ..lutgen.table import code_values
from .accumulators import parse_accumulator
from .engines import INT32_MAX, LookupTable, check_accumulator, resolve_engine
from .engines.cuda import CudaEngine
from .engines.cuda.scaling import Scales
from .exact_convolutions import exact_conv2d
from .mantissa_ops import (
    mantissa_conv2d,
    mantissa_conv2d_input_grad,
    mantissa_conv2d_weight_grad,
    mantissa_matmul,
)
from .mantissa_tables import mantissa_lookup_of
from .op_arguments import Choices, Geometry, Operands, take
from .ops import approx_conv2d, approx_linear
from .quantize import decode
from .quantize_ops import fake_quantize, quantize_codes, refuse_bad_scale, refuse_nan
from .table_ops import table_conv2d, table_matmul
from .tables import lookup_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .engines.cuda.engine import TensorSums
    from .quantize import OperandFormat


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
    x_codes: Tensor, w_codes: Tensor, table: Tensor, pad_code: Tensor, *arguments: Any
) -> Tensor:
    """See `table_conv2d`."""
    geometry, engine = _geometry_and_engine(arguments)
    lookup = _lookup(table)
    _check_codes(lookup, x_codes, w_codes)
    _check_codes(lookup, pad_code.to(torch.int16), w_codes)
    _check_sums(w_codes, lookup)
    outside = pad_code.to(x_codes.device)
    return _sums(engine, x_codes).conv2d(x_codes, w_codes, lookup, geometry.for_engine(), outside)


def _geometry_and_engine(arguments: Sequence[Any]) -> tuple[Geometry, str]:
    """Read the last arguments of an op; torch leaves the engine out where it is "auto"."""
    count = len(Geometry._fields)
    return Geometry(*arguments[:count]), (*arguments[count:], "auto")[0]


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
    if _taps(w_codes) * table.max_abs > INT32_MAX:
        check_accumulator(w_codes.cpu().numpy(), table)


def _taps(w_codes: Tensor) -> int:
    return w_codes[0].numel() if len(w_codes) else 0


# ---- layers -------------------------------------------------------------------------------------


def approx_linear_cuda(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    """See `approx_linear`: a convolution of 1x1 images."""
    del x_hat, w_hat
    given, choices = take(arguments, Operands, Choices)
    images, kernels = (codes[:, :, None, None] for codes in (given.x_codes, given.w_codes))
    return _layer(given._replace(x_codes=images, w_codes=kernels), Geometry(), choices).flatten(1)


def approx_conv2d_cuda(x_hat: Tensor, w_hat: Tensor, *arguments: Any) -> Tensor:
    """See `approx_conv2d`."""
    del x_hat, w_hat
    return _layer(*take(arguments, Operands, Geometry, Choices))


def _layer(given: Operands, geometry: Geometry, choices: Choices) -> Tensor:
    kind = parse_accumulator(choices.accumulator)
    x, w, (a, b) = given.x_codes, given.w_codes, given.formats
    lookup, shape = _lookup(given.table), geometry.for_engine()
    sums = _sums(choices.engine, x)
    # In two's complement the zero point is 0, so its value is its code in every format.
    outside, w_zero = given.x_zero, given.w_zero
    weights = decode(w, b).flatten(1).sum(dim=1, dtype=torch.int64) - _taps(w) * w_zero
    scales = Scales(weights, given.x_zero, given.x_scale, given.w_scale)
    if kind.mode == "exact":
        _check_sums(w, lookup)
        folded = _folded(sums, lookup, w, a, w_zero)
        if folded is not None:
            lookup, w_zero = folded, 0
    # The sums of activations that a zero point of weights asks for are not known while products are summed.
    fused = None if w_zero or kind.mode == "wrap" else scales
    if kind.mode == "saturate":
        made = sums.saturating_conv2d(x, w, lookup, shape, outside, kind.bits, fused)
    else:
        made = sums.conv2d(x, w, lookup, shape, outside, fused)
    if made.is_floating_point():
        return made
    if kind.mode == "wrap":
        made = (made << 32 - kind.bits) >> 32 - kind.bits
    return sums.scaling.finish(
        made, x, w, shape, scales, w_zero=w_zero, x_bits=a.bits, x_signed=a.signed
    )


def _folded(
    sums: TensorSums, table: LookupTable, w: Tensor, a: OperandFormat, w_zero: int
) -> LookupTable | None:
    """Return the table less ``w_zero * x``, whose sums need no sums of activations beside them.

    None if there is no such term, or int32 or the route would not hold the sums of that table.
    """
    if not w_zero:
        return None
    folded = sums.less_activations(table, w_zero, code_values(a.bits, a.signed))
    fits = folded is not None and _taps(w) * folded.max_abs <= INT32_MAX
    return folded if fits else None


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


def mantissa_conv2d_cuda(
    x: Tensor, w: Tensor, table: Tensor, approximate: Sequence[bool], *arguments: Any
) -> Tensor:
    """See `mantissa_conv2d`."""
    geometry, engine = _geometry_and_engine(arguments)
    if not approximate[0]:
        return exact_conv2d(x, w, geometry)
    lookup = mantissa_lookup_of(table.cpu())
    return _sums(engine, x).mantissa.conv2d(x, w, lookup, geometry.for_engine())


def mantissa_conv2d_input_grad_cuda(
    grad: Tensor, w: Tensor, table: Tensor, image: Sequence[int], *arguments: Any
) -> Tensor:
    """See `mantissa_conv2d_input_grad`."""
    geometry, engine = _geometry_and_engine(arguments)
    lookup, size = mantissa_lookup_of(table.cpu()), (image[0], image[1])
    sums = _sums(engine, grad).mantissa
    return sums.conv2d_input_grad(grad, w, lookup, geometry.for_engine(), size)


def mantissa_conv2d_weight_grad_cuda(
    x: Tensor, grad: Tensor, table: Tensor, kernel: Sequence[int], *arguments: Any
) -> Tensor:
    """See `mantissa_conv2d_weight_grad`."""
    geometry, engine = _geometry_and_engine(arguments)
    lookup, size = mantissa_lookup_of(table.cpu()), (kernel[0], kernel[1])
    sums = _sums(engine, x).mantissa
    return sums.conv2d_weight_grad(x, grad, lookup, geometry.for_engine(), size)


CUDA_KERNELS = {
    table_matmul: table_matmul_cuda,
    table_conv2d: table_conv2d_cuda,
    approx_linear: approx_linear_cuda,
    approx_conv2d: approx_conv2d_cuda,
    fake_quantize: fake_quantize_cuda,
    quantize_codes: quantize_codes_cuda,
    mantissa_matmul: mantissa_matmul_cuda,
    mantissa_conv2d: mantissa_conv2d_cuda,
    mantissa_conv2d_input_grad: mantissa_conv2d_input_grad_cuda,
    mantissa_conv2d_weight_grad: mantissa_conv2d_weight_grad_cuda,
}
"""What CUDA tensors take for each op; those not named are written in terms of these."""


def register(device: str) -> None:
    """Have tensors of a kind of device, as torch names it, take these kernels from now on."""
    for operation, kernel in CUDA_KERNELS.items():
        operation.register_kernel(device)(kernel)


register("cuda")
