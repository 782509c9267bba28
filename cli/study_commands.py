"""Commands about trained networks: their options, and nothing slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import RTL, RUNS, STORE, ChangedRtl, DataRoot, Json, Rtl, Store, app


@app.command()
def assign(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint, or folder of a run, quantized for one design.")
    ],
    designs: Annotated[
        list[str],
        typer.Option("--designs", help="Design, or pattern, to choose from; repeatable."),
    ],
    tiles: Annotated[int, typer.Option(min=1, help="Tiles, fewer than layers.")],
    accelerator: Annotated[str, typer.Option(help="pipelined or gated.")] = "pipelined",
    max_loss: Annotated[
        float, typer.Option(min=0.0, help="Points of accuracy that may be lost.")
    ] = 0.6,
    sigmas: Annotated[
        float, typer.Option(min=0.0, help="Standard errors that the loss must be below it.")
    ] = 1.0,
    stop_loss: Annotated[
        float, typer.Option(min=0.1, help="Points from which on a candidate is of no interest.")
    ] = 5.0,
    images: Annotated[int, typer.Option(min=1, help="Validation images to search on.")] = 2500,
    trials: Annotated[int, typer.Option(min=1, help="Candidates in all.")] = 500,
    population: Annotated[int, typer.Option(min=2, help="Of NSGA-II.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the search and of its images.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at a time.")] = 1,
    finalists: Annotated[
        int, typer.Option(min=1, help="Of the front, to measure on all images.")
    ] = 12,
    tune: Annotated[
        str, typer.Option(help="Map weights to suit the design: no, all, or both ways.")
    ] = "all",
    energy: Annotated[
        str, typer.Option(help="What is minimized: settled, glitches or uniform.")
    ] = "settled",
    max_area: Annotated[
        float | None, typer.Option(help="Sum over the tiles' multipliers, in um2.")
    ] = None,
    max_delay: Annotated[
        float | None, typer.Option(help="Of the slowest tile's multiplier, in ps.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, help="Operand pairs drawn from a layer for its energy.")
    ] = 65536,
    cache_mb: Annotated[
        int, typer.Option(min=0, help="Memory of a process for outputs of layers.")
    ] = 1024,
    engine: Annotated[str, typer.Option(help="Engine for the table's sums.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of a process; 1 with several processes.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the study; the same command goes on in it.")
    ] = Path("out/assign"),
    store: Store = STORE,
    rtl: Rtl = RTL,
    liberty: Annotated[
        Path | None, typer.Option("--liberty", help="Cell library; the shipped one if not given.")
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Search which multiplier to use in which layer, on an accelerator of few tiles."""
    from .assign import Options, run

    run(
        Options(
            checkpoint=checkpoint,
            designs=tuple(designs),
            tiles=tiles,
            accelerator=accelerator,
            max_loss=max_loss,
            sigmas=sigmas,
            stop_loss=stop_loss,
            images=images,
            trials=trials,
            population=population,
            seed=seed,
            jobs=jobs,
            finalists=finalists,
            tune=tune,
            energy=energy,
            max_area=max_area,
            max_delay=max_delay,
            pairs=pairs,
            cache_mb=cache_mb,
            engine=engine,
            threads=threads,
            out=out,
            store=store,
            rtl=rtl,
            liberty=liberty,
            data_root=data_root,
            as_json=as_json,
        )
    )


