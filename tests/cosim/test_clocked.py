"""Clocked designs: their latency is measured, their table is right, and what has none is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from clocked_designs import BAD, GOOD, RARE, RARELY_BAD, Multiplier, Refused, write
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import MODELS
from rtlgrad.core.errors import RtlgradError, SidecarError, SimulationError
from rtlgrad.cosim.clocked.latency import POOL, SEED, measure
from rtlgrad.cosim.clocked.pipeline_delay import MAX_DELAY, Delay, Stream, pipeline_delay
from rtlgrad.cosim.clocked.probing import Trace, operand_pool, read_trace
from rtlgrad.cosim.design import pick_design, read_design, references
from rtlgrad.cosim.interface import ClockStyle, Latency
from rtlgrad.cosim.simulation.lint import lint
from rtlgrad.cosim.simulation.live import LiveMultiplier
from rtlgrad.cosim.simulation.simulator import Simulator
from rtlgrad.cosim.simulation.sweep import Swept, sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtlgrad.cosim.design import Design

    Results = Mapping[str, Swept | RtlgradError]

RTL = Path(__file__).resolve().parents[2] / "rtl"
PRODUCTS = np.arange(16)[:, None] * np.arange(16)

# Verilator compiles for longer than it runs: of the designs of one kind it gets one.
IN_VERILATOR = [
    *("pipeline3", "falling_edge", "asynchronous_reset_active_low", "valid_in_valid_out"),
    *("start_pulse_done_pulse", "start_level_until_done", "reset_for_start"),
    *("held_after_start", "held_free_running", "early_without_done"),
    *RARELY_BAD,
]


def swept(cases: Mapping[str, Multiplier | Refused], folder: Path, simulator: Simulator) -> Results:
    designs = []
    for name, case in cases.items():
        design = read_design(references(write(folder, name, case))[0])
        designs.append((design, lint(design)))
    assert len(designs) > 1, "share a model"
    return {design.name: result for design, result in sweep(designs, simulator=simulator, jobs=2)}


@pytest.fixture(scope="module")
def in_icarus(tmp_path_factory: pytest.TempPathFactory) -> Results:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    return swept({**GOOD, **BAD}, tmp_path_factory.mktemp("icarus"), Simulator.ICARUS)


@pytest.fixture(scope="module")
def in_verilator(tmp_path_factory: pytest.TempPathFactory) -> Results:
    cases: dict[str, Multiplier | Refused] = {**GOOD, **BAD, **RARELY_BAD}
    chosen = {name: cases[name] for name in IN_VERILATOR}
    return swept(chosen, tmp_path_factory.mktemp("verilator"), Simulator.VERILATOR)


def check(result: Swept | RtlgradError, case: Multiplier | Refused) -> None:
    if isinstance(case, Multiplier):
        assert isinstance(result, Swept), str(result)
        assert np.array_equal(result.products, PRODUCTS)
        assert result.latency == case.latency
    else:
        assert type(result) is case.error, str(result)
        for text in case.says:
            assert text in str(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in GOOD.items() if not case.starts_unknown])
def test_table_and_latency_in_icarus(name: str, in_icarus: Results) -> None:
    check(in_icarus[name], GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refusals_in_icarus(name: str, in_icarus: Results) -> None:
    check(in_icarus[name], BAD[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_VERILATOR)
def test_verilator_says_the_same(name: str, in_verilator: Results) -> None:
    check(in_verilator[name], {**GOOD, **BAD, **RARELY_BAD}[name])


def test_a_start_value_that_never_goes_away_is_unknown_in_icarus(in_icarus: Results) -> None:
    result = in_icarus["held_free_running"]
    assert isinstance(result, SimulationError)
    assert "unknown output" in str(result)


def test_the_rare_operands_are_not_measured_with() -> None:
    pool, _special = operand_pool(4, 4, POOL, SEED)
    assert RARE == "a == 4'd13 && b == 4'd11"
    assert (13, 11) not in pool


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("mul8u_serial_skip2", None),
        ("mul8u_pipetrunc", Latency(ClockStyle.PIPELINED, 3, 3, 1)),
    ],
)
def test_live_answers_are_those_of_the_model(name: str, known: Latency | None) -> None:
    with LiveMultiplier(library_design(name), latency=known) as live:
        assert live.latency == (known or Latency(ClockStyle.HANDSHAKE, 8, 2, 8))
        codes = np.arange(256)
        assert np.array_equal(live.multiply_codes(codes[::5, None], codes), MODELS[name]()[::5])


def test_a_live_operation_that_never_ends_is_an_error_with_its_operands(tmp_path: Path) -> None:
    design = read_design(references(write(tmp_path, "rarely", RARELY_BAD["rarely_done"]))[0])
    with LiveMultiplier(design) as live:
        assert live.multiply(13, 12) == 156
        with pytest.raises(SimulationError, match="a=13 b=11"):
            live.multiply(13, 11)


def library_design(name: str) -> Design:
    found = [design for file in RTL.glob("mul8u_*.v") for design in references(file)]
    return read_design(pick_design(name, found))


def test_a_style_that_the_ports_do_not_allow_is_the_sidecar_s_fault(tmp_path: Path) -> None:
    case = Refused(GOOD["pipeline1"].text, (), sidecar='[clock]\nstyle = "handshake"\n')
    design = read_design(references(write(tmp_path, "pipe", case))[0])
    with pytest.raises(SidecarError, match="no output says done"):
        next(measure(design))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, MAX_DELAY), st.integers(0, 1 << 30), st.lists(st.integers(0, 12), max_size=4))
def test_the_delay_of_a_stream_is_found_whatever_the_function(
    delay: int, seed: int, extra: list[int]
) -> None:
    """Bit i of the product comes ``extra[i]`` cycles after the others."""
    rng = np.random.default_rng(seed)
    function = rng.permutation(64)[:32]
    count = 1024 + MAX_DELAY
    numbers = rng.integers(0, 32, count)
    skew = np.zeros(6, int)
    skew[: len(extra)] = extra
    skew = np.minimum(skew, MAX_DELAY - delay)
    if delay == 0:
        skew[:] = 0
    after = np.zeros(count, int)
    for bit, late in enumerate(skew):
        moved = np.roll(function[numbers] >> bit & 1, max(delay - 1, 0) + late)
        moved[: max(delay - 1, 0) + late] = rng.integers(0, 2, max(delay - 1, 0) + late)
        after += moved << bit
    # Without a clock edge the output follows before it; with one, it still shows what was.
    before = after if delay == 0 else np.roll(after, 1)
    trace = Trace(
        tuple(f"{code:x}" for code in range(64)),
        before.astype(np.int32),
        after.astype(np.int32),
        np.zeros(count, np.int8),
    )
    found = pipeline_delay(trace, Stream(0, numbers, np.ones(count, bool)), 6, None)
    assert found == Delay(delay + int(skew.max()), aligned=len(set(skew)) == 1)


def test_a_trace_without_its_end_is_none() -> None:
    assert read_trace("0 x0 00 0\n3 00 00 1\n") is None
    trace = read_trace("0 x0 00 0\n3 00 00 1\n5 end\n")
    assert trace is not None
    assert trace.done.tolist() == [0, 0, 0, 1, 1]
    assert [trace.texts[code] for code in trace.before] == ["x0", "x0", "x0", "00", "00"]
    assert trace.known.tolist() == [False, True]
