"""Entry point of the ``rtlgrad`` command; its sub-commands import lazily what takes time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import RtlgradError
from . import design_commands, study_commands, table_commands, training_commands
from .options import RTL, DataRoot, Json, Rtl, app

__all__ = [
    "app",
    "design_commands",
    "main",
    "study_commands",
    "table_commands",
    "training_commands",
]


@app.command()
def doctor(as_json: Json = False) -> None:
    """List every tool, its version, where it was found, and what to do about a missing one."""
    from .doctor import run

    raise typer.Exit(run(as_json=as_json))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for all results.")] = Path("out"),
    rtl: Rtl = RTL,
    data_root: DataRoot = None,
) -> None:
    """Characterize rtl/, train LeNet-5, and show what each multiplier costs in accuracy."""
    from .demo import run

    run(out=out, rtl=rtl, data_root=data_root)


def main() -> None:
    """Run the command; an error meant for the user is printed without a traceback."""
    # On a machine shared with other work, OpenMP threads that wait by spinning take each other's
    # time: training was seen to take eight times as long. Read when torch is loaded, so set here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except RtlgradError as error:
        from .console import err

        err().print(f"error: {error}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
