"""The kind of characterization for operands too wide for a table: a sample, and estimates from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import RtlgradError
from ..cosim.float_format import FloatPart
from ..cosim.simulation.pairs import check_netlist, simulate_pairs
from ..cosim.synthesis.netlist_cost import conclude as finished
from . import sampled_float, strata
from .record import SampledCharacterization
from .sample import Sample
from .sampled_float import judge_specials, sampled_float_metrics
from .sampled_metrics import sampled_metrics
from .tabulate import description
from .work import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..cosim.cost import CellLibrary
    from ..cosim.design import Design
    from ..cosim.float_format import FloatFormat
    from ..cosim.interface import Interface
    from ..cosim.simulation.pairs import Simulated
    from ..cosim.synthesis.synthesize import Synthesis
    from ..cosim.wide import Pairs
    from .sampled_metrics import SampledMetrics
    from .work import Examined, Limits, Measured

    Codes = NDArray[np.uint64]

INTEGER_METHOD = (
    "stratified by sign and leading one of both operands, at least "
    "2 pairs a stratum and more in proportion to its size; all pairs of corners (0, 1, -1, powers of "
    "two, least and greatest value); NumPy PCG64"
)
FLOAT_METHOD = (
    f"normal operands with normal products, stratified by signs and the top 3 mantissa bits, "
    f"{sampled_float.DRAWS} pairs a stratum; NumPy PCG64"
)


def measure(batch: Sequence[Examined], proven: Collection[str], limits: Limits) -> Measured:
    """Simulate the sampled operand pairs of each design; see `rtlgrad.lutgen.work.Measure`."""
    return {
        item.design.name: measured_pairs(
            item, operand_pairs(item.design.interface), item.design.name in proven, limits
        )
        for item in batch
    }


def measured_pairs(
    item: Examined, pairs: Pairs, proven: bool, limits: Limits
) -> Simulated | RtlgradError:
    """Return what a design answers for operand pairs, or what went wrong."""
    try:
        return simulate_pairs(
            item.design,
            item.report,
            pairs,
            proven=proven,
            jobs=limits.jobs,
            time_limit_s=limits.time_limit_s,
        )
    except RtlgradError as error:
        return error


def operand_pairs(interface: Interface) -> Pairs:
    """Return the operand pairs that a design is simulated for: always the same."""
    form = interface.format
    if form is not None and form.part is FloatPart.NUMBER:
        return sampled_float.plan(form).pairs
    return strata.draw(interface)


def conclude(
    examined: Examined, simulated: Simulated, synthesis: Synthesis, library: CellLibrary
) -> SampledCharacterization:
    """Compare the netlist with the simulation, and make the characterization.

    Args:
        examined: the design.
        simulated: what it answers for `operand_pairs`.
        synthesis: the design's cost, and its netlist.
        library: the cells that cost was estimated with.

    Raises:
        RtlgradError: netlist and simulation disagree, or the design is no multiplier of the format
            that its sidecar names.
    """
    design = examined.design
    pairs = operand_pairs(design.interface)
    synthesis = finished(synthesis, simulated.latency)
    compared = netlist_pairs(synthesis, design.interface, pairs, simulated)
    form = design.interface.format
    shared = description(design, examined.report, synthesis.cost, library)
    metrics: Any
    if form is not None and form.part is FloatPart.NUMBER:
        sample, metrics = _float_figures(design, form, simulated.codes)
    else:
        sample, metrics = _integer_figures(design.interface, pairs, simulated.codes)
    return SampledCharacterization(
        **shared,
        sample=sample,
        metrics=metrics,
        netlist_pairs=compared,
        latency=simulated.latency,
    )


def netlist_pairs(
    synthesis: Synthesis, interface: Interface, pairs: Pairs, simulated: Simulated
) -> int:
    """Compare a netlist, if there is one, with the simulation; return for how many pairs."""
    if synthesis.netlist is None:
        return 0
    return check_netlist(synthesis.netlist, interface, pairs, simulated)


def _integer_figures(
    interface: Interface, pairs: Pairs, codes: Codes
) -> tuple[Sample, SampledMetrics]:
    sample = Sample(pairs.a, pairs.b, codes, strata.DEFAULT_SEED, INTEGER_METHOD)
    return sample, sampled_metrics(sample, interface)


def _float_figures(design: Design, form: FloatFormat, codes: Codes) -> tuple[Sample, Any]:
    made = sampled_float.plan(form)
    count = len(made.sample)
    sample = Sample(
        made.sample.a, made.sample.b, codes[:count], sampled_float.DEFAULT_SEED, FLOAT_METHOD
    )
    specials = judge_specials(made, codes[count:, 0], form)
    return sample, sampled_float_metrics(sample, specials, form, design.name)


def _takes(design: Design) -> bool:
    form = design.interface.format
    wide_float = form is not None and not form.tabulable
    return wide_float or (form is None and not design.interface.tabulable)


def _weight(design: Design) -> int:
    return len(operand_pairs(design.interface))


SAMPLE = Kind("sample", _takes, measure, conclude, 1, _weight)
