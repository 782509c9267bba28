"""Entry point of the ``rtlgrad`` command: its options, and nothing that takes time to import."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import RtlgradError

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

RTL = Path("rtl")
STORE = Path("out/luts")
RUNS = Path("out/runs")


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
def engines(
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="DESIGN", help="Say which routes its table takes, why."),
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="MxKxN",
            help="Layer: outputs, products of each, positions; repeatable. ResNet-20's if none.",
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Time the routes and keep what was found.")
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Show what computes table sums here, and explain or calibrate the choice of routes."""
    from .engines import run

    run(explain=explain, shapes=shapes or [], store=store, calibrate=calibrate, as_json=as_json)


@app.command()
def train(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help="Name of the network.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Data set; rtlgrad list data names them.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="TOML file with the run's fields; options given here win."),
    ] = None,
    design: Annotated[
        str | None, typer.Option("--design", help="Multiplier to train through; fp32 if none.")
    ] = None,
    init: Annotated[
        str | None, typer.Option("--init", help="Run folder or checkpoint to begin with.")
    ] = None,
    init_from_other_table: Annotated[
        bool, typer.Option(help="Allow --init to have been trained through another table.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Greatest learning rate.")] = 0.05,
    optimizer: Annotated[str, typer.Option(help="sgd or adam.")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Of SGD.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.")] = 5e-4,
    schedule: Annotated[str, typer.Option(help="cosine, constant or step.")] = "cosine",
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    engine: Annotated[str, typer.Option(help="Engine for the table's sums.")] = "auto",
    calibration: Annotated[str, typer.Option(help="How activation ranges are found.")] = "minmax",
    exact: Annotated[
        list[str] | None,
        typer.Option("--exact", help="Layers (name pattern) that multiply exactly; repeatable."),
    ] = None,
    gradient: Annotated[
        str, typer.Option(help="Of products: ste, lut, lut:H, slope or table.")
    ] = "ste",
    quantizer: Annotated[str, typer.Option(help="How scales are found: range or lsq.")] = "range",
    accumulator: Annotated[
        str, typer.Option(help="What sums are kept in: int32, wrap:N or saturate:N bits.")
    ] = "int32",
    approximate: Annotated[
        str | None,
        typer.Option(
            help="Products of a floating-point design's table: forward,input-grad,weight-grad."
        ),
    ] = None,
    correct_bias: Annotated[
        bool, typer.Option("--correct-bias", help="Take the multiplier's mean error off biases.")
    ] = False,
    multipliers: Annotated[
        str | None,
        typer.Option(help="Schedule over the epochs: mul8u_trunc8:0-8,exact:8-10."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better one.")
    ] = None,
    keep: Annotated[str, typer.Option(help="Weights that count: last or best.")] = "last",
    augment: Annotated[
        str, typer.Option(help="Augmentation; auto: customary for the data.")
    ] = "auto",
    val_fraction: Annotated[float, typer.Option(help="Training images held out.")] = 0.1,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    limit_train: Annotated[int | None, typer.Option(help="Use so many training images.")] = None,
    limit_test: Annotated[int | None, typer.Option(help="Use so many test images.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the figures for TensorBoard as well.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; named after it if not given.")
    ] = None,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Train or fine-tune a network; every product goes through the design's table."""
    from ..nn.training import build_config
    from .training import run_training

    if config is None and (model is None or data is None):
        raise typer.BadParameter("--model and --data, or --config, must be given")
    values: dict[str, object] = {
        "model": model,
        "data": data,
        "design": design,
        "init": init,
        "init_from_other_table": init_from_other_table,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "optimizer": optimizer,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "seed": seed,
        "engine": engine,
        "calibration": calibration,
        "gradient": gradient,
        "quantizer": quantizer,
        "accumulator": accumulator,
        "approximate": approximate,
        "correct_bias": correct_bias,
        "multipliers": multipliers,
        "patience": patience,
        "keep": keep,
        "augment": augment,
        "val_fraction": val_fraction,
        "threads": threads,
        "limit_train": limit_train,
        "limit_test": limit_test,
    }
    given: dict[str, object] = {}
    for name, value in values.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            given[name] = value
    if exact:
        given["rules"] = tuple((pattern, "exact") for pattern in exact)
    run_training(
        build_config(config, given),
        folder=out,
        store=store,
        data_root=data_root,
        as_json=as_json,
        tensorboard=tensorboard,
    )


@app.command()
def sweep(
    config: Annotated[
        Path, typer.Option("--config", help="TOML file with what all runs have in common.")
    ],
    multiplier: Annotated[
        list[str],
        typer.Option("--multiplier", help="A design, fp32, or a schedule; repeatable."),
    ],
    gradient: Annotated[
        list[str] | None, typer.Option("--gradient", help="As of train; repeatable.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs of each: seeds from that of the file on.")
    ] = 1,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at a time.")] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("out/sweep"),
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Train every combination of multipliers, gradients and seeds, and table the accuracies."""
    from ..nn.training import build_config
    from .sweep import run

    base = build_config(config, {})
    raise typer.Exit(
        run(
            base,
            multipliers=multiplier,
            gradients=gradient or [base.gradient],
            seeds=range(base.seed, base.seed + seeds),
            jobs=jobs,
            root=out,
            store=store,
            data_root=data_root,
            as_json=as_json,
        )
    )


@app.command(name="eval")
def eval_(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or folder of a run.")],
    design: Annotated[
        str | None, typer.Option("--design", help="The design that it was trained with.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine for the table's sums.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint on its data set's test images."""
    from .training import run_evaluation

    run_evaluation(
        checkpoint,
        design=design,
        engine=engine,
        threads=threads,
        store=store,
        data_root=data_root,
        as_json=as_json,
    )


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="Folder with runs.")] = RUNS,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or json.")] = "text",
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Table the runs of a folder: what each design costs in accuracy."""
    from .reporting import run

    run(runs, form="json" if as_json else form, store=store)


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


@app.command()
def record(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint, or folder of a run.")],
    out: Annotated[Path, typer.Option("--out", help="File to write (.npz).")] = Path(
        "out/operands.npz"
    ),
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
