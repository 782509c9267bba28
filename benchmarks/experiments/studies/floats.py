"""Training through floating-point multipliers (Gong et al., ApproxTrain, IEEE TCAD 2023).

All three products of training go through a table of 7-bit mantissas. The finding to reproduce:
convergence and accuracy are those of float32, within the noise of seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtlgrad.nn.training import TrainConfig, with_multiplier

from ..plots import curves
from ..study import Arm, Study
from ..tally import markdown, paired, summaries, with_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from ..study import Bench, Row

MULTIPLIERS = {
    "fp32": "float32",
    "mant7_mbm": "MBM",
    "mant7_exact": "exact, truncating",
    "mant7_mitchell": "Mitchell",
    "mant7_realm": "REALM",
}
LENETS = (
    TrainConfig("lenet300100", "mnist", epochs=8, lr=0.05, threads=1),
    TrainConfig("lenet5", "mnist", epochs=4, lr=0.05, threads=1),
    TrainConfig("lenet5", "fashion-mnist", epochs=4, lr=0.05, threads=1),
)
RESNET = TrainConfig("resnet20", "cifar10-jpeg", epochs=4, lr=0.1, limit_train=20000, threads=1)
SEEDS = (0, 1, 2)


def _arm(base: TrainConfig, multiplier: str, seeds: tuple[int, ...]) -> Arm:
    return Arm(_name(base, multiplier), with_multiplier(base, multiplier), seeds)


def _name(base: TrainConfig, multiplier: str) -> str:
    return f"{base.model}-{base.data}-{multiplier}"


def _stage(
    bases: Sequence[TrainConfig], multipliers: Sequence[str], seed: int
) -> Callable[[Bench], Sequence[Arm]]:
    return lambda _: [_arm(base, name, (seed,)) for base in bases for name in multipliers]


def _tables(bases: Sequence[TrainConfig], multipliers: Sequence[str]) -> Callable[[Bench], str]:
    def tables(bench: Bench) -> str:
        found = summaries(bench.rows)
        lines = []
        for base in bases:
            exact = _rows(bench, base, "fp32")
            for name in multipliers:
                summary = found.get(_name(base, name))
                if summary is None:
                    continue
                differences = paired(_rows(bench, base, name), exact)
                mean = sum(differences) / len(differences) if differences else 0.0
                apart = "-" if name == "fp32" or not differences else f"{mean:+.2f}"
                where = f"{base.model}, {base.data}"
                cells = (str(summary.count), with_spread(summary), apart)
                lines.append((where, MULTIPLIERS[name], *cells))
        header = ("network", "multiplier", "seeds", "test accuracy %", "less float32")
        return markdown(header, lines, left=2)

    return tables


def _draw(bases: Sequence[TrainConfig], multipliers: Sequence[str]) -> Callable[[Bench], Figure]:
    def draw(bench: Bench) -> Figure:
        return curves(
            {
                f"{base.model}, {base.data}": {
                    MULTIPLIERS[name]: _rows(bench, base, name) for name in multipliers
                }
                for base in bases
            }
        )

    return draw


def _rows(bench: Bench, base: TrainConfig, multiplier: str) -> list[Row]:
    return [row for row in bench.rows if row.arm == _name(base, multiplier)]


def _study(
    name: str, bases: Sequence[TrainConfig], multipliers: Sequence[str], seeds: Sequence[int]
) -> Study:
    return Study(
        name,
        "Does training through approximate mantissas converge as float32 does?",
        tuple(_stage(bases, multipliers, seed) for seed in seeds),
        _tables(bases, multipliers),
        _draw(bases, multipliers),
    )


FLOAT_LENETS = _study("float-lenets", LENETS, tuple(MULTIPLIERS), SEEDS)
FLOAT_RESNET = _study("float-resnet", (RESNET,), ("fp32", "mant7_mbm"), (0, 1))
