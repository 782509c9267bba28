"""``rtlgrad conformance``: a library of circuits against its own models and published figures."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.files import write_atomic
from ..cosim.cost import cell_library
from ..lutgen.characterize import Settings
from ..lutgen.conformance import FigureVerdict, TableVerdict, find_circuits, read_published_csv
from ..lutgen.conformance.output import as_csv, as_data
from ..lutgen.conformance.run import run_conformance
from .console import err, number, out, print_json, print_table
from .lut import LutProgress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..lutgen.conformance import CircuitResult, Conformance, Correlation, FigureCheck

HEADINGS = (
    "circuit",
    "RTL and C",
    "C takes",
    "MAE",
    "WCE",
    "MRE %",
    "EP %",
    "MSE",
    "area um2",
    "published",
    "power uW",
    "published",
    "delay ps",
    "published",
)
CSV_NAME = "conformance.csv"
_WIDTHS = re.compile(r"(\d{1,2})x(\d{1,2})")
_MARKS = {
    FigureVerdict.AGREES: "",
    FigureVerdict.TIE: "",
    FigureVerdict.TRUNCATED: " t",
    FigureVerdict.DIFFERS: " !",
    FigureVerdict.ABSENT: " ?",
}
_WHAT = {
    "area_um2": "area",
    "power_uw": "power, zero-delay",
    "power_glitch_aware_uw": "power, glitch-aware",
    "delay_ps": "delay",
}


def run(
    checkout: Path,
    *,
    widths: str,
    published: Path | None,
    store: Path,
    csv: Path | None,
    liberty: Path | None,
    jobs: int | None,
    time_limit_s: float,
    as_json: bool,
) -> int:
    """Check and report; return the exit status, 1 if anything does not conform."""
    width_a, width_b = _read_widths(widths)
    figures = None if published is None else read_published_csv(published)
    circuits = find_circuits(checkout, width_a=width_a, width_b=width_b, published=figures)
    settings = Settings(root=store, library=cell_library(liberty), time_limit_s=time_limit_s)
    if jobs is not None:
        settings = replace(settings, jobs=jobs)
    with LutProgress(len(circuits)) as progress:
        found = run_conformance(circuits, settings, progress)
    file = csv or store / CSV_NAME
    write_atomic(file, as_csv(found))
    if as_json:
        print_json(as_data(found))
    else:
        print_table(HEADINGS, [_row(result) for result in found.results], left=3)
        for line in _summary(found):
            out().print(line, markup=False)
    err().print(f"written: {file}", markup=False)
    return int(not found.conforms)


def _read_widths(text: str) -> tuple[int, int]:
    match = _WIDTHS.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} does not describe operand widths", expected="two numbers of bits: 8x8, 8x4"
        )
    return int(match[1]), int(match[2])


def _row(result: CircuitResult) -> list[str]:
    name, published = result.circuit.name, result.circuit.published
    table = result.table.value
    if result.differing:
        table += f" ({result.differing})"
    checks = [_figure(check) for check in result.figures] or [""] * 5
    made = result.characterization
    area, power, delay = (
        (None, None, None)
        if made is None
        else (made.cost.area_um2, made.cost.power_uw, made.cost.delay_ps)
    )
    costs = [
        number(area, 1),
        published.area_um2 or "-",
        number(power, 1),
        number(_thousandfold(published.number("power_mw")), 0),
        number(delay, 0),
        number(_thousandfold(published.number("delay_ns")), 0),
    ]
    return [name, table, result.parameters, *checks, *costs]


def _thousandfold(value: float | None) -> float | None:
    """Convert mW to uW, or ns to ps."""
    return None if value is None else 1e3 * value


def _figure(check: FigureCheck) -> str:
    if check.verdict in (FigureVerdict.AGREES, FigureVerdict.TIE):
        return str(check.published)
    return f"{check.measured:.6g}{_MARKS[check.verdict]}"


def _summary(found: Conformance) -> Iterator[str]:
    circuits = len(found.results)
    yield ""
    yield (
        f"{found.tables(TableVerdict.EQUAL)} of {circuits} RTL tables equal their C models, "
        "operands bound by name"
    )
    skew = sum(
        result.characterization is not None and not result.commutes for result in found.results
    )
    yield f"{skew} of them do not commute: there, operands bound by position may give the transpose"
    yield from _figure_lines(found)
    for result in found.results:
        for remark in result.remarks:
            yield f"  ! {result.circuit.name}: {remark}"
    for correlation in found.correlations:
        yield _correlation(correlation, found.library)


def _figure_lines(found: Conformance) -> Iterator[str]:
    counts = {verdict: sum(1 for _ in found.figures(verdict)) for verdict in FigureVerdict}
    absent, differing = counts[FigureVerdict.ABSENT], counts[FigureVerdict.DIFFERS]
    total = sum(counts.values()) - absent
    yield (
        f"{total - differing} of {total} published figures agree at their printed precision; "
        f"{counts[FigureVerdict.TIE]} of them lie exactly between two printed values, "
        f"{counts[FigureVerdict.TRUNCATED]} are truncated, not rounded (t)"
    )
    if absent:
        yield f"{absent} figures are not published (?)"
    for verdict in (FigureVerdict.TIE, FigureVerdict.TRUNCATED, FigureVerdict.DIFFERS):
        for name, check in found.figures(verdict):
            yield (
                f"  {verdict.value}: {name}, {check.figure}: {check.published} is printed, "
                f"{check.measured:.10g} measured"
            )


def _correlation(one: Correlation, library: str) -> str:
    return (
        f"{_WHAT[one.estimate]:<20} Spearman {number(one.spearman, 4)}, Pearson "
        f"{number(one.pearson, 4)} with the published figure over {one.circuits} circuits ({library})"
    )
