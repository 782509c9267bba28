"""The runs of a folder as one table, for people and for machines."""

from .render import FORMATS, render, render_csv, render_json, render_markdown, render_text
from .runs import Report, ReportRow, SkippedRun, make_report

__all__ = [
    "FORMATS",
    "Report",
    "ReportRow",
    "SkippedRun",
    "make_report",
    "render",
    "render_csv",
    "render_json",
    "render_markdown",
    "render_text",
]
