"""What a study is: stages of arms, an arm being runs that differ in their seed alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.training import SweepRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from rtlgrad.nn.training import TrainConfig


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs that differ in their seed alone.

    Attributes:
        name: unique in its study; names the runs' folders.
        config: what they do; its own seed does not count.
        seeds: one run each.
    """

    name: str
    config: TrainConfig
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Row:
    """One finished run.

    Attributes:
        arm: name of its arm.
        model: the network.
        data: the data set.
        multiplier: a design, a schedule, or "fp32".
        gradient: of products; "-" without a table of integers.
        seed: of weights, order and augmentation.
        epochs: trained.
        images: trained on in each epoch.
        initial: test accuracy before training, percent; None if no weights were given.
        accuracy: test accuracy after it, percent.
        curve: validation accuracy after each epoch, percent.
        losses: mean training loss of each epoch.
        seconds: wall time, over all sessions.
        threads: CPU threads.
        table: id of the design's characterization, or None.
    """

    arm: str
    model: str
    data: str
    multiplier: str
    gradient: str
    seed: int
    epochs: int
    images: int
    initial: float | None
    accuracy: float
    curve: tuple[float, ...]
    losses: tuple[float | None, ...]
    seconds: float
    threads: int
    table: str | None


@dataclass(frozen=True, slots=True)
class DesignFigures:
    """What choosing among designs needs.

    Attributes:
        name: of the design.
        kind: "u8" and the like: sign and width of two equal operands; "m7": mantissas; else "".
        mre_pct: mean relative error over products other than 0, percent.
        bias_pct: mean relative error with its sign, percent.
        nmed: mean absolute error over the greatest product.
        content: hash of the table; designs may share one.
    """

    name: str
    kind: str
    mre_pct: float
    bias_pct: float
    nmed: float
    content: str


@dataclass(frozen=True, slots=True)
class Bench:
    """What a stage may look at.

    Attributes:
        designs: those that are characterized, by name.
        rows: the runs finished so far.
        root: folder of the study's runs.
    """

    designs: dict[str, DesignFigures]
    rows: tuple[Row, ...]
    root: Path


@dataclass(frozen=True, slots=True)
class Study:
    """A question, the runs that answer it, and how the answer is shown.

    Attributes:
        name: of the command's argument and of the files.
        question: one sentence.
        stages: each gives arms, and sees the rows of those before.
        tables: the answer as Markdown, from whatever rows there are.
        draw: the answer as a picture.
    """

    name: str
    question: str
    stages: tuple[Callable[[Bench], Sequence[Arm]], ...]
    tables: Callable[[Bench], str]
    draw: Callable[[Bench], Figure]


def runs_of(arms: Sequence[Arm], root: Path) -> tuple[SweepRun, ...]:
    """Return the runs of some arms, in their order, each in a folder of its own below ``root``.

    Raises:
        ConfigError: two arms share a name, or a seed comes twice.
    """
    runs: dict[Path, SweepRun] = {}
    for arm in arms:
        for seed in arm.seeds:
            folder = run_folder(root, arm.name, seed)
            if folder in runs:
                raise ConfigError("two runs of a study have one folder", got=str(folder))
            runs[folder] = SweepRun(replace(arm.config, seed=seed), folder)
    return tuple(runs.values())


def run_folder(root: Path, arm: str, seed: int) -> Path:
    """Return where a run of an arm is kept."""
    return root / re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{arm}-s{seed}")
