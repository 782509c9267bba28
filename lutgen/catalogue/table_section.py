"""The table of designs, and the remarks above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .markup import Markup, join, number, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .collect import Catalogue, Entry, Skipped, SourceLink
    from .figures import Figure


def remarks(skipped: Sequence[Skipped]) -> Markup:
    """Return the list of records that could not be read; nothing if there are none."""
    if not skipped:
        return Markup()
    items = [tag("li", tag("strong", one.name), ": ", one.reason) for one in skipped]
    heading = f"Left out, because the record cannot be read: {len(skipped)}"
    return tag(
        "section",
        tag("h2", heading, id="left-out"),
        tag("ul", *items),
        class_="remarks",
        aria_labelledby="left-out",
    )


def table(catalogue: Catalogue) -> Markup:
    """Return the table: a row per design, a column per figure."""
    figures = catalogue.figures
    headings = [
        _heading("name", "design"),
        _heading("kind", "operands"),
        *(_figure_heading(figure) for figure in figures),
        tag("th", "files", scope="col", data_key="files"),
    ]
    rows = [_row(index, entry, figures) for index, entry in enumerate(catalogue.entries)]
    return tag(
        "table",
        tag("caption", "Designs with their error and cost", class_="unseen"),
        tag("thead", tag("tr", *headings)),
        tag("tbody", *rows),
        id="designs",
    )


def meanings(figures: Sequence[Figure]) -> Markup:
    """Return the definition of every figure."""
    pairs = [
        join(tag("dt", figure.label, _unit(figure)), tag("dd", figure.meaning))
        for figure in figures
    ]
    return tag("dl", *pairs, class_="meanings")


def source_link(link: SourceLink) -> Markup:
    """Return a link to a source, or its bare name where there is no such file now."""
    if not link.href:
        return tag("span", link.source.path, " (not found from here)")
    note = " (changed since)" if link.state == "changed" else ""
    return join(tag("a", link.source.path, href=link.href), note)


def _heading(key: str, text: str, unit: object = "", title: str | None = None) -> Markup:
    button = tag("button", tag("span", text, class_="label"), unit, type="button", title=title)
    return tag("th", button, scope="col", data_key=key, class_="figure" if title else None)


def _figure_heading(figure: Figure) -> Markup:
    return _heading(figure.key, figure.label, _unit(figure), title=figure.meaning)


def _unit(figure: Figure) -> Markup:
    return join(" ", tag("span", f"({figure.unit})", class_="unit")) if figure.unit else Markup()


def _row(index: int, entry: Entry, figures: Sequence[Figure]) -> Markup:
    name = tag("a", entry.name, href=f"#{entry.anchor}")
    return tag(
        "tr",
        tag("th", name, scope="row", data_key="name"),
        tag("td", entry.kind, data_key="kind"),
        *(_cell(entry, figure) for figure in figures),
        tag("td", _files(entry), data_key="files"),
        data_index=index,
    )


def _cell(entry: Entry, figure: Figure) -> Markup:
    value = entry.values.get(figure.key)
    if value is not None:
        return tag("td", number(value), class_="figure", data_key=figure.key)
    reason = f"not available: {entry.reasons.get(figure.key, 'not in the record')}"
    return tag(
        "td",
        tag("span", "-", aria_hidden="true"),
        tag("span", "not available", class_="unseen"),
        class_="figure",
        title=reason,
        data_key=figure.key,
    )


def _files(entry: Entry) -> Markup:
    record = tag("a", "record", href=entry.record_href, aria_label=f"record of {entry.name}")
    own = entry.sources[:1]
    if not own or not own[0].href:
        return record
    changed = " (changed)" if own[0].state == "changed" else ""
    source = tag("a", "source", href=own[0].href, aria_label=f"source of {entry.name}")
    return join(record, " ", source, changed)
