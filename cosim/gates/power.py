"""Energy per operation and power of a netlist, from toggles and the cell library's energies.

A clocked netlist is charged for all that toggles in the clock cycles of an operation, the clock's
own net, its buffers and the clock pins of the flip-flops included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from .activity import count_toggles
from .sequential_activity import count_clocked_toggles
from .stimulus import uniform_stimulus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..interface import Interface, Latency
    from .netlist import Netlist
    from .stimulus import Stimulus

DEFAULT_CLOCK_MHZ = 1000.0
DEFAULT_SLEW_PS = 50.0


@dataclass(frozen=True, slots=True)
class PowerEstimate:
    """What a netlist consumes for one stream of operand pairs.

    Attributes:
        energy_zero_delay_fj: mean energy of an operation, counting changes of settled values.
        energy_glitch_aware_fj: the same with all gates of unit delay, glitches included.
        leakage_nw: static power; None where the library does not state it.
        power_zero_delay_uw: ``energy_zero_delay_fj`` once an operation, plus the leakage.
        power_glitch_aware_uw: ``energy_glitch_aware_fj`` once an operation, plus the leakage.
        clock_mhz: the clock.
        cycles: clock cycles of an operation; 1 for a combinational netlist and for a pipeline.
        voltage_v: supply voltage of the library.
        slew_ps: assumed input slew of every gate, for the internal energies.
        wire_capacitance_ff: assumed wire capacitance for each driven pin.
        output_load_ff: assumed load on each output bit.
        method: how the figures were made.
        stimulus: what the operands were.
        seed: seed of the operands; None for a recorded stream.
        pairs: how many operand pairs.
        library: name of the cell library.
        library_sha256: hash of its Liberty file.
    """

    energy_zero_delay_fj: float
    energy_glitch_aware_fj: float
    leakage_nw: float | None
    power_zero_delay_uw: float
    power_glitch_aware_uw: float
    clock_mhz: float
    voltage_v: float
    slew_ps: float
    wire_capacitance_ff: float
    output_load_ff: float
    method: str
    stimulus: str
    seed: int | None
    pairs: int
    library: str
    library_sha256: str
    cycles: int = 1


def estimate_power(
    netlist: Netlist,
    interface: Interface,
    stimulus: Stimulus | None = None,
    *,
    latency: Latency | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    slew_ps: float = DEFAULT_SLEW_PS,
) -> PowerEstimate:
    """Estimate energy and power.

    Args:
        netlist: the mapped netlist.
        interface: which ports are a, b and out.
        stimulus: the operand pairs; by default 65,536 uniform random ones, seed 0.
        latency: how operations follow each other; for a clocked netlist.
        clock_mhz: clock cycles per microsecond; it scales the power, not the energy.
        slew_ps: input slew at which internal energies are looked up.

    Raises:
        DesignError: the netlist's ports differ from the interface's, or a flip-flop takes
            another clock.
        ConfigError: the netlist is clocked and there is no latency.
    """
    stimulus = stimulus or uniform_stimulus(interface)
    if interface.clocking is None:
        activity, cycles = count_toggles(netlist, interface, stimulus), 1
    elif latency is not None:
        activity = count_clocked_toggles(netlist, interface, latency, stimulus)
        cycles = latency.interval_cycles
    else:
        raise ConfigError(
            f"{interface.module} is clocked: its energy depends on its latency",
            expected="the latency that simulation measures",
        )
    energies = toggle_energies(netlist, slew_ps=slew_ps)
    zero = float(activity.zero_delay @ energies) / activity.transitions
    unit = float(activity.unit_delay @ energies) / activity.transitions
    leakage = netlist.leakage_nw
    return PowerEstimate(
        energy_zero_delay_fj=zero,
        energy_glitch_aware_fj=unit,
        leakage_nw=leakage,
        power_zero_delay_uw=_power_uw(zero, clock_mhz / cycles, leakage),
        power_glitch_aware_uw=_power_uw(unit, clock_mhz / cycles, leakage),
        clock_mhz=clock_mhz,
        voltage_v=netlist.library.voltage_v,
        slew_ps=slew_ps,
        wire_capacitance_ff=netlist.wire_capacitance_ff,
        output_load_ff=netlist.output_load_ff,
        method=_method(netlist),
        stimulus=stimulus.description,
        seed=stimulus.seed,
        pairs=stimulus.pairs,
        library=netlist.library.name,
        library_sha256=netlist.library.sha256,
        cycles=cycles,
    )


def toggle_energies(netlist: Netlist, *, slew_ps: float = DEFAULT_SLEW_PS) -> NDArray[np.float64]:
    """Return the energy of one toggle of each net.

    It is C V^2 / 2 for the capacitance C on the net (a rise takes C V^2 from the supply, half of
    it is lost then and half at the fall), plus the internal energy of the driving cell's output
    at this load, plus the internal energies of the driven input pins.

    Returns:
        float64 [nets], in fJ. Nets of input ports count with their load alone, as if driven by a
        cell without internal energy.
    """
    voltage = netlist.library.voltage_v
    energies = np.array([0.5 * load * voltage**2 for load in netlist.loads_ff])
    for stage in netlist.stages:
        if stage.output.energy_fj is not None:
            load = netlist.loads_ff[stage.net]
            energies[stage.net] += stage.output.energy_fj.at(slew_ps, load)
    for instance in netlist.instances:
        for pin, net in zip(instance.cell.inputs, instance.inputs, strict=True):
            if pin.energy_fj is not None:
                energies[net] += pin.energy_fj.at(slew_ps, 0.0)
    return energies


def _power_uw(energy_fj: float, operations_mhz: float, leakage_nw: float | None) -> float:
    # fJ * MHz = nW
    return (energy_fj * operations_mhz + (leakage_nw or 0.0)) * 1e-3


def _method(netlist: Netlist) -> str:
    parts = ["toggles of the mapped netlist, from the cells' functions, times C V^2 / 2"]
    cells = {instance.cell.name: instance.cell for instance in netlist.instances}
    silent = [
        name for name, cell in cells.items() if all(pin.energy_fj is None for pin in cell.outputs)
    ]
    if len(silent) < len(cells):
        parts.append("plus the library's internal energies")
    if silent:
        parts.append(f"without internal energies, which the library lacks, of {len(silent)} cells")
    if netlist.registers:
        parts.append("plus the clock's two edges a cycle at its nets and at every clock pin")
        unstated = _without_clock_energy(netlist)
        if unstated:
            parts.append(f"without internal energies of the clock pins of {unstated} cells")
    if netlist.leakage_nw is None:
        parts.append("without leakage, which the library does not state")
    return ", ".join(parts)


def _without_clock_energy(netlist: Netlist) -> int:
    """Return the number of kinds of flip-flops whose clock pin has no internal energy."""
    kinds = {one.cell.name: one.cell for one in netlist.registers}
    return sum(
        pin.energy_fj is None
        for cell in kinds.values()
        for pin in cell.inputs
        if cell.register is not None and pin.name == cell.register.clock
    )
