"""The parts of a layer made of several: products of two inputs, and by weights kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lutgen.mantissa import MantissaTable
from .layers import ApproxLinear
from .mantissa_layers import MantissaLinear, MantissaMatmul, MantissaProjection
from .matmul import ApproxMatmul, ApproxProjection

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from .multipliers import MultiplierTable

MATMULS = (ApproxMatmul, MantissaMatmul)


def matmul_by(
    table: MultiplierTable, device: torch.device | str | None, **options: Any
) -> ApproxMatmul | MantissaMatmul:
    """Return a product of two inputs through a table of either kind.

    Args:
        table: the multiplier.
        device: where activation ranges are kept, if there are any.
        **options: the attributes of `LayerOptions` or `MantissaOptions`, by the kind of table.
    """
    if isinstance(table, MantissaTable):
        return MantissaMatmul(table, **options)
    return ApproxMatmul(table, device=device, **options)


def projection_by(
    table: MultiplierTable, like: Tensor, **options: Any
) -> ApproxProjection | MantissaProjection:
    """Return a linear map by a weight kept elsewhere, through a table of either kind.

    Args:
        table: the multiplier.
        like: the weight, or one of the same number of rows on the same device.
        **options: as of `matmul_by`.
    """
    if isinstance(table, MantissaTable):
        return MantissaProjection(table, **options)
    return ApproxProjection(table, like, **options)


def linear_by(
    table: MultiplierTable, layer: nn.Linear, **options: Any
) -> ApproxLinear | MantissaLinear:
    """Return a layer that shares a linear layer's parameters, through a table of either kind."""
    if isinstance(table, MantissaTable):
        return MantissaLinear.from_exact(layer, table, **options)
    return ApproxLinear.from_exact(layer, table, **options)
