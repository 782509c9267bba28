"""Access to the groups that liberty-parser returns: attributes, units, templates, tables.

The package keeps a value as a number, a word, a quoted string or a number with a unit, as the
file happens to write it; here every value is taken as text first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .lookup import LookupTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PREFIXES = {"a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_UNIT = re.compile(r"\s*([\d.eE+-]*?)\s*([afpnumk]?)([sFVWf])\s*", re.IGNORECASE)
_SLEW = {"input_net_transition", "input_transition_time"}
_LOAD = {"total_output_net_capacitance"}
_DATA_SLEW, _CLOCK_SLEW = "constrained_pin_transition", "related_pin_transition"


@dataclass(frozen=True, slots=True)
class Units:
    """What one unit of the file is in ours.

    Attributes:
        voltage_v: supply voltage at which the library was characterized, in V.
        capacitance_ff: one unit of capacitance in fF.
        time_ps: one unit of time in ps.
        leakage_nw: one unit of leakage power in nW; None where the file does not say.
        energy_fj: one unit of internal energy in fJ: capacitance times voltage squared.
    """

    voltage_v: float
    capacitance_ff: float
    time_ps: float
    leakage_nw: float | None
    energy_fj: float


@dataclass(frozen=True, slots=True)
class Template:
    """The axes that tables of one template share unless they give their own."""

    variables: tuple[str, ...]
    indexes: tuple[tuple[float, ...], ...]


def attribute(group: Any, name: str) -> str | None:
    """Return an attribute as text without quotes; the last one counts; None where absent."""
    values = group.get_attributes(name)
    return _text(values[-1]) if values else None


def cell_name(group: Any) -> str:
    """Return the first argument of a group: the name of a cell, pin, template or library."""
    return _text(group.args[0]) if group.args else ""


def read_units(library: Any, path: Path) -> Units:
    """Read the units of a library.

    ``time_unit`` and ``voltage_unit`` default to 1 ns and 1 V, as the Liberty Reference Manual
    has it; the unit of capacitance and the supply voltage have no default.

    Raises:
        ConfigError: a unit or the voltage is missing or makes no sense.
    """
    load = library.get_attributes("capacitive_load_unit")
    parts = [_text(part) for part in load[-1]] if load and isinstance(load[-1], list) else []
    if len(parts) != 2:
        raise _no_unit(path, "capacitive_load_unit", load[-1] if load else "nothing")
    capacitance = _scaled("".join(parts), "capacitive_load_unit", path) * 1e15
    time = _scaled(attribute(library, "time_unit") or "1ns", "time_unit", path) * 1e12
    volt = _scaled(attribute(library, "voltage_unit") or "1V", "voltage_unit", path)
    leakage = attribute(library, "leakage_power_unit")
    return Units(
        voltage_v=_voltage(library, path) * volt,
        capacitance_ff=capacitance,
        time_ps=time,
        leakage_nw=_scaled(leakage, "leakage_power_unit", path) * 1e9 if leakage else None,
        energy_fj=capacitance * volt * volt,
    )


def templates(library: Any) -> dict[str, Template]:
    """Return the table templates of a library by name."""
    found = {}
    for kind in ("lu_table_template", "power_lut_template"):
        for group in library.get_groups(kind):
            variables = tuple(
                value for i in (1, 2, 3) if (value := attribute(group, f"variable_{i}"))
            )
            indexes = tuple(numbers(group, f"index_{i + 1}") for i in range(len(variables)))
            found[cell_name(group)] = Template(variables, indexes)
    return found


def read_table(
    group: Any, known: Mapping[str, Template], units: Units, scale: float
) -> LookupTable | None:
    """Read a table group such as ``cell_rise (template) { values (...); }``.

    Args:
        group: the group.
        known: the library's templates.
        units: its units, for the axes.
        scale: one unit of the values in ours.

    Returns:
        The table, or None where it is over other quantities than input slew and output load.

    Raises:
        ValueError: the values do not match the axes.
    """
    template = known.get(cell_name(group), Template((), ()))
    if not set(template.variables) <= _SLEW | _LOAD:
        return None
    axes, values = _grid(group, template, scale)
    return _oriented(template.variables, axes, values, units)


def read_constraint(group: Any, known: Mapping[str, Template], units: Units) -> LookupTable | None:
    """Read the table of a setup time: over the data's slew, at the sharpest clock edge it has.

    Returns:
        The times in ps over the data's slew, or None where the table is over other quantities.

    Raises:
        ValueError: the values do not match the axes.
    """
    template = known.get(cell_name(group), Template((), ()))
    if not set(template.variables) <= {_DATA_SLEW, _CLOCK_SLEW}:
        return None
    axes, values = _grid(group, template, units.time_ps)
    if _DATA_SLEW not in template.variables:
        return LookupTable((0.0,), (0.0,), values[:1])
    place = template.variables.index(_DATA_SLEW)
    slews = tuple(point * units.time_ps for point in axes[place])
    # The sharpest clock edge is the first point of the other axis.
    stride = len(axes[1]) if len(axes) == 2 and place == 0 else 1
    return LookupTable(slews, (0.0,), values[: len(slews) * stride : stride])


def _grid(
    group: Any, template: Template, scale: float
) -> tuple[list[tuple[float, ...]], tuple[float, ...]]:
    """Return a table's axes and its values, scaled."""
    axes = [
        numbers(group, f"index_{i + 1}") or template.indexes[i]
        for i in range(len(template.variables))
    ]
    values = tuple(value * scale for value in numbers(group, "values"))
    sizes = [len(axis) for axis in axes]
    expected = sizes[0] * sizes[1] if len(sizes) == 2 else sizes[0] if sizes else 1
    if len(values) != expected or any(list(axis) != sorted(set(axis)) for axis in axes):
        raise ValueError(
            f"table {group.group_name} has {len(values)} values for rising axes of {sizes} points"
        )
    return axes, values


