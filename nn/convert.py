"""Turns the layers of any module tree approximate, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import nn

from ..core.errors import ConfigError
from ..core.names import unknown_name
from ..lutgen.mantissa import MantissaTable
from ..lutgen.table import ProductTable
from .conversion import ChangedLayer, Conversion, ExactLayer
from .engines import resolve_engine
from .kinds import (
    approximate_layer,
    exact_layer,
    is_approximate,
    layers_with_table,
    mantissa_layer,
)
from .mantissa_options import EVERY_PRODUCT, MantissaOptions
from .multipliers import MultiplierTable
from .multiplying_sites import sites_of, why_not
from .options import LayerOptions

if TYPE_CHECKING:
    from typing import Unpack

    from .multiplying_sites import Site
    from .options import OptionArguments

Assignment: TypeAlias = MultiplierTable | Literal["exact"] | None
Rules: TypeAlias = Mapping[str, Assignment] | Sequence[tuple[str, Assignment]]


def approximate(
    model: nn.Module,
    table: MultiplierTable | None,
    *,
    rules: Rules | None = None,
    approximate: str = EVERY_PRODUCT,
    **options: Unpack[OptionArguments],
) -> Conversion:
    """Make the layers of a model multiply through tables, in place.

    Every type of `rtlgrad.nn.kinds.APPROX_OF` is converted. Parameters, hooks and training flags
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
    sites = list(sites_of(model))
    assigned = _assign(sites, table, rules)
    check_options(assigned.values(), options, floating)
    changed: list[ChangedLayer] = []
    exact: list[ExactLayer] = []
    replacements: list[tuple[Site, nn.Module]] = []
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
    for site in sites_of(model):
        if is_approximate(site.module):
            _replace(site, exact_layer(site.module))
            restored.extend(site.names)
    return tuple(restored)


def table_ids(model: nn.Module) -> dict[str, str]:
    """Return the table's id of each approximate layer, by the layer's name."""
    return {name: layer.table.id for name, layer in layers_with_table(model)}


def _assign(
    sites: Sequence[Site], table: MultiplierTable | None, rules: Rules | None
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
    site: Site,
    assigned: Mapping[int, Assignment],
    options: OptionArguments,
    floating: MantissaOptions,
) -> tuple[nn.Module | None, str]:
    """Return the approximate layer for a site, or None and why it is left exact."""
    wanted = assigned[id(site.module)]
    if reason := why_not(site, assigned):
        return None, reason
    if not isinstance(wanted, MultiplierTable):
        return None, "a rule leaves it exact" if wanted == "exact" else "no table is given for it"
    try:
        if isinstance(wanted, MantissaTable):
            named = {"engine": floating.engine, "approximate": floating.approximate}
            return mantissa_layer(site.module, wanted, named), ""
        return approximate_layer(site.module, wanted, options), ""
    except ConfigError as error:
        if isinstance(site.module, nn.MultiheadAttention):
            return None, f"not supported: {error.got}"
        raise


def _exact_kind(module: nn.Module) -> str:
    return type(exact_layer(module)).__name__


def _replace(site: Site, new: nn.Module) -> None:
    for name, holder in zip(site.names, site.holders, strict=True):
        setattr(holder, name.rpartition(".")[2], new)


def device_of(model: nn.Module) -> str:
    """Return where a model's parameters are, as torch names it; "cpu" if it has none."""
    return next((parameter.device.type for parameter in model.parameters()), "cpu")
