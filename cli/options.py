"""The command's application, and the options that several of its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="rtlgrad",
    help="From a Verilog multiplier to a trained network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Rtl = Annotated[Path, typer.Option("--rtl", help="Folder with the Verilog designs.")]
Store = Annotated[Path, typer.Option("--store", help="Folder with the characterizations.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder where the data sets' files are.")
]
ChangedRtl = Annotated[
    bool,
    typer.Option("--changed-rtl", help="Simulate sources that changed since their table was made."),
]

RTL = Path("rtl")
STORE = Path("out/luts")
RUNS = Path("out/runs")
