"""The figures of a design that the catalogue lists: what they are called, and their units."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from ..estimate import Estimate
from ..record import SampledCharacterization

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ...cosim.cost import Cost
    from ..record import AnyCharacterization

Group = Literal["error", "cost"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of the table, one axis of a plot. Less is better for all of them.

    Attributes:
        key: the field of the record.
        label: its short name.
        unit: its unit; empty for a plain fraction or count. LSB is the weight of the product's
            last bit.
        group: whether it tells of the error or of the cost.
        meaning: its definition in one line.
        magnitude: whether it has a sign that an axis leaves out.
        known: whether this module describes it; other figures of a record are listed by field.
    """

    key: str
    label: str
    unit: str
    group: Group
    meaning: str
    magnitude: bool = False
    known: bool = True


ERROR_FIGURES = (
    Figure("mae", "MAE", "LSB", "error", "mean |err|; also MED"),
    Figure("mae_pct", "MAE", "%", "error", "100 MAE / 2^(wa+wb)"),
    Figure("wce", "WCE", "LSB", "error", "worst-case error, max |err|"),
    Figure("wce_pct", "WCE", "%", "error", "100 WCE / 2^(wa+wb)"),
    Figure("mse", "MSE", "LSB²", "error", "mean err^2"),
    Figure("ep_pct", "EP", "%", "error", "share of operand pairs with err != 0; also ER"),
    Figure("bias", "bias", "LSB", "error", "mean err, with its sign", magnitude=True),
    Figure("nmed", "NMED", "", "error", "MAE / max |exact|, a fraction"),
    Figure(
        "mre_nonzero_pct",
        "MRE non-zero",
        "%",
        "error",
        "mean |err| / |exact| over the pairs whose exact product is not 0 (EvoApproxLib LITE)",
    ),
    Figure(
        "mre_all_pct",
        "MRE all pairs",
        "%",
        "error",
        "mean |err| / max(1, |exact|) over all pairs (EvoApprox8b, 2017)",
    ),
    Figure("mre_pct", "MRE", "%", "error", "mean |err| / exact of floating-point products"),
    Figure(
        "bias_pct",
        "relative bias",
        "%",
        "error",
        "mean err / exact of floating-point products, with its sign",
        magnitude=True,
    ),
    Figure("worst_pct", "worst relative", "%", "error", "max |err| / exact, floating-point"),
)

COST_FIGURES = (
    Figure("area_um2", "area", "µm²", "cost", "sum of the areas of the mapped cells"),
    Figure("delay_ps", "delay", "ps", "cost", "longest path after mapping"),
    Figure("power_uw", "power", "µW", "cost", "at the conditions that the record's method states"),
    Figure("cells", "cells", "", "cost", "instances in the mapped netlist"),
)

_KNOWN = {figure.key: figure for figure in (*ERROR_FIGURES, *COST_FIGURES)}
_UNITS = {"pct": "%", "um2": "µm²", "ps": "ps", "ns": "ns", "uw": "µW", "nw": "nW", "fj": "fJ"}
_GROUPS: tuple[Group, ...] = ("error", "cost")


def figure_values(made: AnyCharacterization) -> dict[str, float | int | None]:
    """Return every figure of a characterization by key; one that could not be had is None.

    Of a sample they are estimates; a worst case is not known then.
    """
    values: dict[str, float | int | None] = {}
    if isinstance(made, SampledCharacterization):
        values.update(_estimates(made.metrics))
    else:
        values.update(_numbers(made.metrics))
    values.update(_numbers(made.cost))
    values["cells"] = sum(made.cost.cells.values()) or None
    return values


def absence(made: AnyCharacterization, key: str) -> str:
    """Say why a record lacks a figure."""
    if isinstance(made, SampledCharacterization) and key in _WORST:
        return f"sampled: at least {getattr(made.metrics, _WORST[key]):.6g}"
    return cost_absence(made.cost, key)


def cost_absence(cost: Cost, key: str) -> str:
    """Say why a record lacks a figure of its cost."""
    if key == "cells":
        return cost.absent.get("cells") or cost.absent.get("area_um2") or "no mapped netlist"
    return cost.absent.get(key, "not in the record")


def figures_of(designs: Iterable[Mapping[str, float | int | None]]) -> tuple[Figure, ...]:
    """Return the figures that designs have: the known ones, then others by field name."""
    keys = dict.fromkeys(key for values in designs for key in values)
    found = [figure for key, figure in _KNOWN.items() if key in keys]
    others = [_unknown(key) for key in sorted(keys.keys() - _KNOWN.keys())]
    return tuple(
        figure for group in _GROUPS for figure in (*found, *others) if figure.group == group
    )


def with_unit(text: str, figure: Figure) -> str:
    """Return a value's text with the figure's unit."""
    return f"{text} {figure.unit}" if figure.unit else text


_WORST = {
    "wce": "wce_at_least",
    "wce_pct": "wce_at_least_pct",
    "worst_pct": "worst_at_least_pct",
}


def _estimates(part: object) -> Iterator[tuple[str, float | None]]:
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Estimate):
            yield field.name, value.value
    yield from ((key, None) for key, bound in _WORST.items() if hasattr(part, bound))


def _numbers(part: object) -> Iterator[tuple[str, float | int | None]]:
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield field.name, value
        elif value is None and field.name in _KNOWN:
            yield field.name, None


def _unknown(key: str) -> Figure:
    stem, _, suffix = key.rpartition("_")
    unit = _UNITS.get(suffix, "")
    label = (stem if unit else key).replace("_", " ")
    return Figure(key, label, unit, "cost", f"the record's field {key}", known=False)