@app.command()
def record(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or folder of a run.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; operands.npz beside the checkpoint if none."),
    ] = None,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Test images; all if not given.")
    ] = None,
    design: Annotated[
        str | None, typer.Option("--design", help="The design that it was trained with.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine for the table's sums.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Count which operands meet in each layer of a trained network, for rtlgrad power."""
    from .record import run

    run(
        checkpoint,
        path=out,
        design=design,
        images=images,
        engine=engine,
        threads=threads,
        store=store,
        data_root=data_root,
        as_json=as_json,
    )


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or folder of a run.")],
    designs: Annotated[
        list[str] | None,
        typer.Option(
            "--designs",
            help="Name or pattern of designs, repeatable; all with the run's operands, of an "
            "fp32 run unsigned 8x8, if none.",
        ),
    ] = None,
    fit: Annotated[
        int, typer.Option("--fit", min=3, help="Designs to measure, spread over the AME.")
    ] = 10,
    measured: Annotated[
        Path | None,
        typer.Option(
            "--measured",
            help="File of measured accuracies: .csv of design,accuracy; or .json, which what is "
            "measured is added to.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=1, help="Training images to analyse the network with.")
    ] = 128,
    test_images: Annotated[
        int | None, typer.Option("--test-images", min=1, help="Measure on so many; all if none.")
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Of the intervals, 0 to 1.")] = 0.9,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Measure all designs, and judge AME and other metrics."),
    ] = False,
    engine: Annotated[str, typer.Option(help="Engine for the table's sums.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Keep what --json prints in this file, for rtlgrad report."),
    ] = None,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Predict what each design costs a trained network in accuracy, from a few measured ones."""
    from .predict import Options, run

    run(
        checkpoint,
        Options(
            designs=tuple(designs or ()),
            fit=fit,
            images=images,
            test_images=test_images,
            level=level,
            comparing=compare,
            engine=engine,
            measured=measured,
        ),
        file=out,
        store=store,
        data_root=data_root,
        as_json=as_json,
    )


@app.command()
def audit(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or folder of a run.")],
    images: Annotated[int, typer.Option("--images", min=1, help="Test images to replay.")] = 8,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", min=1, help="Simulate a stratified sample of a layer's pairs."),
    ] = None,
    outputs: Annotated[
        int | None,
        typer.Option("--outputs", min=0, help="Sum so many outputs of a layer again; all if none."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="Simulate every product, not every distinct pair.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the samples.")] = 0,
    design: Annotated[
        str | None, typer.Option("--design", help="The design that it was trained with.")
    ] = None,
    assignment: Annotated[
        Path | None,
        typer.Option("--assignment", help="File of rtlgrad assign: other designs, by layer."),
    ] = None,
    engine: Annotated[str, typer.Option(help="The engine that is audited.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    changed_rtl: ChangedRtl = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write all findings to, as JSON.")
    ] = None,
    rtl: Rtl = RTL,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Compare the products and outputs of a trained network's layers with the live RTL."""
    from ..nn.audit import AuditPlan
    from .audit import run

    raise typer.Exit(
        run(
            checkpoint,
            design=design,
            assignment=assignment,
            images=images,
            plan=AuditPlan(pairs, outputs, every, seed),
            engine=engine,
            threads=threads,
            changed=changed_rtl,
            store=store,
            rtl=rtl,
            data_root=data_root,
            path=out,
            as_json=as_json,
        )
    )


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder with runs.")] = RUNS,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or json.")] = "text",
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page instead, which says which multiplier to use."),
    ] = None,
    max_loss: Annotated[
        float, typer.Option(min=0.0, help="With --html: points of accuracy that may be lost.")
    ] = 0.6,
    layer_energy: Annotated[
        bool,
        typer.Option(
            "--layer-energy",
            help="With --html: energies at the operands that the runs have recorded, not uniform.",
        ),
    ] = False,
    store: Store = STORE,
    rtl: Rtl = RTL,
    liberty: Annotated[
        Path | None,
        typer.Option(
            "--liberty", help="With --layer-energy: cell library; the shipped one if none."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Table the runs of a folder, or write the page of a whole study with --html."""
    if html is not None:
        from .study import run as run_study

        run_study(
            runs,
            page=html,
            max_loss=max_loss,
            layer_energy=layer_energy,
            store=store,
            rtl=rtl,
            liberty=liberty,
        )
        return
    from .reporting import run

    run(runs, form="json" if as_json else form, store=store)


@app.command()
def trace(
    result: Annotated[Path, typer.Argument(help="Folder of a run, or its result.json.")],
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Evaluate the weights again.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--resimulate", help="Simulate the RTL again, and compare tables.")
    ] = False,
    rtl: Rtl = RTL,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Trace an accuracy to its checkpoint, data, tables, RTL sources and tools, all verified."""
    from .trace import run

    raise typer.Exit(
        run(
            result,
            store=store,
            rtl=rtl,
            data_root=data_root,
            evaluate=evaluate,
            simulate=simulate,
            as_json=as_json,
        )
    )
