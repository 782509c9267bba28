"""``rtlgrad eval --engine live``: inference in which the RTL itself makes every product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..lutgen.live import open_wide
from ..lutgen.live_store import LiveStore
from ..lutgen.store import find, load
from ..nn.data import load_data
from ..nn.training import CHECKPOINT_NAME, load_checkpoint
from ..nn.training.live import LiveLimits, evaluate_live, evaluate_wide
from .console import out, print_json
from .product_progress import ProductProgress
from .training import tables_of

if TYPE_CHECKING:
    from pathlib import Path

    from ..nn.training import TrainConfig
    from ..nn.training.live import LiveEvaluation

ENGINE = "live"


def run(
    checkpoint: Path,
    *,
    design: str | None,
    layers: str,
    limits: LiveLimits,
    threads: int | None,
    changed: bool,
    store: Path,
    rtl: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a checkpoint by live RTL and print the figures.

    Raises:
        ConfigError: fp32 weights and no design, or a design or layers beside a trained-in table.
    """
    file = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
    config = load_checkpoint(file).config
    if config.is_fp32:
        found, name = _wide(
            file, config, design, layers, limits, threads, changed, store, rtl, data_root
        )
    else:
        if design is not None or layers != "*":
            raise ConfigError(
                f"{file} multiplies through the tables that it was trained with",
                got=f"--design {design}" if design else f"--layers {layers}",
                expected="neither; they are for fp32 weights",
            )
        table, tables = tables_of(config, store)
        data, name = load_data(config.data, data_root), config.multiplier
        with LiveStore(store, rtl, changed=changed) as live, ProductProgress(ENGINE) as progress:
            found = evaluate_live(
                *(file, data, table, live),
                limits=limits,
                threads=threads,
                tables=tables,
                progress=progress,
            )
    _show(config, name, found, as_json)


def _wide(
    file: Path,
    config: TrainConfig,
    design: str | None,
    layers: str,
    limits: LiveLimits,
    threads: int | None,
    changed: bool,
    store: Path,
    rtl: Path,
    data_root: Path | None,
) -> tuple[LiveEvaluation, str]:
    if design is None:
        raise ConfigError(
            f"{file} has fp32 weights",
            got="--engine live without a design",
            expected="a characterized design of integers, of any width up to 16 bits",
            remedy="name one with --design, mul16u_drum6 say",
        )
    made = load(find(store, design))
    ports = made.interface
    data = load_data(config.data, data_root)
    with open_wide(made, rtl, changed=changed) as live, ProductProgress(ENGINE) as progress:
        found = evaluate_wide(
            *(file, data, live),
            ((ports.a.width, ports.a.signed), (ports.b.width, ports.b.signed)),
            pattern=layers,
            limits=limits,
            threads=threads,
            progress=progress,
        )
    return found, made.name


def _show(config: TrainConfig, name: str, found: LiveEvaluation, as_json: bool) -> None:
    evaluation = found.evaluation
    if as_json:
        about = {"design": name, "engine": ENGINE, "layers": list(found.layers)}
        counts = {"live_products": found.products, "pairs_simulated": found.asked}
        print_json({**evaluation.to_json(), **about, **counts})
        return
    out().print(
        f"{config.model} on {config.data}, {name} by live RTL in {len(found.layers)} layers: "
        f"{evaluation.correct} of {evaluation.count} images right, loss {evaluation.loss:.4f}; "
        f"{found.products} products, {found.asked} pairs simulated, {evaluation.seconds:.1f} s",
        markup=False,
    )
