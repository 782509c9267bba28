"""The kind of characterization for designs whose every operand pair can be simulated: a table."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..cosim.float_format import FloatPart
from ..cosim.gates.evaluate import prove_equal
from ..cosim.programs.tools import table_tool_versions
from ..cosim.simulation.batches import MAX_DESIGNS
from ..cosim.simulation.lanes import testbench_hash
from ..cosim.simulation.sweep import attempt
from ..cosim.synthesis.netlist_cost import conclude as finished
from .freshness import source_hashes, work_key
from .metrics import error_metrics
from .record import Characterization, Provenance, identity, identity_hash
from .table import ProductTable
from .work import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..cosim.cost import CellLibrary, Cost
    from ..cosim.design import Design
    from ..cosim.simulation.lint import LintReport
    from ..cosim.simulation.sweep import Swept
    from ..cosim.synthesis.synthesize import Synthesis
    from .work import Examined, Limits, Measured

_TELLING = ("UNDRIVEN", "LATCH", "UNOPTFLAT", "IMPLICIT", "PINMISSING")
"""The lint warnings that concern what a table means."""

_OVERRUN = "whether a write leaves the range of its array could not be confirmed"


def measure(batch: Sequence[Examined], proven: Collection[str], limits: Limits) -> Measured:
    """Sweep every operand pair of several designs; see `rtlgrad.cosim.simulation.sweep.sweep`."""
    return attempt(
        [(item.design, item.report) for item in batch],
        proven=proven,
        jobs=limits.jobs,
        time_limit_s=limits.time_limit_s,
    )


def conclude(
    examined: Examined, swept: Swept, synthesis: Synthesis, library: CellLibrary
) -> Characterization:
    """Prove that the netlist computes the swept products, and make the characterization.

    Args:
        examined: the design.
        swept: its products, and their latency if it is clocked.
        synthesis: the design's cost, and its netlist's outputs.
        library: the cells that cost was estimated with.

    Raises:
        RtlgradError: netlist and sweep disagree, or a product does not fit int32.
    """
    synthesis = finished(synthesis, swept.latency)
    cost = synthesis.cost
    if synthesis.codes is not None:
        prove_equal(synthesis.codes, swept.products, examined.design.interface)
        cost = replace(cost, netlist_proven=True)
    return assemble(examined.design, examined.report, swept, cost, library)


def assemble(
    design: Design,
    report: LintReport,
    swept: Swept,
    cost: Cost,
    library: CellLibrary,
) -> Characterization:
    """Make the characterization of a design from its sweep and its synthesis.

    Args:
        design: the design.
        report: what linting found.
        swept: its products, and their latency if it is clocked.
        cost: area and delay.
        library: the cells that cost was estimated with.

    Raises:
        RecordError: a product does not fit int32.
    """
    interface = design.interface
    sources = source_hashes(design)
    bare = ProductTable(swept.products, interface.a.signed, interface.b.signed, name=design.name)
    table = ProductTable(
        bare.products,
        bare.signed_a,
        bare.signed_b,
        name=design.name,
        id=identity_hash(identity(interface, sources, bare)),
    )
    shared = description(design, report, cost, library)
    if swept.unconfirmed:
        shared["warnings"] += (f"{_OVERRUN}: {swept.unconfirmed}",)
    return Characterization(
        **shared, table=table, metrics=error_metrics(table), latency=swept.latency
    )


def description(
    design: Design, report: LintReport, cost: Cost, library: CellLibrary
) -> dict[str, Any]:
    """Return what is said of a design of any kind, as arguments of its characterization."""
    return {
        "name": design.name,
        "title": design.reference.sidecar.title,
        "citation": design.reference.sidecar.citation,
        "interface": design.interface,
        "cost": cost,
        "provenance": provenance(design, library),
        "warnings": warnings(design, report),
    }


def provenance(design: Design, library: CellLibrary) -> Provenance:
    """Return where a characterization that is made now comes from."""
    return Provenance(
        sources=source_hashes(design),
        sidecar_sha256=design.reference.sidecar.sha256,
        testbench_sha256=testbench_hash(),
        work_key=work_key(design.reference, library),
        tools=table_tool_versions(),
        created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def warnings(design: Design, report: LintReport) -> tuple[str, ...]:
    """Return what the user of a table should know about its design."""
    interface = design.interface
    found = []
    missing = interface.exact_product_bits - interface.out.width
    of_integers = interface.format is None or interface.format.part is FloatPart.SIGNIFICAND
    if missing > 0 and of_integers:
        found.append(
            f"output {interface.out.name!r} is {missing} bits too narrow for the exact product: "
            f"its products are the {interface.out.width} bits that it has"
        )
    if not interface.out.signed and (interface.a.signed or interface.b.signed):
        found.append(
            f"output {interface.out.name!r} is unsigned although an operand is signed: "
            "the table holds no negative product"
        )
    found += [
        f"{warning.where}: {warning.message} [{warning.code}]"
        for warning in report.warnings
        if warning.code in _TELLING
    ]
    return tuple(found)


def operand_pairs(design: Design) -> int:
    """Return how many operand pairs a design has."""
    return 1 << (design.interface.a.width + design.interface.b.width)


def _takes(_design: Design) -> bool:
    return True


TABLE = Kind("table", _takes, measure, conclude, MAX_DESIGNS, operand_pairs)
