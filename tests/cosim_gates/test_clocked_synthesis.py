"""Clocked designs through synthesis: products, area, clock period, and what is refused."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import DesignError, SimulationError
from rtlgrad.cosim.cells.write_registers import read_registers
from rtlgrad.cosim.cost import SHIPPED_LIBRARY, cell_library
from rtlgrad.cosim.gates.evaluate import netlist_codes, prove_equal
from rtlgrad.cosim.gates.sequential_codes import sequential_codes, sequential_words
from rtlgrad.cosim.gates.stimulus import recorded_stimulus
from rtlgrad.cosim.gates.timing import analyse_timing
from rtlgrad.cosim.interface import Clocking, ClockStyle, Latency
from rtlgrad.cosim.synthesis.netlist_cost import POWER_FIGURES
from rtlgrad.cosim.synthesis.synthesize import conclude, synthesize

from .clocked_designs import ALL, CLOCK, CORE, DEEP, PIPE, RESET, Clocked, core_table, pipelined
from .conftest import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from rtlgrad.cosim.gates.netlist import Netlist
    from rtlgrad.cosim.synthesis.synthesize import Synthesis

FLIP_FLOPS = {cell.name: cell for cell in read_registers()}
SETUP_PS = 131.25
KEPT = 15
"""Flip-flops of the pipeline: 4 + 4 + 8, less one, since the product does not depend on b[0]."""


def mapped_onto(item: Clocked, folder: Path, liberty: Path = SHIPPED_LIBRARY) -> Synthesis:
    return synthesize(item.design(folder), cell_library(liberty))


def netlist_of(synthesis: Synthesis) -> Netlist:
    assert synthesis.unfinished is not None
    return synthesis.unfinished.netlist


@pytest.fixture(autouse=True)
def _own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of this file parse each library once."""
    monkeypatch.setenv("RTLGRAD_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synthesis]:
    """All designs and their core, mapped onto the shipped library."""
    folder = tmp_path_factory.mktemp("clocked")
    return {name: mapped_onto(item, folder) for name, item in (ALL | {"core": CORE}).items()}


@pytest.mark.parametrize("name", ALL)
def test_the_netlist_computes_the_core_s_table(made: dict[str, Synthesis], name: str) -> None:
    first = made[name]
    assert first.proven
    assert first.codes is None
    done = conclude(first, ALL[name].latency)
    assert done.codes is not None
    prove_equal(done.codes, core_table(), ALL[name].interface())
    assert np.array_equal(done.codes, made["core"].codes)
    assert done.unfinished is None
    assert not done.cost.absent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("liberty", "name"),
    [
        ("ihp_sg13g2/sg13g2_stdcell_typ_1p20V_25C.lib", "deep"),  # rising edge and reset alone
        ("ihp_sg13g2/sg13g2_stdcell_typ_1p20V_25C.lib", "handshake"),
        ("sky130hd/sky130hd_tt.lib.gz", "handshake"),  # flip-flops with an enable
        ("sky130hd/sky130hd_tt.lib.gz", "initial"),
    ],
)
def test_open_libraries_compute_the_same(tmp_path: Path, liberty: str, name: str) -> None:
    path = DATA / liberty
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    done = conclude(mapped_onto(ALL[name], tmp_path, path), ALL[name].latency)
    assert done.codes is not None
    assert np.array_equal(done.codes, core_table())
    assert not done.cost.absent
    assert done.cost.energy_fj is not None
    assert done.cost.energy_glitch_aware_fj is not None
    assert 0 < done.cost.energy_fj <= done.cost.energy_glitch_aware_fj
    assert "with setup times" in done.cost.method


def test_a_pipeline_is_its_core_and_its_registers(made: dict[str, Synthesis]) -> None:
    pipe, core = made["pipe"].cost, made["core"].cost
    assert pipe.cells == dict(core.cells) | {"DFFPOSX1": KEPT}
    assert core.area_um2 is not None
    assert pipe.area_um2 == pytest.approx(core.area_um2 + KEPT * 7.9781)
    assert core.leakage_nw is not None
    assert pipe.leakage_nw == pytest.approx(core.leakage_nw + KEPT * 54.9774)


