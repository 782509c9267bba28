"""``rtlgrad lut``: characterizes designs and tables the results."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..cosim.cost import cell_library
from ..cosim.design import (
    SUFFIXES,
    DesignReference,
    pick_design,
    references,
    variant,
    verilog_files,
)
from ..cosim.float_format import FloatPart
from ..lutgen.characterize import Outcome, Settings, characterize
from ..lutgen.store import to_record
from .console import err, number, print_json, print_table
from .metric_texts import METRIC_HEADINGS, columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..lutgen.record import AnyCharacterization

HEADINGS = (
    "design",
    "operands",
    *METRIC_HEADINGS,
    "area um2",
    "delay ps",
    "power uW",
    "",
)


def run(
    targets: Sequence[str],
    *,
    parameters: Sequence[str],
    rtl: Path,
    out: Path,
    liberty: Path | None,
    jobs: int | None,
    time_limit_s: float,
    force: bool,
    scheduler: str | None = None,
    as_json: bool,
) -> int:
    """Characterize and report; return the exit status, 1 if any design failed."""
    library = cell_library(liberty)
    chosen = select(targets, rtl, read_parameters(parameters))
    settings = Settings(
        root=out, library=library, time_limit_s=time_limit_s, force=force, scheduler=scheduler
    )
    if jobs is not None:
        settings = replace(settings, jobs=jobs)
    started = time.perf_counter()
    with LutProgress(len(chosen)) as progress:
        outcomes = characterize(chosen, settings, progress)
    seconds = time.perf_counter() - started
    if as_json:
        print_json([_as_data(outcome) for outcome in outcomes])
    else:
        print_outcomes(outcomes)
    _remark(outcomes, out, seconds)
    return int(any(outcome.error is not None for outcome in outcomes))


def read_parameters(texts: Sequence[str]) -> dict[str, int]:
    """Read parameter overrides given as NAME=INT.

    Raises:
        ConfigError: one is not of that form.
    """
    overrides = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            overrides[name.strip()] = int(value, 0)
        except ValueError as error:
            raise ConfigError(
                f"-P {text} is not a parameter", expected="NAME=INTEGER, for example -P K=6"
            ) from error
    return overrides


def select(
    targets: Sequence[str], rtl: Path, overrides: Mapping[str, int]
) -> list[DesignReference]:
    """Return the designs that targets name: Verilog files, designs of rtl/, or all of rtl/.

    With parameter overrides, each file named stands for that one variant of it.

    Raises:
        UnknownNameError: a target is neither a file nor a design of ``rtl``.
        ConfigError: there is no folder ``rtl``, or overrides but no file to apply them to.
    """
    if overrides and not (targets and all(Path(item).suffix in SUFFIXES for item in targets)):
        raise ConfigError(
            "-P needs the Verilog file that it is for",
            got=" ".join(targets) or "no file",
            expected="rtlgrad lut path/to/design.v -P K=6",
        )
    if not targets:
        return _all_of(rtl)
    chosen: list[DesignReference] = []
    for target in targets:
        path = Path(target)
        if path.suffix in SUFFIXES:
            chosen += [variant(path, overrides)] if overrides else references(path)
        else:
            chosen.append(pick_design(target, _all_of(rtl)))
    return list({(design.name, design.path): design for design in chosen}.values())


def _all_of(rtl: Path) -> list[DesignReference]:
    return [design for path in verilog_files(rtl) for design in references(path)]


class LutProgress:
    """Shows how many designs are done: a bar on a terminal, a line per design otherwise."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._console = err()
        self._bar: Any = None

    def __enter__(self) -> LutProgress:
        if self._console.is_terminal:
            from rich.progress import Progress

            self._bar = Progress(console=self._console, transient=True)
            self._task = self._bar.add_task("characterizing", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, outcome: Outcome) -> None:
        """Count one outcome and say how it ended."""
        self._done += 1
        name = outcome.reference.name
        if outcome.error is not None:
            self._console.print(f"FAILED {name}: {outcome.error}", style="red", markup=False)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=name)
        elif outcome.error is None and not outcome.reused:
            sys.stderr.write(f"[{self._done}/{self._total}] {name}\n")


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the table of results."""
    print_table(HEADINGS, [_row(outcome) for outcome in outcomes], left=2)


def operands(made: AnyCharacterization) -> str:
    """Describe the operands in short: u8 x u8, m7 x m7 (mantissas), f1.8.7 x f1.8.7."""
    form = made.interface.format
    if form is not None and form.part is not FloatPart.SIGNIFICAND:
        whole = form.part is FloatPart.NUMBER
        short = (
            f"f1.{form.exponent_bits}.{form.mantissa_bits}" if whole else f"m{form.mantissa_bits}"
        )
        return f"{short} x {short}"
    a, b = made.interface.a, made.interface.b
    return " x ".join(f"{'s' if port.signed else 'u'}{port.width}" for port in (a, b))


def _row(outcome: Outcome) -> list[str]:
    made = outcome.characterization
    if made is None:
        return [outcome.reference.name, *[""] * (len(HEADINGS) - 2), "FAILED"]
    cost = made.cost
    return [
        made.name,
        operands(made),
        *columns(made),
        number(cost.area_um2, 1),
        number(cost.delay_ps, 0),
        number(cost.power_uw, 1),
        "" if outcome.reused else "new",
    ]


def _remark(outcomes: Sequence[Outcome], out: Path, seconds: float) -> None:
    console = err()
    for outcome in outcomes:
        for warning in outcome.characterization.warnings if outcome.characterization else ():
            console.print(f"note: {outcome.reference.name}: {warning}", markup=False)
    reused = sum(outcome.reused for outcome in outcomes)
    failed = sum(outcome.error is not None for outcome in outcomes)
    made = len(outcomes) - reused - failed
    console.print(
        f"{made} characterized, {reused} unchanged, {failed} failed in {seconds:.1f} s; "
        f"results in {out}",
        style="red" if failed else None,
    )


def _as_data(outcome: Outcome) -> dict[str, Any]:
    content: dict[str, Any] = {"name": outcome.reference.name, "reused": outcome.reused}
    if outcome.characterization is not None:
        content["record"] = to_record(outcome.characterization)
    if outcome.error is not None:
        content["error"] = {"kind": type(outcome.error).__name__, "message": str(outcome.error)}
    return content
