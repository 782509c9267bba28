"""Toggles of clocked netlists: against their core, one lane against many, and how they must scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import DesignError
from rtlgrad.cosim.cost import cell_library
from rtlgrad.cosim.gates import sequential_activity
from rtlgrad.cosim.gates.activity import count_toggles
from rtlgrad.cosim.gates.power import estimate_power
from rtlgrad.cosim.gates.sequential_activity import count_clocked_toggles
from rtlgrad.cosim.gates.stimulus import recorded_stimulus, uniform_stimulus
from rtlgrad.cosim.synthesis.synthesize import synthesize

from .clocked_designs import ALL, CORE, DEEP, HANDSHAKE, PIPE, SERIAL

if TYPE_CHECKING:
    from pathlib import Path

    from rtlgrad.cosim.gates.library import Library
    from rtlgrad.cosim.gates.netlist import Netlist


@pytest.fixture(autouse=True)
def _own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def netlists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Netlist]:
    folder = tmp_path_factory.mktemp("power")
    found = {}
    for name in ("pipe", "deep", "handshake", "serial"):
        unfinished = synthesize(ALL[name].design(folder), cell_library()).unfinished
        assert unfinished is not None
        found[name] = unfinished.netlist
    return found


def core_of(netlist: Netlist) -> Netlist:
    """Cut the flip-flops of the pipeline out: their outputs become operands a and b."""
    ports: dict[str, list[int]] = {"a": [], "b": []}
    bits = {net: name for name in ports for net in netlist.inputs[name]}
    order = {net: k for name in ports for k, net in enumerate(netlist.inputs[name])}
    taken: dict[str, dict[int, int]] = {"a": {}, "b": {}}
    last: dict[int, int] = {}
    for one in netlist.registers:
        data, out = one.pins["D"], one.outputs[0]
        assert out is not None
        if data in bits:
            taken[bits[data]][order[data]] = out
        else:
            last[netlist.outputs["o"].index(out)] = data
    spare = netlist.inputs["b"][0]  # the core does not read b[0]
    return replace(
        netlist,
        inputs={name: tuple(nets.get(k, spare) for k in range(4)) for name, nets in taken.items()},
        outputs={"o": tuple(last[k] for k in range(8))},
        instances=tuple(one for one in netlist.instances if one.cell.register is None),
    )


def test_a_pipeline_s_core_toggles_as_the_core_alone(netlists: dict[str, Netlist]) -> None:
    netlist = netlists["pipe"]
    stimulus = uniform_stimulus(PIPE.interface(), pairs=3000)
    whole = count_clocked_toggles(netlist, PIPE.interface(), PIPE.latency, stimulus)
    # While the last operands are applied, the core works on those before.
    before = recorded_stimulus(CORE.interface(), stimulus.a[:-1], stimulus.b[:-1])
    core = core_of(netlist)
    alone = count_toggles(core, CORE.interface(), before)
    nets = [stage.net for stage in core.stages]
    assert np.array_equal(whole.zero_delay[nets], alone.zero_delay[nets])
    assert np.array_equal(whole.unit_delay[nets], alone.unit_delay[nets])
    assert alone.unit_delay[nets].sum() > alone.zero_delay[nets].sum()
    (clock,) = netlist.inputs["clk"]
    assert whole.zero_delay[clock] == 2 * 2999
    with pytest.raises(DesignError, match="is clocked"):
        count_toggles(netlist, PIPE.interface(), before)


@pytest.mark.parametrize("name", ["pipe", "deep", "handshake", "serial"])
def test_the_cut_into_lanes_changes_nothing(
    netlists: dict[str, Netlist], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, netlist = ALL[name], netlists[name]
    stimulus = uniform_stimulus(item.interface(), pairs=150)
    counts = []
    for lanes in (1, 7, 1 << 14):
        monkeypatch.setattr(sequential_activity, "LANES", lanes)
        counts.append(count_clocked_toggles(netlist, item.interface(), item.latency, stimulus))
    for other in counts[1:]:
        assert np.array_equal(other.zero_delay, counts[0].zero_delay)
        assert np.array_equal(other.unit_delay, counts[0].unit_delay)
    extra = counts[0].unit_delay - counts[0].zero_delay
    assert (extra >= 0).all()
    assert (extra % 2 == 0).all()
    outputs = [net for one in netlist.registers for net in one.outputs if net is not None]
    assert not extra[outputs].any(), "flip-flops do not glitch"


def test_a_reset_in_every_operation_is_charged(netlists: dict[str, Netlist]) -> None:
    stimulus = uniform_stimulus(SERIAL.interface(), pairs=200)
    counts = count_clocked_toggles(netlists["serial"], SERIAL.interface(), SERIAL.latency, stimulus)
    (reset,), (clock,) = (netlists["serial"].inputs[name] for name in ("rst_n", "clk"))
    assert counts.zero_delay[reset] == 2 * 199
    assert counts.zero_delay[clock] == 2 * 9 * 199


def test_the_start_input_pulses_once_an_operation(netlists: dict[str, Netlist]) -> None:
    netlist, sides = netlists["handshake"], HANDSHAKE.interface()
    stimulus = uniform_stimulus(sides, pairs=100)
    (start,) = netlist.inputs["go"]
    (busy,) = netlist.outputs["busy"]
    counts = count_clocked_toggles(netlist, sides, HANDSHAKE.latency, stimulus)
    assert counts.zero_delay[start] == 2 * 99
    # A slow operation's end comes in the first cycle of the next: one may be missing or left over.
    assert abs(counts.zero_delay[busy] - 2 * 99) <= 1
    held = replace(HANDSHAKE.latency, start_held=True, interval_cycles=8)
    counts = count_clocked_toggles(netlist, sides, held, stimulus)
    assert counts.zero_delay[start] == 2 * 99
    assert counts.zero_delay[busy] == 2 * 99, "no operation begins twice"


def test_deeper_pipelines_glitch_less(netlists: dict[str, Netlist]) -> None:
    shares = {}
    for name, item in (("pipe", PIPE), ("deep", DEEP)):
        power = estimate_power(netlists[name], item.interface(), latency=item.latency)
        shares[name] = power.energy_glitch_aware_fj / power.energy_zero_delay_fj
        assert (power.pairs, power.seed, power.cycles) == (65_536, 0, 1)
    assert 1 < shares["deep"] < shares["pipe"]


def test_energies_are_those_of_the_library(netlists: dict[str, Netlist]) -> None:
    netlist = netlists["pipe"]
    stimulus = uniform_stimulus(PIPE.interface(), pairs=500)
    silent = {
        cell.name: replace(
            cell,
            inputs=tuple(replace(pin, energy_fj=None) for pin in cell.inputs),
            outputs=tuple(replace(pin, energy_fj=None) for pin in cell.outputs),
        )
        for cell in (*netlist.library.cells, *netlist.library.registers)
    }
    library: Library = replace(netlist.library, voltage_v=2.2)
    instances = tuple(replace(one, cell=silent[one.cell.name]) for one in netlist.instances)
    low = replace(netlist, instances=instances)
    high = replace(low, library=library)
    one, two = (
        estimate_power(item, PIPE.interface(), stimulus, latency=PIPE.latency)
        for item in (low, high)
    )
    assert two.energy_zero_delay_fj == pytest.approx(4 * one.energy_zero_delay_fj)
    assert "clock pins of 1 cells" in one.method