def test_the_clock_period_is_flip_flop_core_and_setup(made: dict[str, Synthesis]) -> None:
    netlist = netlist_of(made["pipe"])
    timing = analyse_timing(netlist, CLOCK)
    assert timing is not None
    core = made["core"].cost.delay_ps
    assert core is not None
    figures = FLIP_FLOPS["DFFPOSX1"]
    loads = [netlist.loads_ff[net] for one in netlist.registers for net in one.outputs if net]
    # Delays of the shipped library do not depend on the slew.
    least, most = (
        figures.delay_ns * 1e3 + figures.resistance_ns_per_pf * load
        for load in (min(loads), max(loads))
    )
    through = timing.parts_ps["register to register"]
    assert core + least + SETUP_PS <= through <= core + most + SETUP_PS
    assert made["pipe"].cost.delay_ps == through == timing.delay_ps
    assert timing.parts_ps["input to register"] == pytest.approx(SETUP_PS)
    assert timing.parts_ps["register to output"] == pytest.approx(figures.delay_ns * 1e3)
    assert set(timing.parts_ps) == {
        "input to register",
        "register to register",
        "register to output",
    }
    assert timing.path[0] == netlist.inputs["clk"][0]
    assert made["pipe"].cost.paths_ps == timing.parts_ps


def test_registers_in_between_shorten_the_period(made: dict[str, Synthesis]) -> None:
    deep, pipe = made["deep"].cost.delay_ps, made["pipe"].cost.delay_ps
    assert deep is not None
    assert pipe is not None
    assert deep < pipe


def test_before_the_latency_is_known_power_is_absent(made: dict[str, Synthesis]) -> None:
    cost = made["pipe"].cost
    assert set(cost.absent) == set(POWER_FIGURES)
    assert cost.power_uw is None
    assert cost.clock_mhz is None


def test_a_synthesis_travels_between_processes(made: dict[str, Synthesis]) -> None:
    here = made["handshake"].finish(ALL["handshake"].latency)
    there = pickle.loads(pickle.dumps(made["handshake"])).finish(ALL["handshake"].latency)
    assert there.cost == here.cost
    assert np.array_equal(there.codes, here.codes)


def test_a_combinational_design_is_finished_at_once(made: dict[str, Synthesis]) -> None:
    assert conclude(made["core"], None) is made["core"]
    assert made["core"].codes is not None


def test_the_stimulus_reaches_the_power(tmp_path: Path) -> None:
    still = recorded_stimulus(CORE.interface(), np.zeros(9, int), np.zeros(9, int))
    core = synthesize(CORE.design(tmp_path), cell_library(), stimulus=still, stimuli=[still])
    assert core.cost.energy_fj == 0.0
    assert core.powers[0].energy_zero_delay_fj == 0.0
    pipe = synthesize(PIPE.design(tmp_path), cell_library(), stimulus=still, stimuli=[still])
    done = conclude(pipe, PIPE.latency)
    # Nothing moves but the clock.
    pins = KEPT * FLIP_FLOPS["DFFPOSX1"].capacitance_pf["CLK"] * 1e3
    clock = 2 * (0.5 * pins * 1.1**2 + KEPT * FLIP_FLOPS["DFFPOSX1"].energy_pj["CLK"] * 1e3)
    assert done.cost.energy_fj == pytest.approx(clock)
    assert done.cost.energy_glitch_aware_fj == pytest.approx(clock)
    assert done.powers[0].energy_zero_delay_fj == pytest.approx(clock)
    assert done.cost.leakage_nw is not None
    assert done.cost.power_uw == pytest.approx(clock * 1.0 + done.cost.leakage_nw / 1e3)
    assert done.cost.stimulus == "recorded operand pairs, 9 pairs, seed None"


def test_a_latency_that_is_too_short_is_no_latency(made: dict[str, Synthesis]) -> None:
    with pytest.raises(DesignError, match="depends on what was before"):
        made["pipe"].finish(pipelined(1))
    with pytest.raises(DesignError, match="depends on what was before"):
        made["pipe"].finish(pipelined(3))
    with pytest.raises(SimulationError, match="done does not come") as caught:
        made["handshake"].finish(replace(ALL["handshake"].latency, cycles=5))
    # b | 1 has its highest 1 in bit 3 for every second b.
    assert "128 of 256" in str(caught.value)


