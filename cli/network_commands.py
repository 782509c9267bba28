"""Commands about networks: their options, and nothing that takes time to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import RTL, RUNS, STORE, DataRoot, Json, Rtl, Store, app

ChangedRtl = Annotated[
    bool,
    typer.Option("--changed-rtl", help="Simulate sources that changed since their table was made."),
]


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
    assignment: Annotated[
        Path | None,
        typer.Option("--assignment", help="File of rtlgrad assign: a design for each layer."),
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
    precision: Annotated[
        str, typer.Option(help="What layers without a table compute in: fp32 or bf16.")
    ] = "fp32",
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
    audit_every: Annotated[
        int | None,
        typer.Option(min=1, help="Compare with the live RTL after every so many epochs."),
    ] = None,
    audit_images: Annotated[int, typer.Option(min=1, help="Images that an audit replays.")] = 8,
    audit_warn: Annotated[
        bool, typer.Option("--audit-warn", help="Go on when an audit finds a mismatch.")
    ] = False,
    record: Annotated[
        int | None,
        typer.Option(min=1, help="Record the operands of so many test images in the run's folder."),
    ] = None,
    rtl: Rtl = RTL,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; named after it if not given.")
    ] = None,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Train or fine-tune a network; every product goes through the design's table."""
    from ..nn.training import build_config
    from .training import TrainingExtras, run_training

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
        "precision": precision,
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
    if assignment is not None:
        from ..nn.assignment.file import load_assignment

        given["assignment"] = load_assignment(assignment).layers
    if exact:
        given["rules"] = tuple((pattern, "exact") for pattern in exact)
    run_training(
        build_config(config, given),
        folder=out,
        store=store,
        data_root=data_root,
        as_json=as_json,
        assignment=assignment,
        tensorboard=tensorboard,
        extras=TrainingExtras(
            rtl=rtl,
            audit_every=audit_every,
            audit_images=audit_images,
            audit_warn=audit_warn,
            record=record,
        ),
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
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Train on the workers of a Dask scheduler."
        ),
    ] = None,
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
            scheduler=scheduler,
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
        str | None,
        typer.Option(
            "--design",
            help="The design that it was trained with; with --engine live, one for fp32 weights.",
        ),
    ] = None,
    assignment: Annotated[
        Path | None,
        typer.Option("--assignment", help="File of rtlgrad assign: other designs, by layer."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Engine for the table's sums; live: the RTL makes every product.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    images: Annotated[
        int, typer.Option(min=1, help="With --engine live: how many test images.")
    ] = 1,
    layers: Annotated[
        str, typer.Option(help="With --engine live and fp32 weights: name pattern of layers.")
    ] = "*",
    max_products: Annotated[
        int, typer.Option(min=1, help="With --engine live: refuse to take more.")
    ] = 100_000_000,
    changed_rtl: ChangedRtl = False,
    rtl: Rtl = RTL,
    store: Store = STORE,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint on its data set's test images, by tables or by live RTL."""
    if engine == "live":
        from ..core.errors import ConfigError
        from ..nn.training.live import LiveLimits
        from .live import run as run_live

        if assignment is not None:
            raise ConfigError(
                "--engine live does not take --assignment",
                remedy=f"rtlgrad audit {checkpoint} --assignment {assignment} compares every "
                "product of an assignment with the live RTL",
            )
        run_live(
            checkpoint,
            design=design,
            layers=layers,
            limits=LiveLimits(images, max_products),
            threads=threads,
            changed=changed_rtl,
            store=store,
            rtl=rtl,
            data_root=data_root,
            as_json=as_json,
        )
        return
    from .training import run_evaluation

    run_evaluation(
        checkpoint,
        design=design,
        assignment=assignment,
        engine=engine,
        threads=threads,
        store=store,
        data_root=data_root,
        as_json=as_json,
    )


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
