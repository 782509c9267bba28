"""Designs too wide for a table, from Verilog to their samples and back from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference.segments import drum_operand
from rtlgrad.core.errors import DesignError, RecordError, RtlgradError, UnknownOutputError
from rtlgrad.cosim.design import read_design, references
from rtlgrad.cosim.simulation.live import LiveMultiplier
from rtlgrad.lutgen.characterize import Settings, characterize
from rtlgrad.lutgen.record import RecordKind, SampledCharacterization
from rtlgrad.lutgen.rounding import Rounding
from rtlgrad.lutgen.sampled_float import SampledFloatMetrics
from rtlgrad.lutgen.sampled_metrics import SampledMetrics
from rtlgrad.lutgen.special_operands import Behaviour
from rtlgrad.lutgen.store import load, load_mantissas, load_table, save

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rtlgrad.lutgen.characterize import Outcome


pytestmark = pytest.mark.slow


def sampled(outcome: Outcome) -> SampledCharacterization:
    assert outcome.error is None, str(outcome.error)
    assert isinstance(outcome.characterization, SampledCharacterization)
    return outcome.characterization


def integers(made: SampledCharacterization) -> SampledMetrics:
    assert isinstance(made.metrics, SampledMetrics)
    return made.metrics


MODULE = "module {name}(input {sign}[{a}:0] A, input {sign}[{b}:0] B, output {sign}[{o}:0] O);\n"
FLOAT32 = (
    "module float32(input [31:0] A, B, output [31:0] O);\n"
    "wire [47:0] p = {24'b0, 1'b1, A[22:0]} * {24'b0, 1'b1, B[22:0]};\n"
    "wire c = p[47]; wire [9:0] e = A[30:23] + B[30:23] + {9'b0, c};\n"
    "wire [9:0] f = e - 10'd127;\n"
    "wire bad = &A[30:23] | &B[30:23]; wire none = ~|A[30:23] | ~|B[30:23] | e < 128;\n"
    "assign O = {A[31] ^ B[31], bad ? 31'h7FC00000 : none ? 31'd0 : e >= 382 ? 31'h7F800000 :\n"
    "            {f[7:0], c ? p[46:24] : p[45:23]}}; endmodule\n"
)
LATCH = "reg [31:0] last; always @* if (A[3:0] != 0) last = A * B;\nassign O = last; endmodule\n"
DIVIDES = "assign O = (A * B) / (B - 16'd5 + 16'd5); endmodule\n"
TRI = "assign O = A[0] ? A * B : 32'bz; endmodule\n"


def text(name: str, body: str, a: int = 16, b: int = 16, out: int = 32, sign: str = "") -> str:
    return MODULE.format(name=name, a=a - 1, b=b - 1, o=out - 1, sign=sign) + body


CASES = {
    "unequal": text("unequal", "assign O = A * B + 2; endmodule\n", 16, 4, 24),
    "wide_signed": text("wide_signed", "assign O = A * B; endmodule\n", 32, 32, 64, "signed "),
    "float32": FLOAT32,
    "latch": text("latch", LATCH),
    "divides": text("divides", DIVIDES),
    "floats": text("floats", TRI),
    "garbage": text("garbage", "assign O = {40{A[0] & B[0]}}; endmodule\n", 8, 4, 40),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Designs of many widths, and some that must be refused, characterized together."""
    folder = tmp_path_factory.mktemp("wide")
    found = []
    for name, verilog in CASES.items():
        (folder / f"{name}.v").write_text(verilog)
        if name == "float32":
            (folder / f"{name}.toml").write_text('format = "float32"\n')
        found += references(folder / f"{name}.v")
    made = characterize(found, Settings(folder / "store"))
    return {outcome.reference.name: outcome for outcome in made}