def test_wrong_netlists_are_told_from_right_ones(made: dict[str, Synthesis]) -> None:
    netlist, table = netlist_of(made["pipe"]), core_table()
    sides = PIPE.interface()
    rng = np.random.default_rng(3)
    changed = 0
    for index in rng.permutation(len(netlist.instances))[:12]:
        one = netlist.instances[index]
        if one.cell.register is not None or len(set(one.inputs)) < 2:
            continue
        swapped = replace(one, inputs=(one.inputs[1], one.inputs[1], *one.inputs[2:]))
        instances = (*netlist.instances[:index], swapped, *netlist.instances[index + 1 :])
        codes = sequential_codes(replace(netlist, instances=instances), sides, PIPE.latency)
        changed += not np.array_equal(codes, table)
    assert changed > 0


def test_initial_bits_are_those_of_the_source(made: dict[str, Synthesis]) -> None:
    netlist, item = netlist_of(made["initial"]), ALL["initial"]
    assert sorted(netlist.initial.values()) == [False, False, True]
    without = sequential_codes(replace(netlist, initial={}), item.interface(), item.latency)
    assert np.array_equal(without, 255 - core_table()), "the ring never has one 1"


def test_a_register_that_nothing_sets_is_refused(tmp_path: Path) -> None:
    text = """
    module top(input clk, input [3:0] a, b, output reg [7:0] o);
      reg t;
      always @(posedge clk) begin t <= ~t; o <= a * (b | 4'd1) ^ t; end
    endmodule
    """
    item = Clocked(text, CLOCK, pipelined(1))
    with pytest.raises(DesignError, match="depends on what was before"):
        mapped_onto(item, tmp_path).finish(item.latency)


def test_wide_pipelines_are_evaluated_for_chosen_operands(tmp_path: Path) -> None:
    text = PIPE.text.replace("[3:0]", "[15:0]").replace("[7:0]", "[31:0]").replace("4'd1", "16'd1")
    item = Clocked(text, CLOCK, PIPE.latency, bits=16)
    done = conclude(mapped_onto(item, tmp_path), item.latency)
    assert done.codes is None
    assert done.netlist is not None
    assert done.cost.power_uw is not None
    a, b = np.random.default_rng(0).integers(0, 1 << 16, (2, 300), dtype=np.uint64)
    found = sequential_words(done.netlist, item.interface(), item.latency, a, b)
    assert np.array_equal(found[:, 0], a * (b | np.uint64(1)))


def test_unknowns_are_proven_absent_or_not(tmp_path: Path) -> None:
    # The register never holds 3, but the solver cannot know that.
    text = """
    module top(input clk, rst_n, input [3:0] a, b, output reg [7:0] o);
      reg [1:0] n;
      always @(posedge clk) begin
        n <= !rst_n ? 2'd0 : {n[0], ~n[1]} & 2'd2;
        o <= n == 2'd3 ? 8'bx : a * (b | 4'd1);
      end
    endmodule
    """
    item = Clocked(text, RESET, pipelined(1))
    found = mapped_onto(item, tmp_path)
    assert not found.proven
    assert np.array_equal(found.finish(item.latency).codes, core_table())


def test_memories_become_registers(tmp_path: Path) -> None:
    text = """
    module top(input clk, input [3:0] a, b, output reg [7:0] o);
      reg [7:0] kept [0:1]; reg turn = 0;
      always @(posedge clk) begin
        kept[turn] <= a * (b | 4'd1); turn <= ~turn; o <= kept[~turn];
      end
    endmodule
    """
    item = Clocked(text, CLOCK, pipelined(2))
    done = conclude(mapped_onto(item, tmp_path), item.latency)
    assert np.array_equal(done.codes, core_table())


