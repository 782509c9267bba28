"""Figures that a circuit publishes, in the header of its source or in a table."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# "// PDK45_AREA = 508.3 um2", "// MRE% = 1.25 %"
_LINE = re.compile(r"^//\s*(?P<name>[A-Za-z0-9_]+%?)\s*=\s*(?P<value>\S+)(?:\s+(?P<unit>\S+))?")


@dataclass(frozen=True, slots=True)
class Published:
    """What a circuit publishes about itself, as printed; None where it does not say.

    The text is kept because it tells the precision: 5.0 says more than 5.

    Attributes:
        mae: mean absolute error.
        wce: worst-case absolute error.
        mre_pct: mean relative error, percent, over the pairs whose exact product is not 0.
        ep_pct: error probability, percent.
        mse: mean squared error.
        area_um2: area after synthesis.
        power_mw: power.
        delay_ns: delay.
    """

    mae: str | None = None
    wce: str | None = None
    mre_pct: str | None = None
    ep_pct: str | None = None
    mse: str | None = None
    area_um2: str | None = None
    power_mw: str | None = None
    delay_ns: str | None = None

    def number(self, figure: str) -> float | None:
        """Return a figure as a number."""
        text: str | None = getattr(self, figure)
        return None if text is None else float(text)


_HEADER: Mapping[str, tuple[str, str]] = {
    "MAE": ("", "mae"),
    "WCE": ("", "wce"),
    "MRE%": ("%", "mre_pct"),
    "EP%": ("%", "ep_pct"),
    "MSE": ("", "mse"),
    "PDK45_AREA": ("um2", "area_um2"),
    "PDK45_PWR": ("mW", "power_mw"),
    "PDK45_DELAY": ("ns", "delay_ns"),
}
"""Name in a header -> its unit, and the figure."""
_COLUMNS: Mapping[str, str] = {
    "mae": "mae",
    "wce": "wce",
    "mre": "mre_pct",
    "ep": "ep_pct",
    "mse": "mse",
    "area_um2": "area_um2",
    "pdk45_power_mW": "power_mw",
    "delay_ns": "delay_ns",
}
"""Column of a CSV file -> figure; ``mre`` and ``ep`` are percent there."""


def read_header(text: str, path: Path) -> Published:
    """Read the figures in the comments of a Verilog or C file.

    Args:
        text: the file's content.
        path: where it is, for messages.

    Raises:
        ConfigError: a figure is not a number, or is given in another unit.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match is None or match["name"] not in _HEADER:
            continue
        unit, figure = _HEADER[match["name"]]
        if (match["unit"] or "") != unit:
            raise ConfigError(
                f"{path}: {match['name']} is published in an unknown unit",
                got=" ".join(filter(None, (match["value"], match["unit"]))),
                expected=f"a figure in {unit}" if unit else "a figure without unit",
            )
        found[figure] = _checked(match["value"], match["name"], path)
    return Published(**found)


def read_published_csv(path: Path) -> dict[str, Published]:
    """Read figures from a CSV file with a line per circuit.

    Columns: ``name``, and any of mae, wce, mre, ep, mse, area_um2, pdk45_power_mW, delay_ns (mre
    and ep in percent); an empty cell says nothing.

    Returns:
        Figures by the circuit's name.

    Raises:
        ConfigError: it cannot be read, lacks the columns, has a cell that is not a number, or
            two lines of one name that differ.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read {path}", got=error) from error
    known = [column for column in _COLUMNS if column in columns]
    if "name" not in columns or not known:
        raise ConfigError(
            f"{path} is not a table of published figures",
            got=f"columns {', '.join(columns) or '(none)'}",
            expected=f"name and some of {', '.join(_COLUMNS)}",
        )
    found: dict[str, Published] = {}
    for line in lines:
        name = line["name"]
        cells = {column: (line[column] or "").strip() for column in known}
        figures = Published(
            **{
                _COLUMNS[column]: _checked(cell, f"{name}, {column}", path)
                for column, cell in cells.items()
                if cell
            }
        )
        if found.setdefault(name, figures) != figures:
            raise ConfigError(f"{path} has two lines for {name!r} that differ")
    return found


def merged(first: Published, second: Published) -> tuple[Published, tuple[str, ...]]:
    """Join what two places publish; where both say something, the first counts.

    Returns:
        The figures, and the names of those in which the places differ as numbers.
    """
    differing = []
    gaps = {}
    for field in fields(Published):
        here, there = getattr(first, field.name), getattr(second, field.name)
        if here is None:
            gaps[field.name] = there
        elif there is not None and Decimal(here) != Decimal(there):
            differing.append(field.name)
    return replace(first, **gaps), tuple(differing)


def _checked(text: str, what: str, path: Path) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ConfigError(f"{path}: {what} is not a number", got=text)
    return text
