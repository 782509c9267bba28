"""``rtlgrad demo``: the main job, end to end, on real images.

Characterizes rtl/, trains LeNet-5 in fp32, then puts each of a few multipliers into it: accuracy
as it comes, with ranges calibrated only, and after brief retraining through the multiplier. Ends in
a page that says which multiplier to use, and why.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..core.errors import DataError
from ..core.files import write_atomic
from ..cosim.design import references, verilog_files
from ..lutgen.characterize import Settings, characterize
from ..lutgen.histogram import RECORDING_NAME, save_recording
from ..lutgen.store import load_table
from ..nn.data import load_data
from ..nn.report import render
from ..nn.training import TrainConfig, train
from ..nn.training.recording import record_checkpoint
from .console import err, out
from .lut import LutProgress
from .predict import Options, write_predictions
from .reporting import report_of
from .study import run as write_page
from .training import watching

if TYPE_CHECKING:
    from pathlib import Path

    from ..nn.data import ImageData

DESIGNS = (
    "mul8u_exact",
    "mul8u_drum6",
    "mul8u_kulkarni",
    "mul8u_mitchell",
    "mul8u_trunc8",
    "mul8u_bam_h2v4",
    "mul8s_bwtrunc7",
)
"""The exact multiplier, for what 8-bit operands cost by themselves, and a spread of others."""

MODEL = "lenet5"
RECORDED = 500
"""Test images whose operands are counted."""
MAX_LOSS = 1.0
"""Points of accuracy that the recommended design may lose: the held-out images tell no less apart."""
PAGE = "report.html"


def run(*, out: Path, rtl: Path, data_root: Path | None) -> None:
    """Run the demo; every result stays in ``out``."""
    started = time.perf_counter()
    console = err()
    store, runs = out / "luts", out / "demo"
    console.print("[bold]1/4[/bold] product tables, error metrics and area of every design in rtl/")
    _characterize(rtl, store)
    data = _load_data(data_root)
    console.print(f"[bold]2/4[/bold] {MODEL} on {data.name} in fp32")
    base = runs / "fp32"
    train(_fp32(data.name), data, None, base, progress=watching(console))
    console.print("[bold]3/4[/bold] the same network through each multiplier, then retrained")
    for design in DESIGNS:
        console.print(f"{design}:")
        config = _retraining(data.name, design, base)
        table, place = load_table(store / design), runs / design
        train(config, data, table, place, progress=watching(console))
        recording = record_checkpoint(place, data, table, images=RECORDED)
        save_recording(recording, place / RECORDING_NAME)
    console.print("[bold]4/4[/bold] energy at the network's own operands, and predicted accuracies")
    _predict(base, runs, store, data_root, data.name)
    write_page(
        runs,
        page=runs / PAGE,
        max_loss=MAX_LOSS,
        layer_energy=True,
        store=store,
        rtl=rtl,
        liberty=None,
    )
    _print_report(runs, store, time.perf_counter() - started)


def _characterize(rtl: Path, store: Path) -> None:
    chosen = [design for path in verilog_files(rtl) for design in references(path)]
    with LutProgress(len(chosen)) as progress:
        outcomes = characterize(chosen, Settings(root=store), progress)
    for outcome in outcomes:
        # A broken design of the user's own in rtl/ was reported; it need not stop the demo.
        if outcome.error is not None and outcome.reference.name in DESIGNS:
            raise outcome.error


def _load_data(root: Path | None) -> ImageData:
    try:
        return load_data("fashion-mnist", root)
    except DataError as error:
        err().print(f"{error}\ngoing on with the digits of scikit-learn", markup=False)
        return load_data("digits")


def _fp32(data: str) -> TrainConfig:
    if data == "digits":  # a fortieth of the images: more epochs, smaller batches
        return TrainConfig(model=MODEL, data=data, epochs=30, batch_size=32, lr=0.05, seed=1)
    return TrainConfig(model=MODEL, data=data, epochs=8, batch_size=128, lr=0.05, seed=1)


def _retraining(data: str, design: str, base: Path) -> TrainConfig:
    return TrainConfig(
        model=MODEL,
        data=data,
        design=design,
        init=str(base),
        epochs=5 if data == "digits" else 1,
        batch_size=64,
        lr=0.005,
        limit_train=20_000,
        seed=1,
    )


def _predict(base: Path, runs: Path, store: Path, data_root: Path | None, data: str) -> None:
    """Measure every unsigned design on some of the test images, beside its prediction."""
    few = None if data == "digits" else 2000
    options = Options(designs=("mul8u_*",), fit=8, images=64, test_images=few, comparing=True)
    write_predictions(base, options, runs / "predict.json", store=store, data_root=data_root)


def _print_report(runs: Path, store: Path, seconds: float) -> None:
    report = report_of(runs, store)
    write_atomic(runs / "report.md", render(report, "markdown"))
    console = out()
    console.print()
    console.print(render(report, "text"), markup=False, soft_wrap=True)
    console.print(
        f"\nDone in {seconds:.0f} s. Tables and records: {store}; runs: {runs}; "
        f"this table: {runs / 'report.md'}\n"
        f"Look closer: rtlgrad show mul8u_trunc8. Your own design: put it into rtl/, then "
        f"make lut DESIGN=name and make train DESIGN=name INIT={runs / 'fp32'}\n"
        f"Which multiplier to use and why: {runs / PAGE}",
        markup=False,
        soft_wrap=True,
    )
