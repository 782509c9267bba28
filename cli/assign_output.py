"""What ``rtlgrad assign`` shows: progress while it searches, and the front at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from ..nn.assignment.energy import EnergyFigure
from ..nn.assignment.results import ASSIGNMENTS, CHOSEN, RESULTS, tile_text
from .console import err, number, out, print_table

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from rich.progress import TaskID

    from ..nn.assignment.evaluation import Measurement
    from ..nn.assignment.results import Finalist, StudyResult
    from ..nn.assignment.search import Counts

HEADINGS = (
    "candidate",
    "tiles",
    "energy nJ",
    "saved %",
    "with glitches %",
    "uniform %",
    "search: points lost",
    "validation",
    "test",
    "test accuracy %",
)
_LINE_S = 20.0


class SearchProgress:
    """A bar on a terminal, a line now and then otherwise.

    Args:
        trials: of the search.
    """

    def __init__(self, trials: int) -> None:
        from rich.progress import Progress

        self._trials = trials
        self._console = err()
        self._bar = Progress(console=self._console, transient=True)
        self._task: TaskID | None = None
        self._said = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
            self._task = self._bar.add_task("searching", total=self._trials)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            self._console.print("interrupted; the same command goes on with the search")

    def searching(self, counts: Counts) -> None:
        """Show how far the search is."""
        text = f"{counts.running} running, {counts.lost} tried again"
        self._show(f"candidates ({text})", counts.complete, self._trials)

    def measuring(self, done: int, count: int) -> None:
        """Show how far the measuring of the front is."""
        self._show("front on all validation and test images", done, count)

    def _show(self, text: str, done: int, count: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, description=text, completed=done, total=count)
        elif time.monotonic() - self._said >= _LINE_S or done == count:
            self._said = time.monotonic()
            self._console.print(f"{text}: {done}/{count}", markup=False)


def print_study(result: StudyResult, folder: Path) -> None:
    """Print the finalists of the front and of the single designs, and what was chosen."""
    print_table(HEADINGS, [_row(result, one) for one in result.finalists], left=2)
    console = out()
    if result.singles:
        console.print("\none design for all layers:", markup=False)
        print_table(HEADINGS, [_row(result, one) for one in result.singles], left=2)
    console.print()
    console.print(_sentence(result), markup=False, soft_wrap=True)
    seconds = ", ".join(f"{name} {spent:.0f} s" for name, spent in result.seconds.items())
    console.print(
        f"{len(result.candidates)} candidates, {len(result.front)} on the front of the search; "
        f"{seconds}",
        markup=False,
    )
    console.print(
        f"{folder}: {RESULTS}, candidates.csv, front.csv, front.svg, {ASSIGNMENTS}/"
        + (f", {CHOSEN}" if result.chosen else ""),
        markup=False,
        soft_wrap=True,
    )


def _row(result: StudyResult, one: Finalist) -> list[str]:
    candidate, designs = one.candidate, one.candidate.assignment.by_layer
    test = one.measured["test"]
    return [
        str(candidate.number),
        " ".join(dict.fromkeys(candidate.assignment.designs)),
        number(candidate.energy_nj, 1),
        number(result.saved_pct(designs), 1),
        number(result.saved_pct(designs, EnergyFigure.GLITCHES), 1),
        number(result.saved_pct(designs, EnergyFigure.UNIFORM), 1),
        number(candidate.loss_points, 2),
        *(_with_error(one.measured[part]) for part in ("validation", "test")),
        number(100 * test.accuracy, 2),
    ]


def _with_error(measured: Measurement) -> str:
    return f"{measured.loss_points:.2f} ± {measured.error_points:.2f}"


def _sentence(result: StudyResult) -> str:
    chosen = result.chosen
    if chosen is None:
        return (
            f"no finalist is {result.sigmas:g} standard errors below {result.max_loss:g} points lost "
            "on the validation images: search longer, or with other designs"
        )
    assignment, test = chosen.candidate.assignment, chosen.measured["test"]
    alone = result.best_single
    compared = (
        "no design alone keeps to it"
        if alone is None
        else f"{alone.candidate.assignment.designs[0]} alone saves "
        f"{result.saved_pct(alone.candidate.assignment.by_layer):.1f} % and loses "
        f"{alone.measured['test'].loss_points:.2f}"
    )
    return (
        f"chosen on validation images ({result.sigmas:g} standard errors below "
        f"{result.max_loss:g} points lost): candidate "
        f"{chosen.candidate.number} saves {result.saved_pct(assignment.by_layer):.1f} % of the "
        f"multiplication energy and loses {test.loss_points:.2f} points on the test images "
        f"({100 * test.accuracy:.2f} %); {compared}.\n"
        + tile_text(assignment, result.task.space.layers)
    )
