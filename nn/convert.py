"""Turns the layers of any module tree approximate, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn

from ..core.errors import ConfigError
from ..core.names import unknown_name
from ..lutgen.mantissa import MantissaTable
from ..lutgen.table import ProductTable
from .calibrate import get_observer
from .conversion import ChangedLayer, Conversion, ExactLayer
from .engines import resolve_engine
from .kinds import (
    APPROX_OF,
    COMPOSITES,
    ApproxLayer,
    approximate_layer,
    exact_layer,
    has_mantissa_layer,
    is_approximate,
    mantissa_layer,
)
from .mantissa_layers import EVERY_PRODUCT, MantissaLayer, MantissaOptions
from .multipliers import MultiplierTable
from .options import LayerOptions
from .table_layer import TableLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from .options import OptionArguments

Assignment: TypeAlias = MultiplierTable | Literal["exact"] | None
Rules: TypeAlias = Mapping[str, Assignment] | Sequence[tuple[str, Assignment]]

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
class _Site:
    """A module that multiplies, under all its names, and the modules that hold it."""

    module: nn.Module
    names: tuple[str, ...]
    holders: tuple[nn.Module, ...]


def approximate(
    model: nn.Module,
    table: MultiplierTable | None,
    *,
    rules: Rules | None = None,
    approximate: str = EVERY_PRODUCT,
    **options: Unpack[OptionArguments],
) -> Conversion:
    """Make the layers of a model multiply through tables, in place.

    With a table of integer products, every type of `rtlgrad.nn.kinds.APPROX_OF` is converted; with
    a mantissa table, Conv2d and Linear (`rtlgrad.nn.mantissa_layers`). Parameters, hooks and training flags
    are kept: an optimizer goes on working. A layer that is approximate already gets its table and
    options replaced and keeps its activation range.

    Args:
        model: any module tree; its own class may not be a convertible layer.
        table: for the layers that no rule names; None leaves them exact.
        rules: name pattern (fnmatch: ``conv1``, ``layer?.*``) to table, or to None or "exact" to
            leave exact. The first pattern that matches a layer's name decides. Both kinds of
            table may be used in one model.
        approximate: which products of layers with a mantissa table go through it (see
            `MantissaOptions`).
        **options: the attributes of `LayerOptions`: engine, calibration, momentum, gradient,
            quantizer and accumulator. All but the engine concern tables of integer products.

    Returns:
        What was changed, what was left exact and why. Nothing is changed if an error is raised.

    Raises:
        UnknownNameError: a pattern matches no layer; or an option names nothing known.
        EngineError: the engine cannot run here.
        ConfigError: the model is itself a layer, a rule is neither a table nor "exact", a
            table's operands are outside 2 to 12 bits, or an option concerns no table given.
    """
    engine = LayerOptions(**options).engine
    floating = MantissaOptions(engine, approximate)
    chosen = resolve_engine(engine, device=device_of(model)).name
    sites = list(_sites(model))
    assigned = _assign(sites, table, rules)
    check_options(assigned.values(), options, floating)
    changed: list[ChangedLayer] = []
    exact: list[ExactLayer] = []
    replacements: list[tuple[_Site, nn.Module]] = []
    for site in sites:
        wanted = assigned[id(site.module)]
        new, reason = _converted(site, assigned, options, floating)
        if new is None:
            exact.append(ExactLayer(site.names, _exact_kind(site.module), reason))
            if is_approximate(site.module):
                replacements.append((site, exact_layer(site.module)))
        elif isinstance(wanted, MultiplierTable):
            changed.append(ChangedLayer(site.names, type(new).__name__, wanted))
            replacements.append((site, new))
    for site, new in replacements:
        _replace(site, new)
    return Conversion(tuple(changed), tuple(exact), chosen)


def restore(model: nn.Module) -> tuple[str, ...]:
    """Undo `approximate`, in place: every approximate layer becomes torch's own again.

    Parameters, hooks and training flags are kept; activation ranges are dropped.

    Returns:
        The names of the layers restored.

    Raises:
        ConfigError: the model is itself an approximate layer (use its ``to_exact``).
    """
    restored: list[str] = []
    for site in _sites(model):
        if is_approximate(site.module):
            _replace(site, exact_layer(site.module))
            restored.extend(site.names)
    return tuple(restored)


def table_ids(model: nn.Module) -> dict[str, str]:
    """Return the table's id of each approximate layer, by the layer's name."""
    return {name: layer.table.id for name, layer in layers_with_table(model)}


def layers_with_table(model: nn.Module) -> Iterator[tuple[str, ApproxLayer]]:
    """Yield the layers of a model that have a table of any kind, with their names, each once."""
    for name, module in model.named_modules():
        if isinstance(module, ApproxLayer):
            yield name, module


def approx_layers(model: nn.Module) -> Iterator[tuple[str, TableLayer]]:
    """Yield the layers of a model that quantize their operands, with their names, each once."""
    for name, module in model.named_modules():
        if isinstance(module, TableLayer):
            yield name, module


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


def _sites(model: nn.Module) -> Iterator[_Site]:
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
        yield _Site(modules[0], names, parents)


def _assign(
    sites: Sequence[_Site], table: MultiplierTable | None, rules: Rules | None
) -> dict[int, Assignment]:
    pairs = list(rules.items()) if isinstance(rules, Mapping) else list(rules or ())
    names = [name for site in sites for name in site.names]
    for pattern, wanted in pairs:
        if not (wanted is None or wanted == "exact" or isinstance(wanted, MultiplierTable)):
            raise ConfigError(
                f"the rule for {pattern!r} names no table",
                got=repr(wanted),
                expected='a ProductTable, a MantissaTable, None or "exact"',
            )
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown_name(pattern, names, kind="layer (no name matches this pattern)")
    assigned: dict[int, Assignment] = {}
    for site in sites:
        matches = (
            wanted
            for pattern, wanted in pairs
            if any(fnmatchcase(name, pattern) for name in site.names)
        )
        assigned[id(site.module)] = next(matches, table)
    return assigned


def check_options(
    assigned: Iterable[Assignment], options: OptionArguments, floating: MantissaOptions
) -> None:
    """Refuse an option that none of the tables given takes note of."""
    kinds = {type(wanted) for wanted in assigned if isinstance(wanted, MultiplierTable)}
    default = LayerOptions()
    mine = {name: value for name, value in options.items() if value != getattr(default, name)}
    mine.pop("engine", None)
    if kinds == {MantissaTable} and mine:
        name, value = next(iter(mine.items()))
        raise ConfigError(
            f"the option {name} concerns integer operands alone",
            got=f"{value!r}, and a mantissa table",
            expected=repr(getattr(default, name)),
        )
    if kinds == {ProductTable} and floating.approximate != EVERY_PRODUCT:
        raise ConfigError(
            "which products are approximate can be chosen with a mantissa table alone",
            got=f"{floating.approximate!r}, and a table of integer products",
            expected=repr(EVERY_PRODUCT),
            remedy="for the gradients of integer products, use the option gradient",
        )


def _converted(
    site: _Site,
    assigned: Mapping[int, Assignment],
    options: OptionArguments,
    floating: MantissaOptions,
) -> tuple[nn.Module | None, str]:
    """Return the approximate layer for a site, or None and why it is left exact."""
    wanted = assigned[id(site.module)]
    if reason := _inconvertible(site, assigned):
        return None, reason
    if isinstance(wanted, MantissaTable):
        named = {"engine": floating.engine, "approximate": floating.approximate}
        return mantissa_layer(site.module, wanted, named), ""
    if not isinstance(wanted, ProductTable):
        return None, "a rule leaves it exact" if wanted == "exact" else "no table is given for it"
    try:
        return approximate_layer(site.module, wanted, options), ""
    except ConfigError as error:
        if isinstance(site.module, nn.MultiheadAttention):
            return None, f"not supported: {error.got}"
        raise


def _inconvertible(site: _Site, assigned: Mapping[int, Assignment]) -> str | None:
    """Say why a module cannot be made approximate whatever its rule, None if it can."""
    module = site.module
    for holder in site.holders:
        if not isinstance(holder, nn.TransformerEncoderLayer) or module is holder.self_attn:
            continue
        if not isinstance(assigned.get(id(holder.self_attn)), ProductTable):
            # Its inference fast path hands all weights to one fused kernel, past any forward; an
            # approximate attention keeps it off that path.
            return "torch.nn.TransformerEncoderLayer may read its weights without calling it"
    if type(module) in APPROX_OF or is_approximate(module):
        floating = isinstance(assigned[id(module)], MantissaTable)
        if floating and not has_mantissa_layer(module):
            return f"{_exact_kind(module)} has no counterpart with a mantissa table"
        return None
    if isinstance(module, tuple(APPROX_OF)):
        return f"{type(module).__name__} is a subclass whose behaviour is not known"
    return f"{type(module).__name__} has no approximate counterpart"


def _has_matrix(module: nn.Module) -> bool:
    """Say whether a module of no known type keeps a weight that it may multiply by."""
    if isinstance(
        module,
        (TableLayer, MantissaLayer, nn.Embedding, nn.EmbeddingBag, nn.modules.batchnorm._NormBase),
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


def _exact_kind(module: nn.Module) -> str:
    return type(exact_layer(module)).__name__


def _replace(site: _Site, new: nn.Module) -> None:
    for name, holder in zip(site.names, site.holders, strict=True):
        setattr(holder, name.rpartition(".")[2], new)


def device_of(model: nn.Module) -> str:
    """Return where a model's parameters are, as torch names it; "cpu" if it has none."""
    return next((parameter.device.type for parameter in model.parameters()), "cpu")
