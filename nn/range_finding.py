"""Runs models on batches of data, to find the activation ranges of their approximate layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import ConfigError
from .calibrate import get_observer
from .kinds import approx_layers, layers_with_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn


def calibrate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    method: str | None = None,
    forward: Callable[[nn.Module, Any], object] | None = None,
) -> dict[str, tuple[float, float]]:
    """Find the activation range of every approximate layer from data.

    The model runs in evaluation mode, without gradient, and its approximate layers compute
    exactly in float meanwhile: ranges do not depend on the table. Training flags are restored.

    Args:
        model: with approximate layers.
        batches: what the model takes. Of a tuple or list the first element is taken (inputs with
            targets); a mapping is passed as keyword arguments.
        method: a calibration method's name; None for each layer's own.
        forward: runs the model on a batch, where the above does not suit.

    Returns:
        The range of each layer, by name; of a layer with several inputs, that of each, by
        ``layer.quantizer``. A layer that saw no activation is missing here and
        keeps the range it had. Layers with a mantissa table have none.

    Raises:
        ConfigError: no approximate layer, or no batch.
        UnknownNameError: no such method.
        DataError: activations that are not finite.
    """
    layers = list(approx_layers(model))
    if not layers and any(True for _ in layers_with_table(model)):
        return {}
    if not layers:
        raise ConfigError(
            "nothing to calibrate: the model has no approximate layer",
            remedy="run approximate(model, table) first",
        )
    if method is not None:
        get_observer(method)
    done = False
    try:
        for _, layer in layers:
            for _, quantizer in layer.activations():
                operand = quantizer.observed_format(layer.operands)
                quantizer.start_calibration(method or layer.calibration, operand)
        run_on_batches(model, batches, forward)
        done = True
    finally:
        ranges = {
            name if inner == "activation" else f"{name}.{inner}": quantizer.finish_calibration(
                keep=done
            )
            for name, layer in layers
            for inner, quantizer in layer.activations()
        }
    return {name: found for name, found in ranges.items() if found is not None}


@torch.no_grad()
def run_on_batches(
    model: nn.Module,
    batches: Iterable[Any],
    forward: Callable[[nn.Module, Any], object] | None = None,
) -> None:
    """Run a model in evaluation mode, without gradient; training flags are restored.

    Args:
        model: any.
        batches: what the model takes. Of a tuple or list the first element is taken (inputs with
            targets); a mapping is passed as keyword arguments.
        forward: runs the model on a batch, where the above does not suit.

    Raises:
        ConfigError: there is no batch.
    """
    run = forward or _default_forward
    modes = [(module, module.training) for module in model.modules()]
    count = 0
    try:
        model.eval()
        for batch in batches:
            run(model, batch)
            count += 1
    finally:
        for module, training in modes:
            module.training = training
    if count == 0:
        raise ConfigError("the model was given no batch to run on", expected="at least one")


def _default_forward(model: nn.Module, batch: Any) -> object:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(batch[0] if isinstance(batch, list | tuple) else batch)
