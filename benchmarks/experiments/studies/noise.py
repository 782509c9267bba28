"""Relative-error noise and hybrid training (Hammad, El-Sankary and Gu, ROBIO 2019), and real designs.

LeNet-5 on a part of Fashion-MNIST. Six 8-bit designs of rtl/ have mean relative errors (MRE) nearest
to 1, 2.5, 5, 10, 20 and 38 %; beside each stands normal noise of the same MRE, in the same forms:
approximate throughout, and exact for the last 5, 10 and 20 % of the epochs. Twelve designs in all are
set against two kinds of noise, normal of the same MRE and drawn from their own relative errors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.training import TrainConfig, with_multiplier

from ..choose import distinct, nearest_by_mre
from ..plots import scatter_and_lines
from ..study import Arm, Study
from ..tally import markdown, rank_correlation, summaries, with_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from ..study import Bench
    from ..tally import Summary

BASE = TrainConfig(
    "lenet5",
    "fashion-mnist",
    epochs=20,
    batch_size=64,
    lr=0.05,
    limit_train=2500,
    limit_test=2500,
    threads=1,
)
MRES_PCT = (1.0, 2.5, 5.0, 10.0, 20.0, 38.0)
BETWEEN_PCT = (1.6, 3.5, 7.0, 14.0, 28.0, 50.0)
EXACT_EPOCHS = (0, 1, 2, 4)
"""At the end: none, and 5, 10 and 20 % of 20."""
SEEDS = (0, 1, 2)


def sigma_of(mre_pct: float) -> float:
    """Return the standard deviation of a normal relative error: MRE * sqrt(pi / 2)."""
    return mre_pct / 100 * math.sqrt(math.pi / 2)


def hybrid(name: str, exact_epochs: int, epochs: int) -> str:
    """Return the schedule of a multiplier that is exact for the last epochs."""
    if exact_epochs == 0:
        return f"{name}:0-{epochs}"
    return f"{name}:0-{epochs - exact_epochs},exact:{epochs - exact_epochs}-{epochs}"


def normal(mre_pct: float) -> str:
    """Return the normal noise of an MRE as schedules name it."""
    return f"noise({sigma_of(mre_pct):.6g})"


def chosen(bench: Bench) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the designs of the table, and the further ones to correlate."""
    designs = distinct(bench.designs, ("u8", "s8"))
    first = nearest_by_mre(designs, MRES_PCT)
    rest = [design for design in designs if design.name not in first]
    return first, nearest_by_mre(rest, BETWEEN_PCT)


def _stage(seed: int) -> Callable[[Bench], Sequence[Arm]]:
    def arms(bench: Bench) -> Sequence[Arm]:
        multipliers = ["fp32", "mul8u_exact"]
        table, further = chosen(bench)
        for exact_epochs in EXACT_EPOCHS:
            some = table if exact_epochs else (*table, *further)
            names = [name for design in some for name in (_noise_of(bench, design), design)]
            multipliers += [hybrid(name, exact_epochs, BASE.epochs) for name in names]
        multipliers += [hybrid(_drawn_from(name), 0, BASE.epochs) for name in (*table, *further)]
        return [Arm(name, with_multiplier(BASE, name), (seed,)) for name in multipliers]

    return arms


def _noise_of(bench: Bench, design: str) -> str:
    return normal(bench.designs[design].mre_pct)


def _drawn_from(design: str) -> str:
    return f"noise(table:{design})"


def _tables(bench: Bench) -> str:
    found = summaries(bench.rows)
    table, further = chosen(bench)
    header = ("MRE %", "multiplier", "approximate", "last 5 %", "last 10 %", "last 20 %")
    lines = []
    for design in table:
        for label, name in (("noise", _noise_of(bench, design)), (f"`{design}`", design)):
            cells = [
                with_spread(found.get(hybrid(name, count, BASE.epochs))) for count in EXACT_EPOCHS
            ]
            lines.append((f"{bench.designs[design].mre_pct:.2f}", label, *cells))
    exact = ", ".join(
        f"{label} {with_spread(found.get(name))} %"
        for label, name in (("float32", "fp32"), ("exact products of 8 bits", "mul8u_exact"))
    )
    pairs = markdown(
        ("design", "MRE %", "mean error %", "RTL", "normal noise", "its own errors drawn"),
        [
            (
                f"`{design}`",
                f"{bench.designs[design].mre_pct:.2f}",
                f"{bench.designs[design].bias_pct:+.2f}",
                *(with_spread(s) for s in _three(bench, found, design)),
            )
            for design in _by_mre(bench, (*table, *further))
        ],
    )
    return "\n\n".join(
        [markdown(header, lines, left=2), f"Exact: {exact}.", pairs, _correlations(bench, found)]
    )


def _three(
    bench: Bench, found: dict[str, Summary], design: str
) -> tuple[Summary | None, Summary | None, Summary | None]:
    """Return how a design did, normal noise of its MRE, and its own relative errors drawn."""
    names = (design, _noise_of(bench, design), _drawn_from(design))
    real, same_mre, drawn = (found.get(hybrid(name, 0, BASE.epochs)) for name in names)
    return real, same_mre, drawn


def _by_mre(bench: Bench, designs: Sequence[str]) -> list[str]:
    return sorted(designs, key=lambda name: bench.designs[name].mre_pct)


def _correlations(bench: Bench, found: dict[str, Summary]) -> str:
    table, further = chosen(bench)
    lines = []
    for place, label in ((1, "normal noise of the same MRE"), (2, "its own errors drawn")):
        pairs = []
        for design in (*table, *further):
            three = _three(bench, found, design)
            real, noise = three[0], three[place]
            if real is not None and noise is not None:
                pairs.append((real.mean, noise.mean))
        try:
            rank = f"{rank_correlation(*zip(*pairs, strict=True)):.2f}" if pairs else "-"
        except ConfigError:
            rank = "-"
        off = sum(abs(a - b) for a, b in pairs) / max(1, len(pairs))
        worst = max((abs(a - b) for a, b in pairs), default=0.0)
        lines.append((label, str(len(pairs)), rank, f"{off:.2f}", f"{worst:.2f}"))
    header = ("noise", "designs", "rank correlation with RTL", "mean distance", "greatest")
    return markdown(header, lines)


def _draw(bench: Bench) -> Figure:
    found = summaries(bench.rows)
    table, further = chosen(bench)
    lines = {}
    for count in EXACT_EPOCHS:
        label = f"noise, last {100 * count // BASE.epochs} % exact" if count else "noise throughout"
        lines[label] = [
            (bench.designs[name].mre_pct, one.mean)
            for name in _by_mre(bench, table if count else (*table, *further))
            if (one := found.get(hybrid(_noise_of(bench, name), count, BASE.epochs))) is not None
        ]
    points = [
        (bench.designs[name].mre_pct, one.mean, name)
        for name in (*table, *further)
        if (one := found.get(hybrid(name, 0, BASE.epochs))) is not None
    ]
    level = found.get("fp32")
    return scatter_and_lines(
        lines,
        points,
        level=None if level is None else level.mean,
        labels=("MRE, %", "test accuracy, %", "designs of rtl/ throughout"),
    )


NOISE = Study(
    "noise",
    "How well does a relative error drawn at random stand in for a circuit, and what do exact last epochs recover?",
    tuple(_stage(seed) for seed in SEEDS),
    _tables,
    _draw,
)
