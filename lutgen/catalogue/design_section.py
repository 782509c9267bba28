"""What the page says about one design: pictures, figures in full, ports, files, hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .markup import Markup, join, number, tag
from .table_section import source_link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...cosim.interface import Port
    from .collect import Catalogue, Entry
    from .figures import Figure


def design_sections(catalogue: Catalogue) -> Markup:
    """Return one section per design, to be opened by the reader."""
    return join(
        *(
            _section(index, entry, catalogue.figures)
            for index, entry in enumerate(catalogue.entries)
        )
    )


def _section(index: int, entry: Entry, figures: Sequence[Figure]) -> Markup:
    pictures = tag("div", _heat(entry), _histogram(entry), _cells(entry), class_="pictures")
    return tag(
        "details",
        tag("summary", tag("h3", entry.name), " ", tag("span", entry.kind, class_="kind")),
        _about(entry),
        pictures,
        tag("div", _figures(entry, figures), _ports(entry), _provenance(entry), class_="facts"),
        tag("p", tag("a", "Back to the table", href="#designs-heading"), class_="back"),
        class_="design",
        id=entry.anchor,
        data_index=index,
    )


def _about(entry: Entry) -> Markup:
    notes = [tag("li", warning) for warning in entry.warnings]
    return join(
        tag("p", entry.title, class_="title") if entry.title else "",
        tag("p", entry.citation, class_="citation") if entry.citation else "",
        tag("p", tag("strong", "Notes of the record:")) if notes else "",
        tag("ul", *notes, class_="notes") if notes else "",
    )


def _heat(entry: Entry) -> Markup:
    heat = entry.heat
    if heat is None:
        return Markup()
    cells = "one cell per operand pair"
    if heat.codes_a * heat.codes_b > 1:
        cells = (
            f"a cell is {heat.codes_a} by {heat.codes_b} values of (a, b) and shows their error "
            "of the greatest magnitude"
        )
    exact = ", exact values"
    if heat.quantum > 1:
        exact = f", magnitudes rounded up to multiples of {heat.quantum} LSB"
    caption = f"Error over (a, b) from {heat.low:,} to {heat.high:,} LSB; {cells}{exact}."
    return tag(
        "figure",
        tag("h4", "Error map"),
        tag("div", class_="heat"),
        tag("figcaption", caption),
    )


def _histogram(entry: Entry) -> Markup:
    errors = entry.errors
    if errors is None:
        return Markup()
    bins = "one error per bar" if errors.width == 1 else f"{errors.width:,} errors per bar"
    caption = (
        f"{errors.total:,} operand pairs: {errors.zero:,} without error, "
        f"{sum(errors.above):,} too large, {sum(errors.below):,} too small; {bins}, "
        "0 has a bar of its own."
    )
    return tag(
        "figure",
        tag("h4", "Error distribution"),
        tag("div", class_="histogram"),
        tag("figcaption", caption),
    )


def _cells(entry: Entry) -> Markup:
    cells = sorted(entry.cost.cells.items(), key=lambda cell: (-cell[1], cell[0]))
    heading = tag("h4", "Cells of the mapped netlist")
    if not cells:
        reason = entry.reasons.get("cells", "no mapped netlist")
        return tag("figure", heading, tag("p", f"Not available: {reason}."))
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", f"{count:,}", class_="figure"),
            tag("td", _bar(count / cells[0][1]), class_="bar", aria_hidden="true"),
        )
        for name, count in cells
    ]
    headings = [tag("th", text, scope="col") for text in ("cell", "instances")]
    total = sum(count for _, count in cells)
    return tag(
        "figure",
        heading,
        tag("table", tag("thead", tag("tr", *headings, tag("td"))), tag("tbody", *rows)),
        tag("figcaption", f"{total:,} instances of {len(cells)} cells of {entry.cost.library}."),
        class_="cells",
    )


def _bar(share: float) -> Markup:
    bar = tag("rect", width=f"{100 * share:.1f}", height=10)
    return tag("svg", bar, viewBox="0 0 100 10", preserveAspectRatio="none")


def _figures(entry: Entry, figures: Sequence[Figure]) -> Markup:
    rows = []
    for figure in figures:
        value = entry.values.get(figure.key)
        if value is None:
            reason = entry.reasons.get(figure.key, "not in the record")
            shown = tag("td", f"not available: {reason}", colspan=2)
        else:
            exact = tag("td", repr(value), class_="figure", title=number(value))
            shown = join(exact, tag("td", figure.unit, class_="unit"))
        rows.append(tag("tr", tag("th", figure.label, scope="row"), shown))
    return tag("section", tag("h4", "Figures in full"), tag("table", tag("tbody", *rows)))


def _ports(entry: Entry) -> Markup:
    interface = entry.interface
    roles = (
        ("a, the row", interface.a),
        ("b, the column", interface.b),
        ("out", interface.out),
    )
    headings = [
        tag("th", text, scope="col") for text in ("role", "port", "bits", "sign", "decided by")
    ]
    return tag(
        "section",
        tag("h4", "Ports"),
        tag(
            "table",
            tag("thead", tag("tr", *headings)),
            tag("tbody", *(_port(role, port) for role, port in roles)),
        ),
        tag("p", f"Which operand is a: decided by {interface.order_from}."),
    )


def _port(role: str, port: Port) -> Markup:
    return tag(
        "tr",
        tag("th", role, scope="row"),
        tag("td", port.name),
        tag("td", port.width, class_="figure"),
        tag("td", "signed" if port.signed else "unsigned"),
        tag("td", port.signed_from),
    )


def _provenance(entry: Entry) -> Markup:
    pairs = [
        join(tag("dt", label), tag("dd", text))
        for label, text in _origins(entry)
        if str(text).strip()
    ]
    return tag("section", tag("h4", "Origin and identity"), tag("dl", *pairs))


def _origins(entry: Entry) -> Iterable[tuple[str, object]]:
    interface, cost, provenance = entry.interface, entry.cost, entry.provenance
    yield "id", tag("code", entry.id)
    yield "table, SHA-256", tag("code", entry.table_sha256)
    yield "module", f"{interface.module}, read by {interface.front_end}"
    yield "parameters", _mapping(interface.parameters.items(), " = ")
    for link in entry.sources:
        yield "source", join(source_link(link), " ", tag("code", link.source.sha256))
    yield "record", tag("a", f"{entry.folder}/record.json", href=entry.record_href)
    yield "sidecar, SHA-256", _code(provenance.sidecar_sha256)
    yield "testbench, SHA-256", _code(provenance.testbench_sha256)
    yield "work key", _code(provenance.work_key)
    yield "tools", _mapping(provenance.tools.items(), " ")
    yield "made", provenance.created_utc
    yield "cell library", join(cost.library, " ", _code(cost.library_sha256))
    if cost.paths_ps:
        yield "longest paths, ps", _mapping(cost.paths_ps.items(), ": ")
    yield "method of the cost", cost.method
    yield "script for ABC", cost.script or "no netlist"


def _mapping(items: Iterable[tuple[str, object]], between: str) -> str:
    return ", ".join(f"{key}{between}{value}" for key, value in sorted(items))


def _code(text: str) -> Markup:
    return tag("code", text) if text else Markup()
