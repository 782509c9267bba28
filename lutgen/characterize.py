"""From Verilog files to stored characterizations: reads, sweeps, synthesizes, measures, keeps."""

from __future__ import annotations

import datetime
import os
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError
from ..cosim.cost import CellLibrary, cell_library
from ..cosim.design import Design, DesignReference, check_unique, read_design
from ..cosim.gates.evaluate import prove_equal
from ..cosim.lanes import testbench_hash
from ..cosim.lint import LintReport, lint
from ..cosim.process import worker_pool
from ..cosim.simulator import Simulator, require_simulator
from ..cosim.sweep import DEFAULT_TIME_LIMIT_S, sweep
from ..cosim.synthesis import Synthesis, synthesize
from ..cosim.tools import require_package, table_tool_versions
from .freshness import fresh, source_hashes, work_key
from .metrics import error_metrics
from .record import Characterization, Provenance, identity, identity_hash
from .store import save
from .table import ProductTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..cosim.cost import Cost


_SYNTHESIS_FIRST_S = 60.0
"""How long a sweep waits for synthesis, which takes less than a second for most designs.

A design that synthesis refuses (a latch, a loop, an unknown output) need not be swept.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on one design ended: with a characterization, or with an error.

    Attributes:
        reference: the design.
        characterization: what was found, None on failure.
        error: why there is none.
        reused: whether the stored one still held and nothing was done.
    """

    reference: DesignReference
    characterization: Characterization | None = None
    error: RtlgradError | None = None
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How to characterize.

    Attributes:
        root: folder of the store; each design gets a folder in it.
        library: cells for area and delay.
        jobs: processes at a time.
        time_limit_s: wall seconds that one design's simulation may take.
        force: do the work even if the stored result still holds.
    """

    root: Path
    library: CellLibrary = field(default_factory=cell_library)
    jobs: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    force: bool = False


def characterize(
    references: Sequence[DesignReference],
    settings: Settings,
    progress: Callable[[Outcome], None] = lambda _outcome: None,
) -> list[Outcome]:
    """Characterize designs, and keep each as soon as it is done.

    A design that fails does not stop the others, and its stored characterization, if there is
    one, stays as it was. An interruption loses only what was not done yet.

    Args:
        references: the designs; their names must be unique.
        settings: where to and how.
        progress: called with each outcome as it comes.

    Returns:
        One outcome per design, in the order given.

    Raises:
        DesignError: two designs have one name.
        ToolError: a tool is missing, or fails by itself.
        ConfigError: the store cannot be written.
    """
    check_unique(references)
    outcomes: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        outcomes[outcome.reference.name] = outcome
        progress(outcome)

    stale = []
    for reference in references:
        stored = None if settings.force else fresh(reference, settings.library, settings.root)
        if stored is None:
            stale.append(reference)
        else:
            settle(Outcome(reference, stored, reused=True))
    _work(stale, settings, settle)
    return [outcomes[reference.name] for reference in references]


def _work(
    stale: Sequence[DesignReference], settings: Settings, settle: Callable[[Outcome], None]
) -> None:
    """Do the work on designs whose stored characterization does not hold."""
    if not stale:
        return
    # A missing tool is no design's fault.
    require_simulator(Simulator.VERILATOR)
    for package in ("pyverilog", "pyslang", "pyosys"):
        require_package(package)
    designs = []
    for reference in stale:
        try:
            designs.append(read_design(reference))
        except RtlgradError as error:
            settle(Outcome(reference, error=error))
    with worker_pool(settings.jobs) as pool:
        linted = []
        for design, report in zip(designs, pool.map(_lint, designs), strict=True):
            if isinstance(report, RtlgradError):
                settle(Outcome(design.reference, error=report))
            else:
                linted.append((design, report))
        if not linted:
            return
        syntheses = {
            design.name: pool.submit(synthesize, design, settings.library) for design, _ in linted
        }
        wait(syntheses.values(), timeout=_SYNTHESIS_FIRST_S)
        sound = []
        for design, report in linted:
            if (refusal := _refusal(syntheses[design.name])) is not None:
                settle(Outcome(design.reference, error=refusal))
            else:
                sound.append((design, report))
        reports = {design.name: report for design, report in sound}
        proven = {
            design.name
            for design, _ in sound
            if (done := syntheses[design.name]).done() and done.result().proven
        }
        swept = sweep(sound, proven=proven, jobs=settings.jobs, time_limit_s=settings.time_limit_s)
        for design, result in swept:
            settle(
                _conclude(design, reports[design.name], result, syntheses[design.name], settings)
            )


def _refusal(synthesis: Future[Synthesis]) -> RtlgradError | None:
    """Return the error that synthesis refused a design with, if it is done and did so."""
    error = synthesis.exception() if synthesis.done() else None
    return error if isinstance(error, RtlgradError) else None


def _lint(design: Design) -> LintReport | RtlgradError:
    try:
        return lint(design)
    except RtlgradError as error:
        return error


def _conclude(
    design: Design,
    report: LintReport,
    products: NDArray[np.int64] | RtlgradError,
    synthesis: Future[Synthesis],
    settings: Settings,
) -> Outcome:
    """Put a design's results together and keep them."""
    try:
        # What synthesis finds wrong with the structure explains more than the sweep's symptom.
        found = synthesis.result()
        cost = found.cost
        if isinstance(products, RtlgradError):
            raise products
        if found.codes is not None:
            prove_equal(found.codes, products, design.interface)
            cost = replace(cost, netlist_proven=True)
        made = assemble(design, report, products, cost, settings.library)
    except RtlgradError as error:
        return Outcome(design.reference, error=error)
    save(made, settings.root)
    return Outcome(design.reference, made)


