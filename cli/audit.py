"""``rtlgrad audit``: what a network's layers computed, compared with the live RTL."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..core.errors import AuditError
from ..core.files import readable_json, sha256_file, write_atomic
from ..lutgen.findings import Verdict
from ..lutgen.live_store import LiveStore
from ..nn.data import load_data
from ..nn.training import CHECKPOINT_NAME, load_checkpoint
from ..nn.training.allocator import keep_freed_memory
from ..nn.training.auditing import audit_checkpoint
from .console import err, out, print_json, print_table
from .product_progress import ProductProgress
from .training import assigned_tables, stored_table, tables_of

if TYPE_CHECKING:
    from pathlib import Path

    from ..nn.audit import AuditPlan, AuditResult, LayerAudit

HEADINGS = (
    "layer",
    "design",
    "products",
    "compared",
    "pairs",
    "compared",
    "outputs compared",
    "sums wrong",
    "outputs wrong",
    "with bias wrong",
    "wrong entries",
)


def run(
    checkpoint: Path,
    *,
    design: str | None,
    assignment: Path | None,
    images: int,
    plan: AuditPlan,
    engine: str,
    threads: int | None,
    changed: bool,
    store: Path,
    rtl: Path,
    data_root: Path | None,
    path: Path | None,
    as_json: bool,
) -> int:
    """Audit a checkpoint and print the findings; return 1 if anything differs, else 0.

    Raises:
        AuditError: nothing could be compared.
    """
    keep_freed_memory()
    file = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
    config = load_checkpoint(file).config
    table, tables = (
        tables_of(config, store) if design is None else (stored_table(design, store), {})
    )
    data = load_data(config.data, data_root)
    assigned = None if assignment is None else assigned_tables(assignment, store)
    with LiveStore(store, rtl, changed=changed) as live, ProductProgress("audit") as progress:
        result = audit_checkpoint(
            *(file, data, table, live),
            images=images,
            plan=plan,
            engine=engine,
            threads=threads,
            tables=tables,
            assigned=assigned,
            progress=progress.layer,
        )
        content = _as_data(file, result, live, images)
        sources = live.findings
    if path is not None:
        write_atomic(path, readable_json(content))
        err().print(f"written: {path}", markup=False)
    if as_json:
        print_json(content)
    else:
        _print_sources(sources)
        _print(result, images)
    if not result.products_compared:
        raise AuditError(
            f"no product of {checkpoint} could be compared with its RTL",
            got=next((one.unchecked for one in result.layers if one.unchecked), "no product"),
        )
    return int(not result.is_right)


def _as_data(file: Path, result: AuditResult, live: LiveStore, images: int) -> dict[str, Any]:
    return {
        "checkpoint": str(file),
        "checkpoint_sha256": sha256_file(file),
        "images": images,
        **result.to_json(),
        "sources": [{"design": name, **asdict(one)} for name, one in live.findings],
    }


def _print_sources(sources: tuple[tuple[str, Any], ...]) -> None:
    for name, finding in sources:
        hash_ = finding.found[:16]
        style = "" if finding.verdict is Verdict.VERIFIED else "red"
        out().print(f"{name}: {finding.what}: {finding.verdict} {hash_}", style=style, markup=False)


def _print(result: AuditResult, images: int) -> None:
    print_table(HEADINGS, [_row(one) for one in result.layers if not one.unchecked], left=2)
    console = out()
    for layer in result.layers:
        if layer.unchecked:
            console.print(f"not checked: layer {layer.layer}: {layer.unchecked}", markup=False)
    for one in result.coverage:
        share = 100 * one.pairs_compared / one.pairs_possible
        console.print(
            f"{one.design}: {one.pairs_compared} of {one.pairs_possible} table entries confirmed or "
            f"refuted ({share:.1f} %), {one.not_covered} not covered; {one.asked} pairs simulated",
            markup=False,
        )
    for wrong in result.wrong:
        console.print(f"wrong: {wrong}", style="red", markup=False)
    verdict = "no mismatch" if result.is_right else "MISMATCH"
    console.print(
        f"{verdict}: {result.products_compared} of {result.products} products of {images} images "
        f"compared, {result.seconds:.1f} s",
        markup=False,
    )


def _row(one: LayerAudit) -> list[str]:
    return [
        one.layer,
        one.design,
        *(str(one.products), str(one.products_compared), str(one.pairs), str(one.pairs_compared)),
        *(str(one.outputs_compared), str(one.sums_wrong), str(one.outputs_wrong)),
        *(str(one.results_wrong), str(one.wrong_pairs)),
    ]
