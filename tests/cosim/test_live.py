"""Live co-simulation answers as the table does, and fails clearly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference import MODELS
from rtlgrad.core.errors import ConfigError, SimulationError
from rtlgrad.cosim.design import pick_design, read_design, references
from rtlgrad.cosim.programs import process
from rtlgrad.cosim.simulation.live import BATCH, LiveMultiplier

if TYPE_CHECKING:
    from collections.abc import Iterator

RTL = Path(__file__).resolve().parents[2] / "rtl"


@pytest.fixture(scope="module")
def live() -> Iterator[LiveMultiplier]:
    """A signed design that does not commute, simulated live."""
    design = pick_design("mul8s_bbm6", references(RTL / "mul8s_bbm.v"))
    with LiveMultiplier(read_design(design)) as running:
        yield running


def test_all_products_equal_the_independent_model(live: LiveMultiplier) -> None:
    codes = np.arange(256)
    assert np.array_equal(live.multiply_codes(codes[:, None], codes), MODELS["mul8s_bbm6"]())


def test_values_are_the_codes_two_s_complement(live: LiveMultiplier) -> None:
    values = np.arange(-128, 128)
    table = MODELS["mul8s_bbm6"]()
    assert np.array_equal(live.multiply(values, -3), table[values & 255, -3 & 255])


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1])
def test_requests_of_any_size(live: LiveMultiplier, count: int) -> None:
    rng = np.random.default_rng(count)
    a, b = rng.integers(0, 256, (2, count))
    assert np.array_equal(live.multiply_codes(a, b), MODELS["mul8s_bbm6"]()[a, b])


def test_a_value_that_does_not_fit_is_refused_and_harms_nothing(live: LiveMultiplier) -> None:
    with pytest.raises(ConfigError, match="does not fit port 'A'") as caught:
        live.multiply(128, 1)
    assert "-128 to 127" in str(caught.value)
    with pytest.raises(ConfigError, match="out of range"):
        live.multiply_codes(-1, 1)
    with pytest.raises(ConfigError, match="not integer"):
        live.multiply(0.5, 1)
    assert live.multiply_codes(3, 5) == MODELS["mul8s_bbm6"]()[3, 5]


def test_a_simulator_that_dies_is_an_error_not_a_hang(tmp_path: Path) -> None:
    source = tmp_path / "plain.v"
    source.write_text(
        "module plain(input [3:0] A, input [3:0] B, output [7:0] O); assign O = A * B; endmodule"
    )
    with LiveMultiplier(read_design(references(source)[0])) as running:
        assert running.multiply(15, 15) == 225
        process.kill_all()
        with pytest.raises(SimulationError, match="has ended"):
            running.multiply(1, 1)
    running.close()


def test_a_design_that_ends_the_simulation_is_named(tmp_path: Path) -> None:
    source = tmp_path / "ender.v"
    source.write_text(
        "module ender(input [3:0] A, input [3:0] B, output [7:0] O);\n"
        "  assign O = A * B;\n"
        "  always @* if (A == 9) $finish;\n"
        "endmodule\n"
    )
    with (
        LiveMultiplier(read_design(references(source)[0])) as running,
        pytest.raises(SimulationError, match=r"ender\.v has ended"),
    ):
        running.multiply(np.arange(16), 3)
