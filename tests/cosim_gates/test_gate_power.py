"""Toggles, energy and power: by hand, against a one-bit simulator, and how they must scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.cosim.gates import activity
from rtlgrad.cosim.gates.activity import count_toggles
from rtlgrad.cosim.gates.power import estimate_power, toggle_energies
from rtlgrad.cosim.gates.stimulus import (
    histogram_stimulus,
    recorded_stimulus,
    uniform_stimulus,
)

from .conftest import WITH_ADDERS, interface
from .random_netlists import OPERANDS, circuits, toggles_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlgrad.cosim.gates.netlist import Netlist

    from .conftest import Mapped

SIDES = interface(1, 1, 2)


@pytest.fixture
def hazard(build: Callable[..., Netlist]) -> Netlist:
    """o[0] = a AND NOT a, which is 0 but for a pulse at each rise of a; o[1] = NOT b."""
    cells = [
        ("INV", {"A": 2, "Y": 4}),
        ("AND", {"A": 2, "B": 4, "Y": 5}),
        ("INV", {"A": 3, "Y": 6}),
    ]
    return build({"a": [2], "b": [3]}, {"o": [5, 6]}, cells, output_load_ff=1.0)


def stream(a: list[int], b: list[int]) -> Any:
    return recorded_stimulus(SIDES, np.array(a), np.array(b))


def test_toggles_of_a_hazard_by_hand(hazard: Netlist) -> None:
    counts = count_toggles(hazard, SIDES, stream([0, 1, 0, 1], [0, 0, 0, 1]))
    (a,), (b,), (y, nb) = hazard.inputs["a"], hazard.inputs["b"], hazard.outputs["o"]
    na = next(stage.net for stage in hazard.stages if stage.pins == {"A": a})
    nets = [a, na, y, b, nb]
    assert counts.transitions == 3
    assert counts.zero_delay[nets].tolist() == [3, 3, 0, 1, 1]
    assert counts.unit_delay[nets].tolist() == [3, 3, 4, 1, 1], "two pulses on y"


def test_energy_and_power_of_a_hazard_by_hand(hazard: Netlist) -> None:
    result = estimate_power(hazard, SIDES, stream([0, 1, 0, 1], [0, 0, 0, 1]), clock_mhz=500)
    # C V^2 / 2 is 2 fJ/fF at 2 V. Per toggle: a 7 fF and 0.3 fJ in the AND's input A; NOT a 6 fF
    # and 4 fJ in its inverter; b 3 fF; NOT b 1 fF and 4 fJ; y 1 fF.
    zero = 3 * (14 + 0.3) + 3 * (12 + 4) + (6 + 0) + (2 + 4)
    assert result.energy_zero_delay_fj == pytest.approx(zero / 3)
    assert result.energy_glitch_aware_fj == pytest.approx((zero + 4 * 2) / 3)
    assert result.leakage_nw == pytest.approx(1 + 2 + 1)
    assert result.power_zero_delay_uw == pytest.approx(zero / 3 * 0.5 + 0.004)
    assert (result.pairs, result.seed, result.clock_mhz) == (4, None, 500)
    assert "without internal energies" in result.method


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    circuits(), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=90)
)
def test_toggles_equal_a_simulation_of_single_bits(
    build: Callable[..., Netlist], circuit: tuple[Any, list[Any]], pairs: list[tuple[int, int]]
) -> None:
    netlist = build(OPERANDS, {"o": circuit[1]}, circuit[0])
    sides = interface(2, 2, 3)
    a, b = (np.array(codes) for codes in zip(*pairs, strict=True))
    counts = count_toggles(netlist, sides, recorded_stimulus(sides, a, b))
    zero, unit = toggles_by_hand(netlist, pairs)
    assert counts.zero_delay.tolist() == zero
    assert counts.unit_delay.tolist() == unit


def test_blocks_lose_no_transition(
    mapped: dict[str, Mapped], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = mapped["mul4u_kulkarni"]
    stimulus = uniform_stimulus(item.design.interface, pairs=1000)
    whole = count_toggles(item.netlist, item.design.interface, stimulus)
    monkeypatch.setattr(activity, "BLOCK", 100)
    parts = count_toggles(item.netlist, item.design.interface, stimulus)
    assert np.array_equal(whole.zero_delay, parts.zero_delay)
    assert np.array_equal(whole.unit_delay, parts.unit_delay)


@pytest.mark.parametrize("name", ["mul8u_mitchell", "mul8s_exact", WITH_ADDERS])
def test_laws_of_activity_on_real_designs(mapped: dict[str, Mapped], name: str) -> None:
    netlist, sides = mapped[name].netlist, mapped[name].design.interface
    stimulus = uniform_stimulus(sides, pairs=2000)
    counts = count_toggles(netlist, sides, stimulus)
    # Every change that stays is one that happened; glitches come in pairs.
    extra = counts.unit_delay - counts.zero_delay
    assert (extra >= 0).all()
    assert (extra % 2 == 0).all()
    assert extra.sum() > 0
    inputs = [net for nets in netlist.inputs.values() for net in nets]
    assert (extra[inputs] == 0).all()
    # Backwards in time the settled values change as often.
    back = recorded_stimulus(sides, stimulus.a[::-1], stimulus.b[::-1])
    assert np.array_equal(count_toggles(netlist, sides, back).zero_delay, counts.zero_delay)
    # Every pair twice: as many changes, spread over about twice the operations.
    twice = recorded_stimulus(sides, stimulus.a.repeat(2), stimulus.b.repeat(2))
    assert np.array_equal(count_toggles(netlist, sides, twice).unit_delay, counts.unit_delay)
    constant = recorded_stimulus(sides, np.full(500, 77), np.full(500, 200))
    still = count_toggles(netlist, sides, constant)
    assert not still.zero_delay.any()
    assert not still.unit_delay.any()


def test_energy_scales_with_the_square_of_the_voltage(hazard: Netlist) -> None:
    silent = tuple(
        replace(
            cell,
            inputs=tuple(replace(pin, energy_fj=None) for pin in cell.inputs),
            outputs=tuple(replace(pin, energy_fj=None) for pin in cell.outputs),
        )
        for cell in hazard.library.cells
    )
    by_name = {cell.name: cell for cell in silent}
    instances = tuple(replace(i, cell=by_name[i.cell.name]) for i in hazard.instances)
    low = replace(hazard, instances=instances, library=replace(hazard.library, voltage_v=1.0))
    high = replace(low, library=replace(hazard.library, voltage_v=3.0))
    assert toggle_energies(high) == pytest.approx(9 * toggle_energies(low))
    assert toggle_energies(low).sum() == pytest.approx(0.5 * sum(low.loads_ff))


def test_wires_add_their_capacitance(mapped: dict[str, Mapped]) -> None:
    item = mapped["mul8u_exact"]
    loaded = replace(item.netlist, wire_capacitance_ff=1.0)
    pins = sum(len(instance.inputs) for instance in item.netlist.instances)
    constants = sum(net < 2 for instance in item.netlist.instances for net in instance.inputs)
    extra = toggle_energies(loaded).sum() - toggle_energies(item.netlist).sum()
    # The shipped library's internal energies do not depend on the load.
    assert extra == pytest.approx((pins - constants) * 0.5 * 1.1**2)


def test_the_clock_scales_the_dynamic_part_alone(mapped: dict[str, Mapped]) -> None:
    item = mapped["mul7u_trunc5"]
    stimulus = uniform_stimulus(item.design.interface, pairs=500)
    slow, fast = (
        estimate_power(item.netlist, item.design.interface, stimulus, clock_mhz=clock)
        for clock in (100.0, 300.0)
    )
    assert slow.energy_zero_delay_fj == fast.energy_zero_delay_fj
    assert slow.leakage_nw is not None
    leakage = slow.leakage_nw / 1e3
    assert fast.power_zero_delay_uw - leakage == pytest.approx(
        3 * (slow.power_zero_delay_uw - leakage)
    )


def test_truncation_and_quiet_operands_save_energy(mapped: dict[str, Mapped]) -> None:
    item = mapped["mul8u_exact"]
    sides = item.design.interface
    random = estimate_power(item.netlist, sides)
    assert (random.pairs, random.seed) == (65_536, 0)
    quiet = uniform_stimulus(sides)
    small = recorded_stimulus(sides, quiet.a & 15, quiet.b & 15)
    assert (
        estimate_power(item.netlist, sides, small).energy_zero_delay_fj
        < 0.5 * random.energy_zero_delay_fj
    )
    again = estimate_power(item.netlist, sides, uniform_stimulus(sides, seed=1))
    assert again.energy_glitch_aware_fj == pytest.approx(random.energy_glitch_aware_fj, rel=0.01)


def test_a_flat_histogram_is_the_uniform_stimulus_in_distribution(
    mapped: dict[str, Mapped],
) -> None:
    item = mapped["mul4u_kulkarni"]
    sides = item.design.interface
    drawn = histogram_stimulus(sides, np.ones((16, 16)))
    got = estimate_power(item.netlist, sides, drawn).energy_zero_delay_fj
    assert got == pytest.approx(estimate_power(item.netlist, sides).energy_zero_delay_fj, rel=0.02)


def test_a_histogram_draws_only_what_it_holds_and_in_proportion() -> None:
    sides = interface(3, 2, 5)
    weights = np.zeros((8, 4))
    weights[6, 1], weights[0, 3] = 3, 1
    drawn = histogram_stimulus(sides, weights, pairs=20_000, seed=5)
    assert set(zip(drawn.a.tolist(), drawn.b.tolist(), strict=True)) == {(6, 1), (0, 3)}
    assert np.mean(drawn.a == 6) == pytest.approx(0.75, abs=0.02)
    same = histogram_stimulus(sides, 10 * weights, pairs=20_000, seed=5)
    assert np.array_equal(same.a, drawn.a)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0, 2], [0, 1], "no codes of 1 bits"),
        ([0, -1], [0, 1], "no codes of 1 bits"),
        ([0, 1, 0], [0, 1], "differ in length"),
        ([0], [0], "needs transitions"),
        ([], [], "not a list of codes"),
        ([0.5, 1.0], [0, 1], "not a list of codes"),
    ],
)
def test_streams_that_are_no_codes_are_refused(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stream(a, b)


@pytest.mark.parametrize("weights", [np.ones((2, 3)), np.zeros((2, 2)), [[1, -1], [1, 1]]])
def test_weights_that_are_no_histogram_are_refused(weights: Any) -> None:
    with pytest.raises(ConfigError, match="joint histogram"):
        histogram_stimulus(SIDES, np.array(weights))
