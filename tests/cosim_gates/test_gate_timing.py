"""Static timing: by hand, and against the figure that ABC reports for the same netlist."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rtlgrad.cosim.gates.timing import analyse_timing

from .conftest import MAPPED, WITH_ADDERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlgrad.cosim.gates.netlist import Netlist

    from .conftest import Mapped


def test_the_longest_path_by_hand(build: Callable[..., Netlist]) -> None:
    netlist = build(
        {"a": [2]}, {"o": [4]}, [("INV", {"A": 2, "Y": 3}), ("AND", {"A": 2, "B": 3, "Y": 4})]
    )
    timing = analyse_timing(netlist)
    assert timing is not None
    (a,), (y,) = netlist.inputs["a"], netlist.outputs["o"]
    na = netlist.instances[0].outputs[0]
    assert na is not None
    # The inverter drives 6 fF: it rises 10 + 0.6 * 30 ps after a fall, falls 5 + 0.6 * 20 ps
    # after a rise, with slews 2 + 0.6 * 10 and 1 + 0.6 * 5 ps; the AND rises in 30, falls in 20.
    rise, fall = timing.arrivals[na]
    assert rise is not None
    assert fall is not None
    assert (rise.time_ps, fall.time_ps) == (pytest.approx(28), pytest.approx(17))
    assert (rise.slew_ps, fall.slew_ps) == (pytest.approx(8), pytest.approx(4))
    assert timing.delay_ps == pytest.approx(28 + 30)
    assert timing.path == (a, na, y)


def test_a_slow_operand_edge_delays_what_it_causes(build: Callable[..., Netlist]) -> None:
    netlist = build({"a": [2]}, {"o": [3]}, [("INV", {"A": 2, "Y": 3})])
    slow = analyse_timing(netlist, input_slew_ps=50.0)
    assert slow is not None
    assert slow.delay_ps == pytest.approx(15), "halfway from 10 to 20 ps, without a load"


def test_wires_and_constants_take_no_time(build: Callable[..., Netlist]) -> None:
    timing = analyse_timing(build({"a": [2], "b": [3]}, {"o": ["0", 2]}, []))
    assert timing is not None
    assert timing.delay_ps == 0.0


def test_a_library_without_delays_gives_none(build: Callable[..., Netlist]) -> None:
    netlist = build({"a": [2], "b": [3]}, {"o": [4]}, [("HALF", {"A": 2, "B": 3, "S": 4})])
    assert analyse_timing(netlist) is None


@pytest.mark.parametrize("name", MAPPED)
def test_the_delay_equals_the_one_that_abc_reports(mapped: dict[str, Mapped], name: str) -> None:
    timing = analyse_timing(mapped[name].netlist)
    assert timing is not None
    assert timing.delay_ps == pytest.approx(mapped[name].abc_delay_ps, abs=0.02)


def test_a_path_ends_where_its_delay_does(mapped: dict[str, Mapped]) -> None:
    netlist = mapped[WITH_ADDERS].netlist
    timing = analyse_timing(netlist)
    assert timing is not None
    drivers = {stage.net: stage for stage in netlist.stages}
    times = [max(e.time_ps for e in timing.arrivals[net] if e) for net in timing.path]
    assert timing.path[0] in {net for nets in netlist.inputs.values() for net in nets}
    assert timing.path[-1] in netlist.outputs[mapped[WITH_ADDERS].design.interface.out.name]
    assert times[-1] == timing.delay_ps
    assert times == sorted(times)
    for cause, net in zip(timing.path, timing.path[1:], strict=False):
        assert cause in drivers[net].pins.values()


def test_a_load_never_makes_a_netlist_faster(mapped: dict[str, Mapped]) -> None:
    netlist = mapped["mul8u_mitchell"].netlist
    delays = []
    for wire in (0.0, 0.5, 5.0):
        timing = analyse_timing(replace(netlist, wire_capacitance_ff=wire))
        assert timing is not None
        delays.append(timing.delay_ps)
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]


def test_full_adders_are_used_and_make_a_multiplier_smaller(mapped: dict[str, Mapped]) -> None:
    with_adders, without = mapped[WITH_ADDERS].netlist, mapped["mul8u_exact"].netlist
    count = sum(instance.cell.name == "FAX1" for instance in with_adders.instances)
    # An 8 x 8 array adds 64 partial products into 16 bits with 48 full and 8 half adders.
    assert count >= 40
    assert with_adders.area_um2 < 0.85 * without.area_um2
