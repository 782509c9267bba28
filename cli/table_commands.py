"""Commands about tables of other tools: their options, and nothing that takes time to import."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations of commands
from typing import Annotated

import typer

from .options import RTL, STORE, Json, Rtl, Store, app

Format = Annotated[
    str | None, typer.Option("--format", help="Format of the file; see docs/exchange.md.")
]
OperandsOption = Annotated[
    str | None,
    typer.Option("--operands", help="Signs and bits of a (activation) and b (weight): u8xs4."),
]
OrderOption = Annotated[
    str | None,
    typer.Option("--order", help="ab if the file's rows, or first operands, are a; ba if b."),
]
Function = Annotated[str | None, typer.Option("--function", help="Function of a C source file.")]


@app.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(help="A table's file, or C source with --function.")],
    form: Format = None,
    operands: OperandsOption = None,
    order: OrderOption = None,
    function: Function = None,
    out_bits: Annotated[
        int | None, typer.Option("--out-bits", min=2, max=32, help="Bits of a function's product.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1.0, help="Seconds for calling a function.")
    ] = 60.0,
    name: Annotated[str | None, typer.Option("--name", help="Name of the design.")] = None,
    store: Store = STORE,
    force: Annotated[
        bool, typer.Option("--force", help="Replace another import of that name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep a table in another project's format, or a C model's, as a design."""
    from .exchange import run_import

    run_import(
        path,
        form=form,
        operands=operands,
        order=order,
        function=function,
        out_bits=out_bits,
        time_limit_s=time_limit,
        name=name,
        store=store,
        force=force,
        as_json=as_json,
    )


@app.command()
def export(
    design: Annotated[str, typer.Argument(help="Name of a design, or the folder of its record.")],
    form: Annotated[str, typer.Option("--format", help="Format to write; see docs/exchange.md.")],
    path: Annotated[
        Path | None, typer.Option("--out", help="File to write; named after the design if none.")
    ] = None,
    order: OrderOption = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Write a design's table in another project's format."""
    from .exchange import run_export

    run_export(design, form=form, order=order, path=path, store=store, as_json=as_json)


@app.command()
def check(
    table: Annotated[str, typer.Argument(help="A table's file, or a characterized design.")],
    against: Annotated[
        str, typer.Option("--against", help="A characterized design, or a Verilog file.")
    ],
    form: Format = None,
    operands: OperandsOption = None,
    order: OrderOption = None,
    function: Function = None,
    store: Store = STORE,
    rtl: Rtl = RTL,
    as_json: Json = False,
) -> None:
    """Say whether a table is that of a circuit, and which known mistake explains it if not."""
    from .exchange import run_check

    raise typer.Exit(
        run_check(
            table,
            against=against,
            form=form,
            operands=operands,
            order=order,
            function=function,
            store=store,
            rtl=rtl,
            as_json=as_json,
        )
    )
