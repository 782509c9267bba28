"""Training from scratch through integer multipliers: a ResNet in float32, exact and approximate.

The approximate design is that of rtl/ with two 8-bit operands and the greatest MRE below 2 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtlgrad.nn.training import TrainConfig, with_multiplier

from ..choose import distinct, greatest_below
from ..plots import curves
from ..study import Arm, Study
from ..tally import markdown, summaries, with_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from ..study import Bench

RESNET20 = TrainConfig("resnet20", "cifar10-jpeg", epochs=10, lr=0.1)
RESNET8 = TrainConfig("resnet8", "cifar10-jpeg", epochs=5, lr=0.1, threads=1)
MRE_LIMIT_PCT = 2.0


def multipliers(bench: Bench) -> tuple[str, ...]:
    """Return float32, the exact table and the design of the rule."""
    design = greatest_below(distinct(bench.designs, ("u8", "s8")), MRE_LIMIT_PCT)
    return "fp32", "mul8u_exact", design


def _stage(base: TrainConfig, seed: int) -> Callable[[Bench], Sequence[Arm]]:
    return lambda bench: [Arm(n, with_multiplier(base, n), (seed,)) for n in multipliers(bench)]


def _tables(bench: Bench) -> str:
    found = summaries(bench.rows)
    reference = found.get("fp32")
    lines = []
    for name in multipliers(bench):
        one = found.get(name)
        known = one is not None and reference is not None
        apart = f"{one.mean - reference.mean:+.2f}" if one and reference and known else "-"
        mre = f"{bench.designs[name].mre_pct:.2f}" if name in bench.designs else "-"
        lines.append((name, mre, "0" if one is None else str(one.count), with_spread(one), apart))
    header = ("multiplier", "MRE %", "seeds", "test accuracy %", "less float32")
    return markdown(header, lines)


def _draw(bench: Bench) -> Figure:
    groups = {name: [r for r in bench.rows if r.arm == name] for name in multipliers(bench)}
    first = bench.rows[0]
    return curves({f"{first.model}, {first.data}": groups})


def _study(name: str, base: TrainConfig) -> Study:
    return Study(
        name,
        "What does training from scratch through 8-bit multipliers cost?",
        tuple(_stage(base, seed) for seed in (0, 1)),
        _tables,
        _draw,
    )


SCRATCH = _study("from-scratch", RESNET20)
SCRATCH_SMALL = _study("from-scratch-resnet8", RESNET8)
