"""The modules of a model that multiply, and which of them can be made approximate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from ..core.errors import ConfigError
from .kinds import APPROX_OF, COMPOSITES, is_approximate
from .multipliers import MultiplierTable
from .multiplying import MultiplyingLayer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MULTIPLYING = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
"""Modules that multiply: each is converted, or listed as left exact."""


@dataclass(frozen=True, slots=True)
class Site:
    """A module that multiplies.

    Attributes:
        module: the module.
        names: all its names in the model.
        holders: the modules that hold it, one for each name.
    """

    module: nn.Module
    names: tuple[str, ...]
    holders: tuple[nn.Module, ...]


def sites_of(model: nn.Module) -> Iterator[Site]:
    """Yield the modules of a model that multiply, each once; parts of attention are not apart.

    Raises:
        ConfigError: the model is itself such a module.
    """
    if type(model) in APPROX_OF or is_approximate(model):
        raise ConfigError(
            f"the model is itself a {type(model).__name__}, which cannot be replaced in place",
            remedy="wrap it in torch.nn.Sequential, or use from_exact and to_exact",
        )
    holders: dict[int, list[tuple[str, nn.Module, nn.Module]]] = {}
    for name, child in model.named_modules(remove_duplicate=False):
        if (isinstance(child, _MULTIPLYING) or _has_matrix(child)) and child is not model:
            holder = model.get_submodule(name.rpartition(".")[0])
            if isinstance(holder, nn.MultiheadAttention) or _inside_composite(model, name):
                continue  # a part of that module, which is converted, or left, as a whole
            holders.setdefault(id(child), []).append((name, child, holder))
    for found in holders.values():
        names, modules, parents = zip(*found, strict=True)
        yield Site(modules[0], names, parents)


def why_not(site: Site, assigned: Mapping[int, object]) -> str | None:
    """Say why a module cannot be made approximate whatever its rule, None if it can.

    Args:
        site: the module.
        assigned: by the module's id, what each is to multiply through.
    """
    module = site.module
    for holder in site.holders:
        if not isinstance(holder, nn.TransformerEncoderLayer) or module is holder.self_attn:
            continue
        if not isinstance(assigned.get(id(holder.self_attn)), MultiplierTable):
            # Its inference fast path hands all weights to one fused kernel, past any forward; an
            # approximate attention keeps it off that path.
            return "torch.nn.TransformerEncoderLayer may read its weights without calling it"
    if type(module) in APPROX_OF or is_approximate(module):
        return None
    if isinstance(module, tuple(APPROX_OF)):
        return f"{type(module).__name__} is a subclass whose behaviour is not known"
    return f"{type(module).__name__} has no approximate counterpart"


def _has_matrix(module: nn.Module) -> bool:
    """Say whether a module of no known type keeps a weight that it may multiply by."""
    if isinstance(
        module,
        (MultiplyingLayer, nn.Embedding, nn.EmbeddingBag, nn.modules.batchnorm._NormBase),
    ):
        return False
    weight = module._parameters.get("weight")
    return weight is not None and weight.ndim >= 2 and not isinstance(module, nn.LayerNorm)


def _inside_composite(model: nn.Module, name: str) -> bool:
    """Say whether a module is part of an approximate layer made of several."""
    holder = name.rpartition(".")[0]
    while holder:
        if isinstance(model.get_submodule(holder), COMPOSITES):
            return True
        holder = holder.rpartition(".")[0]
    return False
