"""Where the command line prints: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE_WIDTH = 200
"""Characters in a line where there is no terminal to ask, so that tables do not break in logs."""


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _FILE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False)


def out() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for progress, remarks and errors."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print a value for machines: indented JSON with sorted keys, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print rows under headings; the first ``left`` columns to the left, the others to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out().print(table)


def number(value: float | None, digits: int) -> str:
    """Format a figure with a fixed number of decimals; an absent one as a dash."""
    return "-" if value is None else f"{value:.{digits}f}"
