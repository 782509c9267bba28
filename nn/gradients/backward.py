"""The backward pass of products taken from a table, for every gradient but straight-through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ..engines import resolve_engine
from ..op_arguments import ENGINE, GEOMETRY, OPERANDS, Geometry, Operands, take
from .choice import parse_gradient
from .columns import Windows
from .lookup import lut_backward
from .quantized import Product, quantized_backward
from .separable import separable_backward
from .tables import GradientTables, lut_gradients, slopes

if TYPE_CHECKING:
    from ..engines import Engine
    from .choice import Gradient

_CHUNK_ENTRIES = 1 << 24
"""Entries of a matrix of taps held at a time: 64 MiB of int32, whatever the layer."""


@torch.library.custom_op(
    "rtlgrad::approx_backward",
    mutates_args=(),
    schema=f"(Tensor grad, {OPERANDS}, {GEOMETRY}, str gradient, {ENGINE}) -> (Tensor, Tensor)",
)
def approx_backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of a convolution's dequantized operands.

    The forward is ``y = sum(P[x, w]) * x_scale * w_scale`` with
    ``P[x, w] = T[x, w] - x*zw - w*zx + zx*zw``. Under ``lut`` and ``slope``

        grad_x = sum(grad * w_scale * (dT/da - zw)),  grad_w = sum(grad * x_scale * (dT/db - zx))

    over the products that an operand takes part in, padding included, with dT/da and dT/db from
    `lut_gradients` or `slopes`. Under ``table`` both are sums of table entries (see
    `quantized_backward`). With the exact table, dT/da = w and dT/db = x: the exact gradients.

    Args:
        grad: float32 [B, O, H', W'].
        *arguments: `Operands` of a convolution, then `Geometry`, then `_Estimate`: the gradient
            as `parse_gradient` reads it, not ``ste``, and an engine's name, of which "numpy"
            computes ``lut`` in torch.

    Returns:
        float32 gradients of x_hat [B, C, H, W] and w_hat [O, C/groups, kh, kw].

    Raises:
        ConfigError: the gradient does not fit the table.
        EngineError: the engine cannot run here.
    """
    given, geometry, (gradient, engine) = take(arguments, Operands, Geometry, _Estimate)
    chosen = parse_gradient(gradient)
    image, kernel = given.x_codes.shape[2:], given.w_codes.shape[2:]
    windows = Windows((image[0], image[1]), (kernel[0], kernel[1]), *geometry)
    product = Product.of(given)
    if chosen.kind == "table":
        return quantized_backward(grad, product, windows, engine)
    tables = _tables(given.table, (given.signed[0], given.signed[1]), chosen)
    resolved = resolve_engine(engine, device=grad.device.type)
    if chosen.kind == "slope":
        return _slope_backward(grad, product, windows, tables)
    if resolved.name != "numpy" and tables.terms is not None:
        return separable_backward(grad, product, windows, *tables.terms)
    grad_x, grad_w = _lut_backward(grad, product, windows, tables, resolved)
    return grad_x.contiguous(), grad_w.contiguous()


class _Estimate(NamedTuple):
    gradient: str
    engine: str = "auto"


@approx_backward.register_fake
def _(grad: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    given = take(arguments, Operands)[0]
    return grad.new_empty(given.x_codes.shape), grad.new_empty(given.w_codes.shape)


def _slope_backward(
    grad: Tensor, product: Product, windows: Windows, tables: GradientTables
) -> tuple[Tensor, Tensor]:
    """Run an exact layer's backward pass on operands mapped through their slopes."""
    p, place = product, grad.device
    by_a, by_b = (torch.from_numpy(by).to(place) for by in (tables.by_a, tables.by_b))
    per_output = p.w_scale.view(-1, 1, 1, 1)
    w_mapped = (by_a[p.w_codes.long()] - p.w_zero) * per_output
    x_slopes = (by_b - p.x_zero) * p.x_scale
    # A padded tap is a product like any other, and its operand has a slope.
    top, bottom, left, right = windows.padding
    codes = torch.nn.functional.pad(p.x_codes.long(), (left, right, top, bottom), value=p.x_zero)
    grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
        *(grad, x_slopes[codes], w_mapped, None),
        *(list(windows.stride), [0, 0], list(windows.dilation), False, [0, 0]),
        *(windows.groups, [True, True, False]),
    )
    height, width = windows.image
    inside = grad_x[:, :, top : top + height, left : left + width]
    return inside.contiguous(), grad_w.contiguous()


def _lut_backward(
    grad: Tensor, product: Product, windows: Windows, tables: GradientTables, engine: Engine
) -> tuple[Tensor, Tensor]:
    p, place = product, grad.device
    # By (weight, activation), the zero points taken off: what the kernels look up.
    by_a = (torch.from_numpy(tables.by_a) - p.w_zero).t().contiguous().to(place)
    by_b = (torch.from_numpy(tables.by_b) - p.x_zero).t().contiguous().to(place)
    outputs = p.w_codes.shape[0] // windows.groups
    w = p.w_codes.to(torch.int32).view(windows.groups, outputs, -1).transpose(1, 2)
    scales = p.w_scale.view(windows.groups, outputs)
    grad_w = grad.new_zeros((windows.groups, *w.shape[1:]), dtype=torch.float64)
    parts = []
    for images in image_chunks(p.x_codes, windows, outputs):
        codes = windows.columns(p.x_codes[images].to(torch.int32), p.x_zero)
        flat = windows.outputs(grad[images])
        made = [
            lut_backward(codes[i], w[i], flat[i], scales[i], by_a, by_b, engine=engine)
            for i in range(windows.groups)
        ]
        parts.append(windows.image_of(torch.stack([dx for dx, _ in made]), flat_images(images, p)))
        grad_w += torch.stack([dw for _, dw in made])
    grad_x = torch.cat(parts) if parts else grad.new_zeros(p.x_codes.shape)
    scaled = grad_w.transpose(1, 2).reshape(p.w_codes.shape).to(torch.float32) * p.x_scale
    return grad_x, scaled


def flat_images(images: slice, product: Product) -> int:
    """Return how many images a slice of a batch has."""
    return len(range(*images.indices(product.x_codes.shape[0])))


def image_chunks(x_codes: Tensor, windows: Windows, outputs: int) -> list[slice]:
    """Cut a batch so that neither a part's taps nor its gradient take too much memory."""
    images, channels = x_codes.shape[:2]
    taps = channels * windows.kernel[0] * windows.kernel[1]
    positions = windows.output[0] * windows.output[1]
    each = max(1, max(taps, outputs * windows.groups) * positions)
    step = max(1, _CHUNK_ENTRIES // each)
    return [slice(start, start + step) for start in range(0, images, step)]


# Keyed by the table's tensor: (version, {(signs, gradient): tables}).
_known: Any = WeakIdKeyDictionary()


def _tables(table: Tensor, signed: tuple[bool, bool], gradient: Gradient) -> GradientTables:
    key = (signed, gradient)
    version = None if table.is_inference() else table._version
    entry = _known.get(table)
    if entry is None or entry[0] != version or version is None:
        entry = (version, {})
        _known[table] = entry
    made: dict[Any, GradientTables] = entry[1]
    if key not in made:
        products = table.cpu().numpy()
        made[key] = (
            slopes(products, signed)
            if gradient.kind == "slope"
            else lut_gradients(products, signed, gradient)
        )
    return made[key]
