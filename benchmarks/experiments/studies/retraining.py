"""Retraining with LUT gradients and straight-through (Meng, Burleson, De Micheli, DATE 2025).

From a trained float32 network: designs of 8 bits are put in by calibration alone; those that break
it are retrained for a few epochs with each estimate of the gradient, all else equal.

The rule for designs: of those of rtl/ with two 8-bit operands and a table of their own, by NMED,
the greatest first, the first five whose accuracy without retraining is below 20 %; and
mul8u_trunc8, if it is not among them.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from rtlgrad.nn.training import TrainConfig, with_multiplier

from ..choose import by_error, distinct, first_below
from ..plots import grouped_bars
from ..study import Arm, Study, run_folder
from ..tally import markdown, paired, summaries, with_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from ..study import Bench, Row

NAMED = "mul8u_trunc8"
BROKEN_PCT = 20.0
COUNT = 5
LOOKED_AT = 20
GRADIENTS = ("ste", "lut")
WINDOWS = ("lut:1", "lut:4", "lut:32", "lut:64")
SLOWER = 5
"""The comparison is made again with the learning rate divided by this."""
SEEDS = (0, 1, 2)


def _base_stage(base: TrainConfig) -> Callable[[Bench], Sequence[Arm]]:
    return lambda _: [Arm("base", base)]


def _retrained(bench: Bench, base: TrainConfig, retrain: TrainConfig) -> TrainConfig:
    return replace(retrain, init=str(run_folder(bench.root, "base", base.seed)))


def candidates(bench: Bench) -> tuple[str, ...]:
    """Return the designs that are put into the trained network, the most erroneous first."""
    order = by_error(distinct(bench.designs, ("u8", "s8")))[:LOOKED_AT]
    return order if NAMED in order else (*order, NAMED)


def chosen(bench: Bench) -> tuple[str, ...]:
    """Return the designs that are retrained, by the rule of this study."""
    broken = {row.multiplier: row.accuracy for row in bench.rows if row.arm.startswith("put in ")}
    found = first_below(candidates(bench), broken, BROKEN_PCT, COUNT)
    return found if NAMED in found else (NAMED, *found)


def _put_in(base: TrainConfig, retrain: TrainConfig) -> Callable[[Bench], Sequence[Arm]]:
    def arms(bench: Bench) -> Sequence[Arm]:
        start = replace(_retrained(bench, base, retrain), epochs=0)
        return [Arm(f"put in {n}", with_multiplier(start, n)) for n in candidates(bench)]

    return arms


def _compare(
    base: TrainConfig, retrain: TrainConfig, seed: int
) -> Callable[[Bench], Sequence[Arm]]:
    def arms(bench: Bench) -> Sequence[Arm]:
        start = _retrained(bench, base, retrain)
        return [
            Arm(_name(n, g), replace(with_multiplier(start, n), gradient=g), (seed,))
            for n in ("mul8u_exact", *chosen(bench))
            for g in (GRADIENTS if n != "mul8u_exact" else GRADIENTS[:1])
        ]

    return arms


def _slower(base: TrainConfig, retrain: TrainConfig, seed: int) -> Callable[[Bench], Sequence[Arm]]:
    def arms(bench: Bench) -> Sequence[Arm]:
        start = replace(_retrained(bench, base, retrain), lr=retrain.lr / SLOWER)
        return [
            Arm(_name(n, g, slower=True), replace(with_multiplier(start, n), gradient=g), (seed,))
            for n in chosen(bench)
            for g in GRADIENTS
        ]

    return arms


def _windows(base: TrainConfig, retrain: TrainConfig) -> Callable[[Bench], Sequence[Arm]]:
    def arms(bench: Bench) -> Sequence[Arm]:
        start = _retrained(bench, base, retrain)
        return [
            Arm(_name(n, g), replace(with_multiplier(start, n), gradient=g), SEEDS[:1])
            for n in chosen(bench)
            for g in (*WINDOWS, "slope")
        ]

    return arms


def _name(design: str, gradient: str, *, slower: bool = False) -> str:
    return f"{design} {gradient}" + (f" slower {SLOWER}" if slower else "")


def _rows(bench: Bench, arm: str) -> list[Row]:
    return [row for row in bench.rows if row.arm == arm]


def _tables(bench: Bench) -> str:
    found = summaries(bench.rows)
    said = (
        f"float32 base {with_spread(found.get('base'))} %; exact products of 8 bits, retrained "
        f"alike, {with_spread(found.get(_name('mul8u_exact', 'ste')))} %."
    )
    parts = [_comparison(bench, slower=False), said]
    if any(_rows(bench, _name(n, "ste", slower=True)) for n in chosen(bench)):
        parts += [f"Learning rate divided by {SLOWER}:", _comparison(bench, slower=True)]
    return "\n\n".join([*parts, _window_table(bench)])


def _comparison(bench: Bench, *, slower: bool) -> str:
    """Return a line for each design, and what the differences come to."""
    found = summaries(bench.rows)
    lines = []
    gains = []
    for design in chosen(bench):
        figures = bench.designs[design]
        names = [_name(design, gradient, slower=slower) for gradient in GRADIENTS]
        ste, lut = (_rows(bench, name) for name in names)
        gain = paired(lut, ste)
        gains += gain
        cells = (
            f"{100 * figures.nmed:.2f}",
            f"{figures.mre_pct:.1f}",
            f"{found[f'put in {design}'].mean:.2f}",
            *(with_spread(found.get(name)) for name in names),
            ", ".join(f"{one:+.2f}" for one in gain) or "-",
        )
        lines.append((f"`{design}`", *cells))
    header = ("design", "NMED %", "MRE %", "put in", *GRADIENTS, "lut less ste, by seed")
    mean = f"{statistics.fmean(gains):+.2f}" if gains else "-"
    ahead = sum(gain > 0 for gain in gains)
    said = f"LUT gradient less straight-through: mean {mean} points, ahead in {ahead} of {len(gains)} pairs."
    return f"{markdown(header, lines)}\n\n{said}"


def _window_table(bench: Bench) -> str:
    order = ("ste", "lut:1", "lut:4", "lut", "lut:32", "lut:64", "slope")
    lines = []
    for design in chosen(bench):
        rows = [_rows(bench, _name(design, gradient)) for gradient in order]
        firsts = [[row.accuracy for row in some if row.seed == SEEDS[0]] for some in rows]
        cells = [f"{found[0]:.2f}" if found else "-" for found in firsts]
        lines.append((f"`{design}`", *cells))
    header = ("design, seed 0", *(name if name != "lut" else "lut (h = 16)" for name in order))
    return markdown(header, lines)


def _draw(bench: Bench) -> Figure:
    found = summaries(bench.rows)
    groups: dict[str, dict[str, tuple[float, float | None]]] = {}
    for design in chosen(bench):
        bars = {"put in": (found[f"put in {design}"].mean, None)}
        for gradient, label in zip(GRADIENTS, ("straight-through", "LUT gradient"), strict=True):
            summary = found.get(_name(design, gradient))
            if summary is not None:
                bars[label] = summary.mean, summary.spread
        groups[design] = bars
    return grouped_bars(groups, "test accuracy, %")


def _study(name: str, base: TrainConfig, retrain: TrainConfig) -> Study:
    return Study(
        name,
        "Does the LUT gradient beat straight-through after equal epochs of retraining?",
        (
            _base_stage(base),
            _put_in(base, retrain),
            *(_compare(base, retrain, seed) for seed in SEEDS),
            *(_slower(base, retrain, seed) for seed in SEEDS),
            _windows(base, retrain),
        ),
        _tables,
        _draw,
    )


RETRAINING = _study(
    "retraining",
    TrainConfig("resnet8", "cifar10-jpeg", epochs=15, lr=0.1),
    TrainConfig(
        "resnet8",
        "cifar10-jpeg",
        epochs=3,
        batch_size=32,
        lr=0.01,
        limit_train=5000,
        limit_test=2000,
        calibration_images=512,
        threads=1,
    ),
)
RETRAINING_SMALL = _study(
    "retraining-lenet5",
    TrainConfig("lenet5", "fashion-mnist", epochs=4, lr=0.05, threads=1),
    TrainConfig(
        "lenet5",
        "fashion-mnist",
        epochs=2,
        batch_size=64,
        lr=0.01,
        limit_train=8000,
        limit_test=5000,
        calibration_images=512,
        threads=1,
    ),
)
