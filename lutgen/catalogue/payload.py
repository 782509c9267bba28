"""The data that the page's script reads: figures, designs, pictures, first plots."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .heatmap import packed
from .pareto import default_plots

if TYPE_CHECKING:
    from .collect import Catalogue, Entry


def payload(catalogue: Catalogue) -> dict[str, Any]:
    """Return what the page embeds as JSON; docs/catalogue.md describes it."""
    return {
        "figures": [asdict(figure) for figure in catalogue.figures],
        "designs": [_design(entry) for entry in catalogue.entries],
        "plots": [asdict(plot) for plot in default_plots(catalogue)],
    }


def _design(entry: Entry) -> dict[str, Any]:
    interface = entry.interface
    return {
        "name": entry.name,
        "anchor": entry.anchor,
        "text": " ".join((entry.name, entry.title, entry.citation, interface.module)).lower(),
        "kind": entry.kind,
        "low": [interface.a.limits[0], interface.b.limits[0]],
        "library": entry.library,
        "library_name": entry.cost.library,
        "method": entry.cost.method,
        "values": dict(entry.values),
        "reasons": dict(entry.reasons),
        "heat": None if entry.heat is None else packed(entry.heat),
        "histogram": None if entry.errors is None else asdict(entry.errors),
    }
