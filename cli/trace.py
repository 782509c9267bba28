"""``rtlgrad trace``: from an accuracy back to the RTL, each step verified."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from ..core.errors import RtlgradError
from ..lutgen.findings import Finding, Verdict, compared, unknown
from ..lutgen.store import find, load_tabulated
from ..lutgen.trace import find_by_id, resimulate, trace_record
from ..lutgen.tuning import TUNED, tuned_table
from ..nn.report.trace import trace_result
from ..nn.training import load_result
from ..nn.training.results import RESULT_NAME
from .console import out, print_json
from .training import tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..lutgen.record import AnyCharacterization, Characterization
    from ..nn.multipliers import MultiplierTable
    from ..nn.training import RunResult

_STYLES = {Verdict.VERIFIED: "green", Verdict.DIFFERS: "red", Verdict.UNKNOWN: "yellow"}


def run(
    path: Path,
    *,
    store: Path,
    rtl: Path,
    data_root: Path | None,
    evaluate: bool,
    simulate: bool,
    as_json: bool,
) -> int:
    """Trace a result and print the findings; return 1 if anything differs, else 0.

    Versions that differ are said, and do not count: another version need not give another number.
    """
    result = load_result(path)
    folder = path if path.is_dir() else path.parent
    findings = list(trace_result(result, folder, data_root))
    if evaluate:
        findings.append(_evaluated(result, folder, store, data_root))
    findings += _tables(result, store, rtl, simulate)
    if as_json:
        print_json({"result": str(folder / RESULT_NAME), "findings": [asdict(f) for f in findings]})
    else:
        _print(findings, folder)
    return int(any(_is_wrong(finding) for finding in findings))


def _tables(result: RunResult, store: Path, rtl: Path, simulate: bool) -> Iterator[Finding]:
    designs = dict(result.config.assignment)
    for identity in dict.fromkeys(result.table_ids.values()):
        layers = [layer for layer, used in result.table_ids.items() if used == identity]
        design = designs.get(layers[0], "")
        made: AnyCharacterization | None
        if design.endswith(TUNED):
            what = f"weights mapped to suit {design.removesuffix(TUNED)}"
            base = made = _tabulated(store, design)
            if base is None:
                yield unknown(what, f"{store} has no such design", identity)
            else:
                yield compared(what, identity, tuned_table(base.table).id)
        else:
            made = find_by_id(store, identity)
            if made is None:
                reason = f"no characterization in {store} has this id"
                yield unknown(f"table of {len(layers)} layers", reason, identity)
        if made is None:
            continue
        yield from trace_record(made, rtl)
        if simulate:
            yield resimulate(made, rtl)


def _tabulated(store: Path, design: str) -> Characterization | None:
    """Return the stored characterization behind a design with mapped weights, if there is one."""
    try:
        return load_tabulated(find(store, design.removesuffix(TUNED)))
    except RtlgradError:
        return None


def _evaluated(result: RunResult, folder: Path, store: Path, data_root: Path | None) -> Finding:
    """Evaluate the weights once more; the figures of a result can be edited, those cannot."""
    from ..lutgen.mantissa import MantissaTable
    from ..lutgen.table import ProductTable
    from ..nn.data import load_data
    from ..nn.training import evaluate_checkpoint

    what = "test images right, evaluated again"
    table = None
    tables: dict[str, MultiplierTable] = {}
    if result.config.assignment:
        try:
            _, tables = tables_of(result.config, store)
        except RtlgradError as error:
            return unknown(what, str(error), str(result.test.correct))
    elif result.characterization_id is not None:
        made = find_by_id(store, result.characterization_id)
        if made is None or not isinstance(made.content, ProductTable | MantissaTable):
            return unknown(what, f"its table is not in {store}", str(result.test.correct))
        table = made.content
    try:
        data = load_data(result.config.data, data_root)
        again, _ = evaluate_checkpoint(folder, data, table, threads=result.threads, tables=tables)
    except RtlgradError as error:
        return unknown(what, str(error), str(result.test.correct))
    return compared(what, str(result.test.correct), str(again.correct))


def _is_wrong(finding: Finding) -> bool:
    return finding.verdict is Verdict.DIFFERS and not finding.what.startswith("version of ")


def _print(findings: Sequence[Finding], folder: Path) -> None:
    console = out()
    for finding in findings:
        line = Text(f"{finding.verdict:<19}", style=_STYLES[finding.verdict])
        line.append(finding.what, style="default")
        if finding.verdict is Verdict.VERIFIED:
            line.append(f"  {_short(finding.found)}", style="dim")
        elif finding.verdict is Verdict.DIFFERS:
            line.append(
                f"\n  found: {finding.found or 'nothing'}\n  claimed: {finding.expected or 'nothing'}"
            )
        else:
            line.append(f"  {finding.found}")
        console.print(line, soft_wrap=True)
    counts = Counter(finding.verdict for finding in findings)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    console.print(f"{folder}: {said}", markup=False)


def _short(value: str) -> str:
    """Shorten a hash to what tells it apart at a glance."""
    is_hash = len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
    return value[:16] if is_hash else value
