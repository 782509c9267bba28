"""Commands about designs: their options, and nothing that takes time to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import RTL, STORE, Json, Rtl, Store, app


@app.command()
def lut(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Designs of the rtl folder by name, or Verilog files; all if none."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-P", metavar="NAME=INT", help="Parameter of the files given; repeatable."),
    ] = None,
    rtl: Rtl = RTL,
    out: Annotated[Path, typer.Option("--out", help="Folder to keep the results in.")] = STORE,
    liberty: Annotated[
        Path | None, typer.Option("--liberty", help="Cell library; the shipped one if not given.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at a time; all cores.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1.0, help="Seconds for one design's simulation.")
    ] = 120.0,
    force: Annotated[
        bool, typer.Option("--force", help="Do the work even if nothing changed.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler whose workers do the work: tcp://..."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Characterize multipliers: product table, error metrics, area and delay."""
    from .lut import run

    raise typer.Exit(
        run(
            targets or [],
            parameters=parameters or [],
            rtl=rtl,
            out=out,
            liberty=liberty,
            jobs=jobs,
            time_limit_s=time_limit,
            force=force,
            scheduler=scheduler,
            as_json=as_json,
        )
    )


@app.command()
def show(
    design: Annotated[str, typer.Argument(help="Name of a design, or the folder of its record.")],
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Show all that is known about one characterized design."""
    from .show import run

    run(design, store=store, as_json=as_json)


@app.command(name="list")
def list_(
    what: Annotated[
        str, typer.Argument(help="designs, models, data, engines, or calibrations.")
    ] = "designs",
    rtl: Rtl = RTL,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """List what can be named: designs, models, data sets, engines, calibrations."""
    from .listing import run

    run(what, rtl=rtl, store=store, as_json=as_json)


@app.command()
def catalogue(
    store: Store = STORE,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path(
        "out/catalogue.html"
    ),
) -> None:
    """Write one HTML page with all characterized designs, readable offline."""
    from .catalogue import run

    run(store=store, page=out)


@app.command()
def power(
    design: Annotated[str, typer.Argument(help="Design of the rtl folder, or a Verilog file.")],
    stimulus: Annotated[
        Path,
        typer.Option(
            "--stimulus", help="Operands: .npy, .npz or .csv, or a file of rtlgrad record."
        ),
    ],
    parameters: Annotated[
        list[str] | None,
        typer.Option("-P", metavar="NAME=INT", help="Parameter of the file given; repeatable."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", help="Layer of a recording; repeatable; all if none."),
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="The stream holds values, not codes.")
    ] = False,
    pairs: Annotated[
        int, typer.Option("--pairs", min=2, help="Operand pairs to draw from a recording.")
    ] = 65_536,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of that draw.")] = 0,
    rtl: Rtl = RTL,
    store: Store = STORE,
    liberty: Annotated[
        Path | None, typer.Option("--liberty", help="Cell library; the shipped one if not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write as well.")] = None,
    as_json: Json = False,
) -> None:
    """Estimate a design's power for given operands, beside uniform random ones."""
    from .power import run

    run(
        design,
        parameters=parameters or [],
        stimulus=stimulus,
        layers=layer or [],
        values=values,
        pairs=pairs,
        seed=seed,
        rtl=rtl,
        store=store,
        liberty=liberty,
        path=out,
        as_json=as_json,
    )


@app.command()
def conformance(
    checkout: Annotated[Path, typer.Argument(help="Checkout of EvoApproxLib, or one like it.")],
    widths: Annotated[
        str, typer.Option("--widths", help="Bits of the operands, as in the names: 8x8, 8x4.")
    ] = "8x8",
    published: Annotated[
        Path | None,
        typer.Option("--published", help="CSV with published figures, in place of the headers'."),
    ] = None,
    store: Annotated[
        Path, typer.Option("--store", help="Folder to keep the characterizations in.")
    ] = Path("out/conformance"),
    csv: Annotated[
        Path | None, typer.Option("--csv", help="CSV file to write; in the store if not given.")
    ] = None,
    liberty: Annotated[
        Path | None, typer.Option("--liberty", help="Cell library; the shipped one if not given.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at a time; all cores.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1.0, help="Seconds for one design's simulation.")
    ] = 120.0,
    as_json: Json = False,
) -> None:
    """Compare a library's circuits with their C models and with what they publish."""
    from .conformance import run

    raise typer.Exit(
        run(
            checkout,
            widths=widths,
            published=published,
            store=store,
            csv=csv,
            liberty=liberty,
            jobs=jobs,
            time_limit_s=time_limit,
            as_json=as_json,
        )
    )
