"""Flip-flops of a library, by hand: functions, energies, setup times, and the clock's way to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rtlgrad.core.errors import ConfigError, DesignError
from rtlgrad.cosim.gates.functions import truth_table
from rtlgrad.cosim.gates.liberty import read_library
from rtlgrad.cosim.gates.power import estimate_power, toggle_energies
from rtlgrad.cosim.gates.sequential import make_machine
from rtlgrad.cosim.gates.sequential_activity import count_clocked_toggles
from rtlgrad.cosim.gates.sequential_codes import sequential_codes
from rtlgrad.cosim.gates.stimulus import recorded_stimulus
from rtlgrad.cosim.gates.timing import analyse_timing
from rtlgrad.cosim.interface import Clocking, ControlInput

from .clocked_designs import pipelined
from .conftest import interface

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rtlgrad.cosim.gates.library import Library
    from rtlgrad.cosim.gates.netlist import Netlist

CLOCKING = Clocking("c", falling=True, reset=ControlInput("r", active_low=True))
SIDES = replace(interface(1, 1, 1), clocking=CLOCKING)


def test_a_flip_flop_is_what_its_group_says(small: Library, small_file: Path) -> None:
    (cell,) = small.registers
    register = cell.register
    assert register is not None
    assert (register.clock, register.falling, register.state) == ("C", True, "IQ")
    # D IQN' + E is D IQ + E.
    table = truth_table(register.next_state, ("D", "IQ", "E"))
    assert table == (False, False, False, True, True, True, True, True)
    assert register.clear is not None
    assert truth_table(register.clear, ("R",)) == (True, False)
    assert register.preset is None
    q, qn = cell.outputs
    assert truth_table(q.function, ("IQ",)) == (False, True)
    assert truth_table(qn.function, ("IQ",)) == (True, False)
    assert read_library(small_file).registers == small.registers, "from the cache"


def test_energies_setup_times_and_delays_are_those_of_the_clock(small: Library) -> None:
    (cell,) = small.registers
    register = cell.register
    assert register is not None
    energies = {pin.name: pin.energy_fj for pin in (*cell.inputs, *cell.outputs)}
    clock, q = energies["C"], energies["Q"]
    assert clock is not None
    assert clock.at(0, 0) == pytest.approx((1 + 3) / 2 / 2), "Q is high half the time"
    assert q is not None
    assert q.at(0, 0) == pytest.approx(5), "not what a reset takes"
    (setup,) = register.setups
    assert setup.pin == "D"
    # At the sharpest clock edge, over the slew of the data.
    assert [setup.rise_ps.at(slew, 0) for slew in (0, 5, 10, 90)] == [4, 5, 6, 6]
    assert setup.fall_ps.at(5, 0) == 2.5
    assert [arc.pin for pin in cell.outputs for arc in pin.arcs] == ["C", "C"]


@pytest.fixture
def toggler(build: Callable[..., Netlist]) -> Netlist:
    """A flip-flop with D = a, E = NOT a AND b behind an inverter on the clock; o = NOT state."""
    cells: list[tuple[str, dict[str, Any]]] = [
        ("INV", {"A": 2, "Y": 7}),
        ("AND", {"A": 7, "B": 3, "Y": 8}),
        ("DFF", {"D": 2, "E": 8, "R": 5, "C": 4, "Q": 9, "QN": 10}),
    ]
    ports = {"a": [2], "b": [3], "c": [4], "r": [5]}
    return build(ports, {"o": [10]}, cells)


def test_paths_of_a_clocked_netlist_by_hand(toggler: Netlist) -> None:
    timing = analyse_timing(toggler, CLOCKING)
    assert timing is not None
    # NOT a drives 4 fF of the AND: it rises in 10 + 0.4 * 30 = 22 ps, the AND in 30 more. E has
    # no setup time; D, which is there at once, 4 ps. The state's output falls in 80.
    assert timing.parts_ps == {
        "input to register": pytest.approx(22 + 30),
        "register to output": pytest.approx(80),
    }
    assert timing.delay_ps == pytest.approx(80)


def test_energy_by_hand(toggler: Netlist) -> None:
    a, b = np.array([0, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 1, 1])
    stimulus = recorded_stimulus(SIDES, a, b)
    counts = count_clocked_toggles(toggler, SIDES, pipelined(1), stimulus)
    ((a_net,), (b_net,), (c_net,)) = (toggler.inputs[name] for name in "abc")
    # The state is 0 until b is 1 while a is 0, at the last pair but one; it is taken an edge later.
    q, qn = toggler.registers[0].outputs
    assert q is not None
    assert qn is not None
    assert counts.transitions == 5
    assert counts.zero_delay[[a_net, b_net, c_net, q, qn]].tolist() == [2, 1, 10, 1, 1]
    energies = toggle_energies(toggler)
    # C V^2 / 2 is 2 fJ/fF at 2 V: the clock pin has 2 fF and 1 fJ, and Q 5 fJ.
    assert energies[c_net] == pytest.approx(4 + 1)
    assert energies[q] == pytest.approx(5)
    power = estimate_power(toggler, SIDES, stimulus, latency=pipelined(1))
    assert power.energy_zero_delay_fj == pytest.approx(counts.zero_delay @ energies / 5)
    assert "two edges a cycle" in power.method
    with pytest.raises(ConfigError, match="depends on its latency"):
        estimate_power(toggler, SIDES, stimulus)


def test_the_energy_of_an_operation_is_spent_over_its_cycles(toggler: Netlist) -> None:
    still = recorded_stimulus(SIDES, np.zeros(50, int), np.zeros(50, int))
    once = estimate_power(toggler, SIDES, still, latency=pipelined(1))
    slow = estimate_power(
        toggler, SIDES, still, latency=replace(pipelined(1), style="held", interval_cycles=4)
    )
    assert slow.cycles == 4
    assert slow.energy_zero_delay_fj == pytest.approx(4 * once.energy_zero_delay_fj) == 40
    assert slow.power_zero_delay_uw == pytest.approx(once.power_zero_delay_uw)


def test_a_state_that_keeps_itself_depends_on_the_past(toggler: Netlist) -> None:
    # With a = 1, b = 0 the flip-flop keeps what it holds.
    with pytest.raises(DesignError, match=r"a=1 b=0"):
        sequential_codes(toggler, SIDES, pipelined(1))


def test_the_clock_may_go_through_inverters_and_nothing_else(build: Callable[..., Netlist]) -> None:
    flip_flop = {"D": 2, "E": 3, "R": 5, "Q": 9}
    ports = {"a": [2], "b": [3], "c": [4], "r": [5]}
    twice = [("INV", {"A": 4, "Y": 6}), ("INV", {"A": 6, "Y": 7}), ("DFF", flip_flop | {"C": 7})]
    netlist = build(ports, {"o": [9]}, twice)
    assert len(make_machine(netlist, SIDES).clock) == 3
    rising = replace(SIDES, clocking=replace(CLOCKING, falling=False))
    with pytest.raises(DesignError, match="takes another clock"):
        make_machine(netlist, rising)
    once = [("INV", {"A": 4, "Y": 6}), ("DFF", flip_flop | {"C": 6})]
    assert make_machine(build(ports, {"o": [9]}, once), rising).clock
    gated = [("AND", {"A": 4, "B": 2, "Y": 6}), ("DFF", flip_flop | {"C": 6})]
    with pytest.raises(DesignError, match="used as data"):
        make_machine(build(ports, {"o": [9]}, gated), SIDES)
    data = [("DFF", flip_flop | {"D": 4, "C": 4})]
    with pytest.raises(DesignError, match="used as data"):
        make_machine(build(ports, {"o": [9]}, data), SIDES)
    with pytest.raises(DesignError, match="used as data"):
        make_machine(build(ports, {"o": [4]}, [("DFF", flip_flop | {"C": 4})]), SIDES)