def assemble(
    design: Design,
    report: LintReport,
    products: NDArray[np.int64],
    cost: Cost,
    library: CellLibrary,
) -> Characterization:
    """Make the characterization of a design from its sweep and its synthesis.

    Args:
        design: the design.
        report: what linting found.
        products: sign-decoded outputs, int64 [2^wa, 2^wb], row = code of a.
        cost: area and delay.
        library: the cells that cost was estimated with.

    Raises:
        RecordError: a product does not fit int32.
    """
    interface = design.interface
    sources = source_hashes(design)
    bare = ProductTable(products, interface.a.signed, interface.b.signed, name=design.name)
    table = ProductTable(
        bare.products,
        bare.signed_a,
        bare.signed_b,
        name=design.name,
        id=identity_hash(identity(interface, sources, bare)),
    )
    return Characterization(
        name=design.name,
        title=design.reference.sidecar.title,
        citation=design.reference.sidecar.citation,
        interface=interface,
        table=table,
        metrics=error_metrics(table),
        cost=cost,
        provenance=Provenance(
            sources=sources,
            sidecar_sha256=design.reference.sidecar.sha256,
            testbench_sha256=testbench_hash(),
            work_key=work_key(design.reference, library),
            tools=table_tool_versions(),
            created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
        warnings=_warnings(design, report),
    )


def _warnings(design: Design, report: LintReport) -> tuple[str, ...]:
    interface = design.interface
    found = []
    missing = interface.exact_product_bits - interface.out.width
    if missing > 0:
        found.append(
            f"output {interface.out.name!r} is {missing} bits too narrow for the exact product: "
            f"the table holds the {interface.out.width} bits that it has"
        )
    if not interface.out.signed and (interface.a.signed or interface.b.signed):
        found.append(
            f"output {interface.out.name!r} is unsigned although an operand is signed: "
            "the table holds no negative product"
        )
    found += [
        f"{warning.where}: {warning.message} [{warning.code}]"
        for warning in report.warnings
        if warning.code in ("UNDRIVEN", "LATCH", "UNOPTFLAT", "IMPLICIT", "PINMISSING")
    ]
    return tuple(found)
