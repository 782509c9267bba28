"""The kinds of characterization for floating-point multipliers: a table of their mantissas.

A multiplier of significands or of mantissas is swept as an integer multiplier is. One of complete
numbers is simulated for all pairs of mantissas at one exponent, and for a sample of the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..cosim.float_format import FloatPart
from ..cosim.gates.evaluate import prove_equal
from ..cosim.simulation.batches import MAX_DESIGNS
from ..cosim.synthesis.netlist_cost import conclude as finished
from . import decomposition
from .decomposition import decompose
from .float_metrics import float_metrics, table_rounding
from .mantissa import MantissaTable, from_significands, mantissas_from_codes
from .record import MantissaCharacterization, identity, identity_hash
from .sampling import measured_pairs, netlist_pairs
from .special_operands import remarks
from .table import ProductTable
from .tabulate import description, measure, operand_pairs
from .work import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..cosim.cost import CellLibrary
    from ..cosim.design import Design
    from ..cosim.simulation.pairs import Simulated
    from ..cosim.simulation.sweep import Swept
    from ..cosim.synthesis.synthesize import Synthesis
    from .decomposition import Decomposition
    from .work import Examined, Limits, Measured


def conclude_part(
    examined: Examined, swept: Swept, synthesis: Synthesis, library: CellLibrary
) -> MantissaCharacterization:
    """Make the characterization of a multiplier of significands or of mantissas.

    Args:
        examined: the design.
        swept: its products, int64 [2^wa, 2^wb], and their latency if it is clocked.
        synthesis: the design's cost, and its netlist's outputs.
        library: the cells that cost was estimated with.

    Raises:
        RtlgradError: netlist and sweep disagree, or a product of significands has no mantissa.
    """
    synthesis = finished(synthesis, swept.latency)
    design, cost = examined.design, synthesis.cost
    if synthesis.codes is not None:
        prove_equal(synthesis.codes, swept.products, design.interface)
        cost = replace(cost, netlist_proven=True)
    form = design.interface.format
    if form is not None and form.part is FloatPart.MANTISSA:
        table = mantissas_from_codes(swept.products, name=design.name)
    else:
        table = from_significands(ProductTable(swept.products, name=design.name))
    made = replace(synthesis, cost=cost)
    return replace(_assemble(examined, table, made, library), latency=swept.latency)


def measure_number(batch: Sequence[Examined], proven: Collection[str], limits: Limits) -> Measured:
    """Simulate the operand pairs that show whether complete multipliers decompose."""
    return {
        item.design.name: measured_pairs(
            item, _plan(item.design).pairs, item.design.name in proven, limits
        )
        for item in batch
    }


def conclude_number(
    examined: Examined, simulated: Simulated, synthesis: Synthesis, library: CellLibrary
) -> MantissaCharacterization:
    """Take a complete multiplier apart, and make its characterization.

    Args:
        examined: the design.
        simulated: what it answers for the pairs of `rtlgrad.lutgen.decomposition.plan`.
        synthesis: the design's cost, and its netlist.
        library: the cells that cost was estimated with.

    Raises:
        DesignError: it does not decompose; gives a counter-example.
        SimulationError: netlist and simulation disagree.
    """
    design = examined.design
    made = _plan(design)
    form = design.interface.format
    assert form is not None
    synthesis = finished(synthesis, simulated.latency)
    compared = netlist_pairs(synthesis, design.interface, made.pairs, simulated)
    table, found = decompose(made, simulated.codes[:, 0], form, design.name)
    found = replace(found, netlist_pairs=compared)
    whole = _assemble(examined, table, synthesis, library, found)
    return replace(whole, latency=simulated.latency)


def _assemble(
    examined: Examined,
    bare: MantissaTable,
    synthesis: Synthesis,
    library: CellLibrary,
    found: Decomposition | None = None,
) -> MantissaCharacterization:
    design = examined.design
    shared = description(design, examined.report, synthesis.cost, library)
    table = replace(
        bare, id=identity_hash(identity(design.interface, shared["provenance"].sources, bare))
    )
    if found is not None:
        shared["warnings"] = (*shared["warnings"], *remarks(found.specials))
    return MantissaCharacterization(
        **shared,
        table=table,
        metrics=float_metrics(table),
        rounding=table_rounding(table),
        decomposition=found,
    )


def _plan(design: Design) -> decomposition.Plan:
    form = design.interface.format
    assert form is not None
    return decomposition.plan(form)


def _takes_part(design: Design) -> bool:
    form = design.interface.format
    return form is not None and form.part is not FloatPart.NUMBER


def _takes_number(design: Design) -> bool:
    form = design.interface.format
    return form is not None and form.part is FloatPart.NUMBER and form.tabulable


def _pairs_of_number(design: Design) -> int:
    return len(_plan(design).pairs)


MANTISSA = Kind("mantissa", _takes_part, measure, conclude_part, MAX_DESIGNS, operand_pairs)
NUMBER = Kind("number", _takes_number, measure_number, conclude_number, 1, _pairs_of_number)