def test_a_library_without_flip_flops_gives_no_cost(tmp_path: Path) -> None:
    text = SHIPPED_LIBRARY.read_text()
    bare = tmp_path / "bare.lib"
    bare.write_text(text[: text.index("  cell (DFFNEGX1)")] + "}\n")
    found = mapped_onto(PIPE, tmp_path, bare)
    assert found.cost.area_um2 is None
    assert "no flip-flop" in found.cost.absent["area_um2"]
    assert found.unfinished is None
    assert found.proven is False


MEMORY = "reg [3:0] m [0:3]; always @(posedge clk) o <= m[b[1:0]];"
REFUSED = {
    "a gated clock": (
        "wire g = clk & a[0]; always @(posedge g) o <= a * b;",
        CLOCK,
        r"a register on g, which is not the clock clk",
    ),
    "a second clock": (
        "reg [7:0] p; always @(posedge b[0]) p <= a * b; always @(posedge clk) o <= p;",
        CLOCK,
        r"a register on b\[0\], which is not the clock",
    ),
    "the other edge": (
        "reg [7:0] p; always @(negedge clk) p <= a * b; always @(posedge clk) o <= p;",
        CLOCK,
        r"a register on the other edge of clk(.|\n)*found: p \(",
    ),
    "an inverted clock": (
        "wire n = ~clk; always @(posedge n) o <= a * b;",
        CLOCK,
        r"a register on the other edge of clk",
    ),
    "a latch": ("always @* if (clk) o = a * b;", CLOCK, r"in a latch(.|\n)*found: o \("),
    "a memory on another clock": (
        f"{MEMORY} always @(posedge a[1]) m[a[1:0]] <= b;",
        CLOCK,
        r"a memory on a\[1\], which is not the clock clk(.|\n)*found: m \(",
    ),
    "a memory without a clock": (
        f"{MEMORY} always @* if (a[3]) m[a[1:0]] = b;",
        CLOCK,
        r"a memory that is written without a clock|a latch",
    ),
    "the clock as data": ("always @(posedge clk) o <= a * b + {7'd0, clk};", CLOCK, "used as data"),
    "a register of a combinational design": (
        "always @(posedge a[0]) o <= a * b;",
        None,
        r'name its clock in top.toml: \[clock\] clock = "clk"',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_state_is_refused(tmp_path: Path, name: str) -> None:
    body, clocking, message = REFUSED[name]
    clock = "input clk, " if clocking else ""
    text = f"module top({clock}input [3:0] a, b, output reg [7:0] o);\n{body}\nendmodule\n"
    with pytest.raises(DesignError) as caught:
        mapped_onto(Clocked(text, clocking, pipelined(1)), tmp_path)
    assert re.search(message, str(caught.value))
    if clocking is not None and name != "the clock as data":
        assert f"{tmp_path}/top.v:2." in str(caught.value), "the place in the source"


def test_a_clock_through_an_inverter_is_still_the_clock(tmp_path: Path) -> None:
    text = DEEP.text.replace("always @(negedge ck)", "wire up = ~ck; always @(posedge up)")
    found = mapped_onto(replace(DEEP, text=text), tmp_path)
    assert np.array_equal(found.finish(DEEP.latency).codes, core_table())


def test_a_held_design_is_read_as_late_as_one_likes(made: dict[str, Synthesis]) -> None:
    for cycles in (2, 5):
        late = Latency(ClockStyle.HELD, cycles, cycles, cycles)
        assert np.array_equal(made["deep"].finish(replace(late, cycles=7)).codes, core_table())
        assert np.array_equal(made["pipe"].finish(late).codes, core_table())


def test_ports_are_those_of_the_interface(made: dict[str, Synthesis]) -> None:
    other = replace(PIPE.interface(), clocking=Clocking("clock"))
    with pytest.raises(DesignError, match="ports are not those"):
        sequential_codes(netlist_of(made["pipe"]), other, PIPE.latency)
    with pytest.raises(DesignError, match="ports are not those"):
        netlist_codes(netlist_of(made["pipe"]), CORE.interface())
    with pytest.raises(DesignError, match="is clocked"):
        netlist_codes(netlist_of(made["pipe"]), PIPE.interface())
