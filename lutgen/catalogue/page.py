"""Puts the page together: template, style, script, data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.files import write_atomic
from .assets import STYLE, asset, policy_hash
from .collect import Catalogue, collect
from .design_section import design_sections
from .markup import Markup, fill, join, json_data, tag
from .pareto import default_plots
from .payload import payload
from .table_section import meanings, remarks, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .figures import Figure
    from .pareto import Plot

_TEMPLATE = "catalogue.html"
_SCRIPTS = ("base.js", "table.js", "scatter.js", "heat.js", "histogram.js", "catalogue.js")
"""In the order in which they stand in the page; the last one starts everything."""


def write_catalogue(store: Path, out: Path) -> Catalogue:
    """Write the page of a store.

    Args:
        store: folder with the characterizations.
        out: the HTML file; its links to records and sources are relative to its folder.

    Returns:
        What the page shows, with the records that could not be read.

    Raises:
        ConfigError: the store has no record, or the page cannot be written.
        RecordError: no record of the store can be read.
    """
    catalogue = collect(store, out.parent)
    write_atomic(out, render(catalogue))
    return catalogue


def render(catalogue: Catalogue) -> str:
    """Return the page as HTML."""
    style, script = asset(STYLE), join(*(asset(name) for name in _SCRIPTS))
    designs = len(catalogue.entries)
    values = {
        "title": join(f"Catalogue of {designs} multiplier{'' if designs == 1 else 's'}"),
        "store": join(catalogue.store),
        "style_hash": policy_hash(style),
        "script_hash": policy_hash(script),
        "style": style,
        "script": script,
        "remarks": remarks(catalogue.skipped),
        "table": table(catalogue),
        "plots": _plots(catalogue),
        "designs": design_sections(catalogue),
        "meanings": meanings(catalogue.figures),
        "data": json_data(payload(catalogue)),
    }
    return fill(asset(_TEMPLATE), values)


def _plots(catalogue: Catalogue) -> Markup:
    labels = {figure.key: figure for figure in catalogue.figures}
    return join(
        *(
            _plot(number, plot, labels[plot.x], labels[plot.y], catalogue)
            for number, plot in enumerate(default_plots(catalogue))
        )
    )


def _plot(number: int, plot: Plot, x: Figure, y: Figure, catalogue: Catalogue) -> Markup:
    names: Sequence[str] = [catalogue.entries[index].name for index in plot.front]
    text = f"Pareto front of {x.label} and {y.label} ({plot.kind}): {', '.join(names)}"
    listing = tag("div", tag("p", text), class_="listing", aria_live="polite")
    return tag(
        "section",
        tag("h3", f"Plot {number + 1}"),
        tag("div", class_="controls"),
        tag("div", class_="canvas"),
        listing,
        class_="plot",
        data_plot=number,
    )
