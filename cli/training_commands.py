"""Commands that train and evaluate networks: their options, and nothing slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import RTL, STORE, ChangedRtl, DataRoot, Json, Rtl, Store, app


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
