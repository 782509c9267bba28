"""Which exact layer becomes which approximate one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn

from .activation import ActivationQuantizer
from .attention import ApproxMultiheadAttention
from .layers import (
    ApproxConv1d,
    ApproxConv2d,
    ApproxConv3d,
    ApproxConvTranspose2d,
    ApproxLinear,
)
from .mantissa_layers import MANTISSA_OF, MantissaLayer
from .recurrent import ApproxGRU, ApproxLSTM, ApproxRecurrent, ApproxRNN
from .recurrent_cells import ApproxCell, ApproxGRUCell, ApproxLSTMCell, ApproxRNNCell
from .table_layer import TableLayer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..lutgen.mantissa import MantissaTable
    from ..lutgen.table import ProductTable

ApproxLayer: TypeAlias = TableLayer | MantissaLayer
COMPOSITES = (ApproxMultiheadAttention, ApproxRecurrent, ApproxCell)
"""Approximate layers made of several layers with a table."""

APPROX_OF: Mapping[type[nn.Module], Any] = {
    nn.Conv1d: ApproxConv1d,
    nn.Conv2d: ApproxConv2d,
    nn.Conv3d: ApproxConv3d,
    nn.ConvTranspose2d: ApproxConvTranspose2d,
    nn.GRU: ApproxGRU,
    nn.GRUCell: ApproxGRUCell,
    nn.LSTM: ApproxLSTM,
    nn.LSTMCell: ApproxLSTMCell,
    nn.Linear: ApproxLinear,
    nn.MultiheadAttention: ApproxMultiheadAttention,
    nn.RNN: ApproxRNN,
    nn.RNNCell: ApproxRNNCell,
}
"""The approximate layer of each exact type that has one; composites take tables of either kind."""


def is_approximate(layer: nn.Module) -> bool:
    """Say whether a layer multiplies through a table, itself or by its parts."""
    return isinstance(layer, (TableLayer, MantissaLayer, *COMPOSITES))


def exact_layer(layer: nn.Module) -> nn.Module:
    """Return torch's own layer for an approximate one, and any other module as it is."""
    if not is_approximate(layer):
        return layer
    kind: Any = layer
    exact: nn.Module = kind.to_exact()
    return exact


def approximate_layer(
    layer: nn.Module, table: ProductTable, options: Mapping[str, Any]
) -> nn.Module:
    """Return the approximate layer for an exact or approximate one; ranges are kept.

    Args:
        layer: of a type in `APPROX_OF`, or approximate already.
        table: the multiplier.
        options: the attributes of `LayerOptions`.

    Raises:
        ConfigError: a layer of such a type that uses what its approximate kind does not have.
    """
    exact = exact_layer(layer)
    new: nn.Module = APPROX_OF[type(exact)].from_exact(exact, table, **options)
    if is_approximate(layer):
        before = dict(layer.named_modules())
        for name, quantizer in new.named_modules():
            if isinstance(quantizer, ActivationQuantizer):
                old = before.get(name)
                if isinstance(old, ActivationQuantizer):
                    quantizer.take_range(old)
    return new


def mantissa_layer(layer: nn.Module, table: MantissaTable, options: Mapping[str, str]) -> nn.Module:
    """Return the layer with a mantissa table for an exact or approximate one.

    Args:
        layer: of a type in `APPROX_OF`, or approximate already.
        table: the multiplier.
        options: the attributes of `MantissaOptions`.

    Raises:
        ConfigError: a layer of such a type that uses what its approximate kind does not have.
    """
    exact = exact_layer(layer)
    kind = MANTISSA_OF.get(type(exact)) or APPROX_OF[type(exact)]
    new: nn.Module = kind.from_exact(exact, table, **options)
    return new


def layers_with_table(model: nn.Module) -> Iterator[tuple[str, ApproxLayer]]:
    """Yield the layers of a model that have a table of any kind, with their names, each once."""
    for name, module in model.named_modules():
        if isinstance(module, TableLayer | MantissaLayer):
            yield name, module


def approx_layers(model: nn.Module) -> Iterator[tuple[str, TableLayer]]:
    """Yield the layers of a model whose products go through a table of integer products."""
    for name, layer in layers_with_table(model):
        if isinstance(layer, TableLayer):
            yield name, layer