def test_a_published_16_bit_design_has_its_published_error(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    # Hashemi et al. 2015, table 1, K = 6: mean relative error 1.47 %, bias 0.04 %.
    made = sampled(rtl_outcomes["mul16u_drum6"])
    metrics = integers(made)
    mre = metrics.mre_nonzero_pct
    assert mre.low is not None
    assert mre.high is not None
    assert mre.low <= 1.47 <= mre.high
    assert mre.high - mre.low < 0.02
    assert made.netlist_pairs == metrics.pairs == len(made.sample) > 100_000
    # The worst relative error of two operands 2^k + 1 and the like is 6.31 % of the product.
    assert metrics.wce_at_least > 0.03 * 65535**2 / 2


def test_the_sample_s_products_are_those_of_the_model(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    made = sampled(rtl_outcomes["mul16u_drum6"])
    a, b = made.sample.operands(made.interface)
    expected = drum_operand(a, 6) * drum_operand(b, 6)
    assert np.array_equal(made.sample.outputs(made.interface), expected)


@pytest.mark.parametrize("name", ["unequal", "wide_signed", "float32"])
def test_a_sampled_record_comes_back_and_has_no_table(
    name: str, outcomes: dict[str, Outcome], tmp_path: Path
) -> None:
    made = sampled(outcomes[name])
    folder = save(made, tmp_path)
    again = load(folder)
    assert again == made
    assert (again.kind, again.id) == (RecordKind.SAMPLE, made.id)
    for read in (load_table, load_mantissas):
        with pytest.raises(RecordError, match=f"{name} has no"):
            read(folder)
    data = bytearray((folder / "sample.npy").read_bytes())
    data[-1] ^= 1
    (folder / "sample.npy").write_bytes(data)
    with pytest.raises(RecordError, match="is not the sample"):
        load(folder)


def test_errors_of_unequal_operands_are_found(outcomes: dict[str, Outcome]) -> None:
    metrics = integers(sampled(outcomes["unequal"]))
    assert (metrics.bias.value, metrics.wce_at_least, metrics.ep_pct.value) == (2.0, 2, 100.0)


def test_an_exact_design_may_still_err_where_the_sample_does_not_look(
    outcomes: dict[str, Outcome],
) -> None:
    metrics = integers(sampled(outcomes["wide_signed"]))
    assert (metrics.wce_at_least, metrics.mae.value) == (0, 0.0)
    assert metrics.mae.high is None
    assert metrics.ep_pct.high is not None
    assert 0 < metrics.ep_pct.high < 0.01
    worst = outcomes["wide_signed"].characterization
    assert worst is not None
    assert not worst.cost.netlist_proven


def test_float32_truncates_and_flushes(outcomes: dict[str, Outcome]) -> None:
    made = sampled(outcomes["float32"])
    metrics = made.metrics
    assert isinstance(metrics, SampledFloatMetrics)
    assert metrics.rounding is Rounding.TRUNCATED
    assert metrics.mre_pct.value == -metrics.bias_pct.value
    # A truncated bit is worth 2^-23 at most, of a product of 1 or more.
    assert 0.9 * 2**-23 < metrics.worst_at_least_pct / 100 < 2**-23
    assert {case.behaviour for case in metrics.specials} >= {Behaviour.IEEE, Behaviour.FLUSH}
    assert made.netlist_pairs > metrics.pairs


def refusal(outcome: Outcome) -> RtlgradError:
    assert outcome.error is not None
    return outcome.error


def test_a_wide_design_with_a_latch_is_refused(outcomes: dict[str, Outcome]) -> None:
    assert isinstance(refusal(outcomes["latch"]), DesignError)


def test_a_wide_design_that_can_be_x_is_refused(outcomes: dict[str, Outcome]) -> None:
    error = refusal(outcomes["divides"])
    assert isinstance(error, UnknownOutputError)
    assert "b=0" in str(error.got)


def test_a_wide_design_that_can_float_is_refused(outcomes: dict[str, Outcome]) -> None:
    assert "tri-state" in str(refusal(outcomes["floats"]))


def test_products_past_int32_are_refused_and_not_wrapped(outcomes: dict[str, Outcome]) -> None:
    error = refusal(outcomes["garbage"])
    assert "do not fit int32" in str(error)
    assert str(2**40 - 1) in str(error.got)


@pytest.mark.parametrize(("width", "signed"), [(64, False), (64, True)])
def test_live_products_of_any_width_are_exact(width: int, signed: bool, tmp_path: Path) -> None:
    sign = "signed " if signed else ""
    body = "assign O = A * B; endmodule\n"
    (tmp_path / "wide.v").write_text(text("wide", body, width, width, 2 * width, sign))
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    operands = [low, low + 1, 1, 3, high - 1, high, *range(7, 3000, 13)]
    pairs = [(x, y) for x in operands[:6] for y in operands] * 3
    with LiveMultiplier(read_design(references(tmp_path / "wide.v")[0])) as live:
        a = np.array([x for x, _ in pairs], dtype=object)
        b = np.array([y for _, y in pairs], dtype=object)
        assert live.multiply(a, b).tolist() == [x * y for x, y in pairs]
