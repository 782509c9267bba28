"""Batch normalisation folded into the layer before it, as inference hardware has it.

In evaluation, batch normalisation is ``y = (x - mean) * gain + shift`` per channel, with ``gain =
weight / sqrt(var + eps)`` (Ioffe and Szegedy, ICML 2015, algorithm 2). After a convolution that
is the convolution with weights ``w * gain`` and bias ``(bias - mean) * gain + shift`` (Jacob et
al., CVPR 2018, section 3.2). Weights have one scale per output channel, so a positive gain goes
into the scale and no code changes; a negative one mirrors the channel's codes, and an approximate
multiplier may answer those otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from ..core.errors import ConfigError
from .learned import WeightQuantizer
from .multiplying import MultiplyingLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_FOLDS_INTO = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Tracer(fx.Tracer):
    """Takes layers with a table as they are, as torch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, MultiplyingLayer) or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norms(
    model: nn.Module, pairs: Sequence[tuple[str, str]] | None = None
) -> tuple[tuple[str, str], ...]:
    """Fold every batch normalisation that directly follows a convolution or linear layer, in place.

    The normalisation becomes `torch.nn.Identity`, and the layer gains a bias if it had none. Do
    it for evaluation: a folded model no longer follows batch statistics in training.

    Args:
        model: any module tree.
        pairs: names of (layer, normalisation) to fold; None finds them by tracing the model. Only
            a layer that is called once, and whose output goes to the normalisation alone, counts.

    Returns:
        The pairs that were folded.

    Raises:
        ConfigError: the model cannot be traced, or a pair given cannot be folded.
    """
    found = tuple(_find_pairs(model) if pairs is None else pairs)
    modules = dict(model.named_modules())
    for layer_name, norm_name in found:
        layer, norm = modules.get(layer_name), modules.get(norm_name)
        if not isinstance(layer, _FOLDS_INTO) or not isinstance(norm, _NORMS):
            raise ConfigError(
                f"cannot fold {norm_name!r} into {layer_name!r}",
                got=f"{type(layer).__name__} and {type(norm).__name__}",
                expected="a convolution or linear layer, and a batch normalisation",
            )
        if norm.running_mean is None or norm.running_var is None:
            raise ConfigError(f"cannot fold {norm_name!r}: it keeps no running statistics")
    for layer_name, norm_name in found:
        _fold(modules[layer_name], modules[norm_name])
        holder, _, name = norm_name.rpartition(".")
        setattr(model.get_submodule(holder), name, nn.Identity())
    return found


def _find_pairs(model: nn.Module) -> list[tuple[str, str]]:
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        raise ConfigError(
            "the model cannot be traced to find what its batch normalisations follow",
            got=f"{type(error).__name__}: {error}",
            remedy="name the pairs: fold_batch_norms(model, [(layer, normalisation), ...])",
        ) from error
    calls = [node for node in graph.nodes if node.op == "call_module"]
    targets = [str(node.target) for node in calls]
    pairs = []
    for node in calls:
        norm, before = model.get_submodule(str(node.target)), node.args[0]
        if not isinstance(norm, _NORMS) or norm.running_mean is None:
            continue
        if not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        names = str(before.target), str(node.target)
        once = all(targets.count(name) == 1 for name in names) and len(before.users) == 1
        if once and isinstance(model.get_submodule(names[0]), _FOLDS_INTO):
            pairs.append(names)
    return pairs


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> None:
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        gain *= norm.weight.double()
    shift = -norm.running_mean.double() * gain
    if norm.bias is not None:
        shift += norm.bias.double()
    if layer.bias is not None:
        shift += layer.bias.double() * gain
    weight = layer.weight
    weight.copy_((weight.double() * _per_output(layer, gain)).to(weight.dtype))
    ensure_bias(layer)
    layer.bias.copy_(shift.to(weight.dtype))
    quantizer = getattr(layer, "weight_quantizer", None)
    if isinstance(quantizer, WeightQuantizer) and quantizer.step is not None:
        quantizer.step.mul_(gain.abs().clamp(min=1e-30).to(quantizer.step.dtype))


def _per_output(layer: Any, gain: Tensor) -> Tensor:
    """Shape one number per output channel so that it multiplies the layer's weight."""
    if not isinstance(layer, nn.ConvTranspose2d):
        return gain.view(-1, *[1] * (layer.weight.ndim - 1))
    inputs = layer.in_channels // layer.groups
    return (
        gain.view(layer.groups, 1, -1).expand(-1, inputs, -1).reshape(*layer.weight.shape[:2], 1, 1)
    )


def ensure_bias(layer: Any) -> None:
    """Give a layer a bias of zeros if it has none."""
    if layer.bias is None:
        outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        layer.bias = nn.Parameter(layer.weight.new_zeros(outputs))
