"""Writes a study: the page, and the same rows as JSON and CSV beside it."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.errors import ConfigError
from ....core.files import readable_json, write_atomic
from ....lutgen.catalogue.assets import STYLE, asset, policy_hash
from ....lutgen.catalogue.markup import Markup, fill, join, json_data, tag
from .rows import SCHEMA
from .sections import Section, sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rows import Study

_HERE = Path(__file__).parent
_SUFFIXES = (".html", ".htm")


def write_study(study: Study, out: Path) -> list[Path]:
    """Write the page and its data.

    Args:
        study: what to show.
        out: the HTML file; beside it ``STEM.json`` with everything, and ``STEM-TABLE.csv`` for each
            table that has rows.

    Returns:
        The files written.

    Raises:
        ConfigError: ``out`` does not end in .html, or cannot be written.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{out} is no name for a page", expected="a file that ends in .html")
    content = {out: render_study(study), out.with_suffix(".json"): readable_json(as_data(study))}
    for name, rows in study.tables().items():
        if rows:
            content[out.with_name(f"{out.stem}-{name}.csv")] = _csv(rows)
    for path, text in content.items():
        write_atomic(path, text)
    return list(content)


def as_data(study: Study) -> dict[str, Any]:
    """Return everything that the page shows, apart from its pictures, as plain JSON values."""
    return {
        "schema": SCHEMA,
        "folder": study.folder,
        "decisions": [_decision(asdict(one)) for one in study.decisions],
        "searches": [
            {key: value for key, value in asdict(one).items() if key != "candidates"}
            for one in study.searches
        ],
        "skipped": [list(one) for one in study.skipped],
        **study.tables(),
    }


def render_study(study: Study) -> str:
    """Return the page as HTML."""
    style = join(asset(STYLE), asset("report.css", _HERE))
    parts = sections(study)
    title = f"Study of {study.folder}"
    runs = sum(len(row.folders) for row in study.designs)
    lead = (
        f"Finished runs: {runs}; searches for a design per layer: {len(study.searches)}; predicted "
        f"designs: {len(study.predictions)}. Every figure is from the files of the folder and from the "
        "verified records of the designs; the last part says which."
    )
    values = {
        "title": join(title),
        "lead": join(lead),
        "style": style,
        "style_hash": policy_hash(style),
        "navigation": join(*(tag("a", one.title, href=f"#{one.anchor}") for one in parts)),
        "sections": join(*(_section(one) for one in parts)),
        "data": json_data(as_data(study)),
    }
    return fill(asset("report.html", _HERE), values)


def _section(one: Section) -> Markup:
    heading = tag("h2", one.title, id=one.anchor, tabindex=-1)
    return tag("section", heading, one.content, aria_labelledby=one.anchor)


def _decision(values: dict[str, Any]) -> dict[str, Any]:
    # Keys of an object are text.
    for key in ("losses", "saved_pct"):
        values[key] = {str(at): value for at, value in values[key].items()}
    return values


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return stream.getvalue()


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else value
