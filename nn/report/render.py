"""A report as text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from ...core.files import readable_json
from ...core.names import pick
from .runs import Report, ReportRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SCHEMA = 1
_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    field: str
    form: str = ""


_COLUMNS = (
    _Column("data", "data"),
    _Column("model", "model"),
    _Column("design", "design"),
    _Column("MAE %", "mae_pct", ".4f"),
    _Column("MRE %", "mre_pct", ".3f"),
    _Column("area/exact", "area_relative", ".3f"),
    _Column("before %", "before", ".2f"),
    _Column("after %", "after", ".2f"),
    _Column("d before", "delta_before", "+.2f"),
    _Column("d after", "delta_after", "+.2f"),
    _Column("epochs", "epochs", "d"),
    _Column("seed", "seed", "d"),
    _Column("note", "note"),
)


def render_text(report: Report) -> str:
    """Render a report as aligned columns, then the skipped runs and the notes."""
    columns = _used_columns(report)
    table = [[column.title for column in columns], *_cells(report, columns)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    lines = []
    for line in table:
        cells = [
            cell.rjust(width) if column.form else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *_remarks(report, "")]) + "\n"


def render_markdown(report: Report) -> str:
    """Render a report as a Markdown table, then the skipped runs and the notes."""
    columns = _used_columns(report)
    lines = [
        [column.title for column in columns],
        ["---:" if column.form else "---" for column in columns],
        *([cell.replace("|", "\\|") for cell in line] for line in _cells(report, columns)),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    remarks = _remarks(report, "- ")
    return table + "\n" + ("\n" + "\n".join(remarks) + "\n" if remarks else "")


def render_csv(report: Report) -> str:
    """Render the finished runs as CSV, all fields of `ReportRow`, absent values empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [item.name for item in fields(ReportRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in report.rows)
    return stream.getvalue()


def render_json(report: Report) -> str:
    """Render a report as JSON with a schema number, absent values null."""
    return readable_json({"schema": _SCHEMA, **asdict(report)})


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "csv": render_csv,
    "json": render_json,
    "markdown": render_markdown,
    "text": render_text,
}
"""Every rendering by name."""


def render(report: Report, form: str = "text") -> str:
    """Render a report.

    Raises:
        UnknownNameError: no such format; lists the legal ones.
    """
    return pick(FORMATS, form, kind="report format")(report)


def _used_columns(report: Report) -> list[_Column]:
    # Notes, and figures that nobody gave, would only be an empty column.
    optional = ("mae_pct", "mre_pct", "area_relative", "note")
    return [
        column
        for column in _COLUMNS
        if column.field not in optional
        or any(getattr(row, column.field) not in (None, "") for row in report.rows)
    ]


def _cells(report: Report, columns: Sequence[_Column]) -> list[list[str]]:
    return [[_cell(getattr(row, c.field), c.form) for c in columns] for row in report.rows]


def _cell(value: object, form: str) -> str:
    return _ABSENT if value is None else format(value, form)


def _remarks(report: Report, mark: str) -> list[str]:
    legend = "accuracies are on the test set; d: points against the fp32 run"
    lines = [f"{mark}{legend}"] if report.rows else []
    lines += [f"{mark}{note}" for note in report.notes]
    lines += [f"{mark}not shown: {run.folder}: {run.reason}" for run in report.skipped]
    return lines