def numbers(group: Any, name: str) -> tuple[float, ...]:
    """Return the numbers of an ``index_1 ("1, 2")`` or ``values ("1, 2", "3, 4")`` attribute."""
    values = group.get_attributes(name)
    if not values:
        return ()
    last = values[-1] if isinstance(values[-1], list) else [values[-1]]
    text = " ".join(_text(part) for part in last)
    return tuple(float(word) for word in re.split(r"[,\s\\]+", text) if word)


def _oriented(
    variables: tuple[str, ...],
    axes: list[tuple[float, ...]],
    values: tuple[float, ...],
    units: Units,
) -> LookupTable:
    slews: tuple[float, ...] = (0.0,)
    loads: tuple[float, ...] = (0.0,)
    for variable, axis in zip(variables, axes, strict=True):
        if variable in _SLEW:
            slews = tuple(point * units.time_ps for point in axis)
        else:
            loads = tuple(point * units.capacitance_ff for point in axis)
    if len(variables) == 2 and variables[0] in _LOAD:
        rows = len(slews)
        values = tuple(
            values[load * rows + slew] for slew in range(rows) for load in range(len(loads))
        )
    return LookupTable(slews, loads, values)


def _voltage(library: Any, path: Path) -> float:
    stated = attribute(library, "nom_voltage")
    if stated is None:
        chosen = attribute(library, "default_operating_conditions")
        for conditions in library.get_groups("operating_conditions"):
            if chosen in (None, cell_name(conditions)):
                stated = attribute(conditions, "voltage")
    try:
        voltage = float(stated or "nothing")
    except ValueError:
        voltage = 0.0
    if not voltage > 0:
        raise _no_unit(path, "nom_voltage", stated or "nothing")
    return voltage


def _scaled(text: str, name: str, path: Path) -> float:
    found = _UNIT.fullmatch(text)
    try:
        scale = float(found[1] or 1) * _PREFIXES[found[2].lower()] if found else 0.0
    except ValueError:
        scale = 0.0
    if not scale > 0:
        raise _no_unit(path, name, text)
    return scale


def _no_unit(path: Path, name: str, got: object) -> ConfigError:
    return ConfigError(
        f"{path} cannot serve as cell library",
        got=f"{name} is {got}",
        expected=f"a {name} that says what its figures mean",
        remedy="give another file by LIBERTY= or --liberty",
    )


def _text(value: object) -> str:
    return str(value).strip().strip('"').strip()
