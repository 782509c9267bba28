"""What synthesis hands on: a design's cost and codes, measured on the mapped netlist.

A clocked design's area and least clock period are known at once; its energy and its codes take the
latency, which simulation measures: see :meth:`Synthesis.finish`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..cost import CellLibrary, Cost
from ..gates.evaluate import netlist_codes
from ..gates.power import estimate_power
from ..gates.sequential_codes import sequential_codes
from ..programs.tools import package_version
from .mapping import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..gates.netlist import Netlist
    from ..gates.power import PowerEstimate
    from ..gates.stimulus import Stimulus
    from ..gates.timing import Timing
    from ..interface import Interface, Latency
    from .mapping import Mapping

POWER_FIGURES = ("power_uw", "power_glitch_aware_uw", "energy_fj", "energy_glitch_aware_fj")
FIGURES = ("area_um2", "delay_ps", "leakage_nw", *POWER_FIGURES)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What it takes to finish a clocked design's synthesis.

    Attributes:
        netlist: the mapped netlist.
        interface: its ports.
        stimulus: operand stream of the cost's power figures; None for the default.
        stimuli: further operand streams.
    """

    netlist: Netlist
    interface: Interface
    stimulus: Stimulus | None
    stimuli: tuple[Stimulus, ...]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What synthesis found out about a design that it did not refuse.

    Attributes:
        cost: area, delay and power; None with the reason where they could not be had.
        proven: whether it was proven that the design keeps no state and that no output bit is X
            for any operands. Not so if Yosys cannot read the text, or the solver gave up. Of a
            clocked design: that it keeps no state but in registers on its clock, and that no
            output bit and none that a register takes next is X, for any operands and controls
            and any 0 and 1 in the registers.
        codes: output codes of the mapped netlist for all operand codes, uint64 [2^wa, 2^wb];
            None if there is no mapped netlist, if operands are too wide for that, or as long as
            the latency is missing.
        netlist: the mapped netlist, if there is one and operands are too wide for ``codes``: it
            can be evaluated for a stream of operands.
        powers: what it consumes under each of the further stimuli that were asked for; empty if
            there is no mapped netlist, or as long as the latency is missing.
        unfinished: what :meth:`finish` needs; None where nothing is left to do.
    """

    cost: Cost
    proven: bool
    codes: NDArray[np.uint64] | None = None
    netlist: Netlist | None = None
    powers: tuple[PowerEstimate, ...] = ()
    unfinished: Unfinished | None = None

    def finish(self, latency: Latency) -> Synthesis:
        """Return a clocked design's synthesis with power and codes.

        Args:
            latency: when the product appears, as measured in simulation.

        Raises:
            DesignError: a product depends on what was before it.
            SimulationError: done does not come within the latency.
        """
        todo = self.unfinished
        if todo is None:
            return self
        interface = todo.interface
        codes = None
        if interface.tabulable:
            codes = sequential_codes(todo.netlist, interface, latency)
        power, *powers = (
            estimate_power(todo.netlist, interface, stimulus, latency=latency)
            for stimulus in (todo.stimulus, *todo.stimuli)
        )
        return Synthesis(
            with_power(self.cost, power),
            self.proven,
            codes,
            None if interface.tabulable else todo.netlist,
            tuple(powers),
        )


def conclude(synthesis: Synthesis, latency: Latency | None) -> Synthesis:
    """Finish a synthesis, once simulation is over; of a combinational design it stays as it is.

    Args:
        synthesis: what synthesis returned.
        latency: what simulation measured; None for a combinational design.

    Raises:
        DesignError, SimulationError: as :meth:`Synthesis.finish`.
    """
    return synthesis if latency is None else synthesis.finish(latency)


def method() -> str:
    """Name the tools that the figures come from."""
    return (
        f"Yosys (pyosys {package_version('pyosys') or 'absent'}) synth with full adders, ABC by "
        f"{len(SCRIPTS)} scripts, least area x delay kept; delay: static timing of the mapped netlist"
    )


def no_cost(library: CellLibrary, reason: str) -> Cost:
    """Return a cost without figures.

    Args:
        library: the library that was to be used.
        reason: why there are none.
    """
    absent = dict.fromkeys(FIGURES, reason)
    return Cost(None, None, None, {}, library.name, library.sha256, method(), absent)


def measure_netlist(
    mapping: Mapping,
    interface: Interface,
    library: CellLibrary,
    *,
    proven: bool,
    stimulus: Stimulus | None = None,
    stimuli: Sequence[Stimulus] = (),
) -> Synthesis:
    """Measure a mapped netlist, and evaluate a combinational one for all operands.

    Args:
        mapping: the netlist and its timing.
        interface: its ports.
        library: the library that it was mapped onto.
        proven: what the result is to say about it.
        stimulus: operand stream of the cost's power figures; uniform random operands if None.
        stimuli: further operand streams to estimate power for.

    Raises:
        DesignError: the ports are not those of the interface, or the clock is gated.
    """
    netlist = mapping.netlist
    cost = _static_cost(mapping, interface, library)
    # A copy of its own, without what was computed from it.
    own = replace(netlist)
    if interface.clocking is not None:
        left = Unfinished(own, interface, stimulus, tuple(stimuli))
        return Synthesis(cost, proven, unfinished=left)
    cost = with_power(cost, estimate_power(netlist, interface, stimulus))
    powers = tuple(estimate_power(netlist, interface, one) for one in stimuli)
    if not interface.tabulable:
        return Synthesis(cost, proven, netlist=own, powers=powers)
    return Synthesis(cost, proven, netlist_codes(netlist, interface), powers=powers)


def with_power(cost: Cost, power: PowerEstimate) -> Cost:
    """Return a cost with the figures of a power estimate."""
    rate = "" if power.cycles == 1 else f", an operation every {power.cycles} clock cycles"
    return replace(
        cost,
        power_uw=power.power_zero_delay_uw,
        power_glitch_aware_uw=power.power_glitch_aware_uw,
        energy_fj=power.energy_zero_delay_fj,
        energy_glitch_aware_fj=power.energy_glitch_aware_fj,
        clock_mhz=power.clock_mhz,
        stimulus=f"{power.stimulus}, {power.pairs} pairs, seed {power.seed}{rate}",
        method=f"{cost.method}; power: {power.method}, at {power.voltage_v:g} V",
        absent={key: why for key, why in cost.absent.items() if key not in POWER_FIGURES},
    )


def _static_cost(mapping: Mapping, interface: Interface, library: CellLibrary) -> Cost:
    """Return the cost without power."""
    netlist, timing = mapping.netlist, mapping.timing
    absent = dict.fromkeys(POWER_FIGURES, "the latency of the clocked design is not known")
    if timing is None:
        absent["delay_ps"] = "the library states no delays"
    area = netlist.area_um2 if netlist.area_um2 or not netlist.instances else None
    if area is None:
        absent["area_um2"] = "the library states no areas"
    if netlist.leakage_nw is None:
        absent["leakage_nw"] = "the library states no leakage"
    counts = Counter(instance.cell.name for instance in netlist.instances)
    return Cost(
        area_um2=area,
        delay_ps=None if timing is None else timing.delay_ps,
        power_uw=None,
        cells=dict(sorted(counts.items())),
        library=library.name,
        library_sha256=library.sha256,
        method=method() + (_clocked_method(timing) if interface.clocking else ""),
        absent=absent,
        leakage_nw=netlist.leakage_nw,
        script=mapping.script,
        paths_ps={} if timing is None else dict(sorted(timing.parts_ps.items())),
    )


def _clocked_method(timing: Timing | None) -> str:
    evaluated = "netlist evaluated from flip-flops that hold 0 at power-up, and that hold 1"
    if timing is None:
        return f"; {evaluated}"
    setup = "with setup times" if timing.setup_stated else "without setup times that are not stated"
    return f", least clock period of an ideal clock, {setup}; {evaluated}"
