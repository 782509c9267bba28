"""Biases that make up for a multiplier whose mean error is not zero.

A biased multiplier shifts every output of a layer by about K times its mean error. The shift is
measured on data and taken off the bias, per output channel (after Nagel et al., "Data-free
quantization through weight equalization and bias correction", ICCV 2019, section 4.2, who correct
the error of quantization; here it is that of the products).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import ConfigError
from ..lutgen.table import ProductTable, code_values
from .folding import ensure_bias
from .kinds import approx_layers
from .range_finding import run_on_batches
from .table_layer import WeightedLayer
from .tables import load_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn


def ensure_biases(model: nn.Module) -> None:
    """Give every layer with a table and a single weight a bias, zero where it had none."""
    for _, layer in approx_layers(model):
        if isinstance(layer, WeightedLayer):
            ensure_bias(layer)


def correct_biases(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    forward: Callable[[nn.Module, Any], object] | None = None,
) -> dict[str, Tensor]:
    """Add to each layer's bias the mean difference between exact and approximate products.

    Both are computed on the same quantized operands, in evaluation mode; a layer's output is
    corrected by the batch's own mean before the next layer sees it, so that each is measured on
    nearly what it will be given. Layers without a bias get one.

    Args:
        model: with approximate layers whose activation ranges are known.
        batches: as `calibrate` takes them.
        forward: runs the model on a batch, as in `calibrate`.

    Returns:
        What was added, by layer: float32 [O].

    Raises:
        ConfigError: no approximate layer, no batch, or ranges that are not known.
    """
    layers = {
        name: layer for name, layer in approx_layers(model) if isinstance(layer, WeightedLayer)
    }
    if not layers:
        raise ConfigError(
            "no bias to correct: the model has no approximate layer",
            remedy="run approximate(model, table) first",
        )
    measured = {name: _Shift() for name in layers}
    handles = [layer.register_forward_hook(measured[name]) for name, layer in layers.items()]
    try:
        run_on_batches(model, batches, forward)
    finally:
        for handle in handles:
            handle.remove()
    shifts = {name: shift.mean for name, shift in measured.items() if shift.count}
    with torch.no_grad():
        for name, shift in shifts.items():
            ensure_bias(layers[name])
            bias: Any = layers[name].bias
            bias += shift.to(bias.dtype)
    return shifts


class _Shift:
    """A forward hook that measures, and takes off, what a layer's products are out by."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count = 0

    @property
    def mean(self) -> Tensor:
        return (torch.as_tensor(self.total) / self.count).to(torch.float32)

    def __call__(
        self, layer: WeightedLayer[Any], inputs: tuple[Any, ...], output: Tensor
    ) -> Tensor:
        table, options = layer.table, layer.options
        exact = _exact_products(table)
        layer._hold(load_table(exact))
        layer.set_options(accumulator="int32")
        try:
            right: Tensor = type(layer).forward(layer, *inputs)
        finally:
            layer._hold(load_table(table))
            layer.set_options(accumulator=options.accumulator)
        axis = output.ndim - 1 if hasattr(layer, "out_features") else _channel_axis(layer, output)
        shift = (right - output).double().transpose(0, axis).flatten(1)
        self.total = self.total + shift.sum(dim=1)
        self.count += shift.shape[1]
        mean = shift.mean(dim=1).to(output.dtype)
        corrected: Tensor = output + mean.view(-1, *[1] * (output.ndim - 1 - axis))
        return corrected


def _channel_axis(layer: WeightedLayer[Any], output: Tensor) -> int:
    return output.ndim - (layer.weight.ndim - 1)


def _exact_products(table: ProductTable) -> ProductTable:
    values = code_values(table.width_a, table.signed_a), code_values(table.width_b, table.signed_b)
    exact = values[0][:, None] * values[1][None, :]
    return ProductTable(exact, table.signed_a, table.signed_b, name="exact")
