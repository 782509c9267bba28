"""Floating-point designs, from Verilog to their mantissa tables and back from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference import MANTISSA_MODELS
from reference.mantissas import cut_off, exact, fractions, mitchell, mitchell_of
from rtlgrad.core.errors import DesignError, InterfaceError, RecordError, SidecarError
from rtlgrad.cosim.design import references
from rtlgrad.cosim.float_format import FloatPart
from rtlgrad.lutgen.characterize import Settings, characterize
from rtlgrad.lutgen.float_metrics import float_metrics
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.lutgen.record import MantissaCharacterization, RecordKind
from rtlgrad.lutgen.rounding import Rounding
from rtlgrad.lutgen.special_operands import Behaviour, SpecialClass
from rtlgrad.lutgen.store import load, load_mantissas, load_table, save

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rtlgrad.core.errors import RtlgradError
    from rtlgrad.lutgen.characterize import Outcome


def mantissas_of(outcome: Outcome) -> MantissaCharacterization:
    assert outcome.error is None, str(outcome.error)
    assert isinstance(outcome.characterization, MantissaCharacterization)
    return outcome.characterization


@pytest.mark.parametrize("name", sorted(MANTISSA_MODELS))
def test_the_table_is_that_of_the_model(name: str, rtl_outcomes: Mapping[str, Outcome]) -> None:
    made = mantissas_of(rtl_outcomes[name])
    bits, model = MANTISSA_MODELS[name]
    mantissa, carry = cut_off(model(), bits)
    assert np.array_equal(made.table.mantissa, mantissa)
    assert np.array_equal(made.table.carry, carry)
    assert made.table.id == made.id


@pytest.mark.parametrize("name", sorted(MANTISSA_MODELS))
def test_a_record_comes_back_from_the_store(
    name: str, rtl_outcomes: Mapping[str, Outcome], tmp_path: Path
) -> None:
    made = mantissas_of(rtl_outcomes[name])
    folder = save(made, tmp_path)
    assert load(folder) == made
    assert load_mantissas(folder) == made.table
    with pytest.raises(RecordError, match="no table of integer products"):
        load_table(folder)


# As characterized from ApproxTrain's own models.
@pytest.mark.parametrize(
    ("name", "mre", "bias"),
    [
        ("mant7_exact", 0.271, -0.271),
        ("mant7_mitchell", 3.849, -3.849),
        ("mant7_mbm", 2.693, 0.447),
        ("bf16_exact", 0.271, -0.271),
        ("bf16_mbm", 2.693, 0.447),
    ],
)
def test_mean_relative_error_and_bias_are_the_published_ones(
    name: str, mre: float, bias: float, rtl_outcomes: Mapping[str, Outcome]
) -> None:
    metrics = mantissas_of(rtl_outcomes[name]).metrics
    assert metrics.mre_pct == pytest.approx(mre, abs=0.0005)
    assert metrics.bias_pct == pytest.approx(bias, abs=0.0005)


def test_metrics_follow_from_the_definitions() -> None:
    products = mitchell(5)
    metrics = float_metrics(MantissaTable(5, *cut_off(products, 5)))
    relative = (products - exact(5)) / exact(5)
    assert metrics.mre_pct == pytest.approx(100 * np.abs(relative).mean())
    assert metrics.bias_pct == pytest.approx(100 * relative.mean())
    assert metrics.worst_pct == pytest.approx(100 / 9)  # Mitchell 1962
    assert metrics.nmed == pytest.approx(np.abs(products - exact(5)).mean() / exact(5).max())


def test_error_reduction_takes_most_of_mitchell_s_error_and_nearly_all_of_its_bias(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    plain, reduced = (
        mantissas_of(rtl_outcomes[f"mant7_{name}"]).metrics for name in ("mitchell", "realm")
    )
    assert reduced.mre_pct < plain.mre_pct / 4
    # What is left are the factors' 6 bits, and the bits cut off.
    assert abs(reduced.bias_pct) < 0.1


def test_rounding_is_told(rtl_outcomes: Mapping[str, Outcome]) -> None:
    told = {name: mantissas_of(rtl_outcomes[name]).rounding for name in MANTISSA_MODELS}
    for name, rounding in told.items():
        expected = Rounding.TRUNCATED if name.endswith("_exact") else Rounding.NEITHER
        assert rounding is expected, name


def test_complete_multipliers_decompose_and_flush_subnormals(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    for name in ("bf16_exact", "bf16_mbm"):
        found = mantissas_of(rtl_outcomes[name]).decomposition
        assert found is not None
        assert found.netlist_pairs > found.sampled_pairs > 60_000
        for case in found.specials:
            of_subnormals = case.operands in (
                SpecialClass.SUBNORMAL,
                SpecialClass.INFINITY_SUBNORMAL,
                SpecialClass.UNDERFLOW,
            )
            assert case.behaviour is (Behaviour.FLUSH if of_subnormals else Behaviour.IEEE)


def test_a_complete_multiplier_has_the_mantissas_of_its_core(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    for core in ("exact", "mbm"):
        whole, part = (mantissas_of(rtl_outcomes[f"{n}_{core}"]) for n in ("bf16", "mant7"))
        assert whole.table == part.table
        assert whole.id != part.id


SIGNIFICANDS = "module {name}(input [4:0] A, B, output [9:0] O); assign O = A * B; endmodule\n"
ONE_PORT = (
    "module {name}(input [3:0] A, B, output [4:0] O);\n"
    "assign O = {{1'b0, A}} + {{1'b0, B}}; endmodule\n"
)
TWO_PORTS = (
    "module {name} #(parameter M = 4)(input [M-1:0] A, B, output C, output [M-1:0] P);\n"
    "assign {{C, P}} = {{1'b0, A}} + {{1'b0, B}}; endmodule\n"
)
# Not commutative, so that a transposed table cannot hide.
SKEW = (
    "module {name}(input [3:0] A, B, output C, output [3:0] P);\n"
    "assign C = 1'b0; assign P = A - 4'd1; endmodule\n"
)
ONE_BIT = "module {name}(input A, B, output [1:0] O); assign O = A + B; endmodule\n"
WHOLE = (
    "module {name}(input [7:0] A, B, output [7:0] O);\n"
    "wire [9:0] p = {{1'b1, A[2:0]}} * {{1'b1, B[2:0]}} + {{9'b0, {extra}}};\n"
    "wire c = p[7]; wire [5:0] e = A[6:3] + B[6:3] + {{5'b0, c}};\n"
    "wire bad = &A[6:3] | &B[6:3]; wire none = ~|A[6:3] | ~|B[6:3] | e < 8;\n"
    "wire [5:0] f = e - 6'd7;\n"
    "assign O = {{A[7] ^ B[7], bad ? 7'h7F : none ? 7'd0 : e >= 22 ? 7'h78 :\n"
    "           {{f[3:0], c ? p[6:4] : p[5:3]}}}}; endmodule\n"
)
CASES = {
    "significands": (SIGNIFICANDS, 'format = "significand"'),
    "mul5u_plain": (SIGNIFICANDS, "signed = false"),
    "one_port": (ONE_PORT, 'format = "mantissa"'),
    "two_ports": (TWO_PORTS, 'format = "mantissa"\n[ports]\nout = "P"\ncarry = "C"'),
    "skew": (SKEW, 'format = "mantissa"\n[ports]\nout = "P"\ncarry = "C"'),
    "one_bit": (ONE_BIT, 'format = "mantissa"'),
    "whole": (WHOLE.replace("{extra}", "1'b0"), "format = {exponent = 4, mantissa = 3}"),
    "crooked": (WHOLE.replace("{extra}", "A[3]"), "format = {exponent = 4, mantissa = 3}"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Small floating-point designs, characterized together."""
    folder = tmp_path_factory.mktemp("floats")
    found = []
    for name, (text, sidecar) in CASES.items():
        (folder / f"{name}.v").write_text(text.format(name=name))
        (folder / f"{name}.toml").write_text(sidecar)
        found += references(folder / f"{name}.v")
    made = characterize(found, Settings(folder / "store"))
    return {outcome.reference.name: outcome for outcome in made}


def test_significands_give_the_mantissas_of_any_integer_table(outcomes: dict[str, Outcome]) -> None:
    made = mantissas_of(outcomes["significands"])
    assert (made.table.mantissa_bits, made.rounding) == (4, Rounding.TRUNCATED)
    plain = outcomes["mul5u_plain"].characterization
    assert plain is not None
    assert plain.kind is RecordKind.TABLE
    # Derived from a stored table of integers, without a sidecar.
    stored = outcomes["mul5u_plain"].reference.path.parent / "store"
    assert load_mantissas(stored / "mul5u_plain") == made.table
    assert made.cost.netlist_proven


def test_the_carry_may_have_a_port_of_its_own(outcomes: dict[str, Outcome]) -> None:
    one, two = (mantissas_of(outcomes[name]) for name in ("one_port", "two_ports"))
    assert one.table == two.table
    assert two.cost.netlist_proven
    assert two.interface.format is not None
    assert two.interface.format.part is FloatPart.MANTISSA
    assert two.interface.parameters == {"M": 4}


def test_rows_are_operand_a(outcomes: dict[str, Outcome]) -> None:
    table = mantissas_of(outcomes["skew"]).table
    assert np.array_equal(table.mantissa[:, 0], (np.arange(16) - 1) % 16)
    assert (table.mantissa == table.mantissa[:, :1]).all()


def test_a_mantissa_may_have_one_bit(outcomes: dict[str, Outcome]) -> None:
    table = mantissas_of(outcomes["one_bit"]).table
    expected = cut_off(mitchell_of(*fractions(1)), 1)
    assert np.array_equal(table.mantissa, expected[0])
    assert np.array_equal(table.carry, expected[1])


def test_other_formats_than_the_known_ones_decompose(outcomes: dict[str, Outcome]) -> None:
    made = mantissas_of(outcomes["whole"])
    assert made.rounding is Rounding.TRUNCATED
    assert str(made.interface.format) == "float with 4 exponent and 3 mantissa bits"


def test_mantissas_that_depend_on_an_exponent_are_refused(outcomes: dict[str, Outcome]) -> None:
    error = outcomes["crooked"].error
    assert isinstance(error, DesignError)
    assert "does not decompose" in str(error)
    assert "0x" in str(error.got)


WRONG: dict[str, tuple[str, str, type[RtlgradError], str]] = {
    "unknown": (ONE_PORT, 'format = "fp8"', SidecarError, "not one that is known"),
    "exponent": (
        ONE_PORT,
        "format = {exponent = 1, mantissa = 3}",
        SidecarError,
        "not one that is",
    ),
    "signed": (ONE_PORT, 'format = "mantissa"\nsigned = true', SidecarError, "do not go together"),
    "carry": (SIGNIFICANDS, '[ports]\ncarry = "C"', SidecarError, "unknown key"),
    "no_mantissa": (
        TWO_PORTS,
        'format = "mantissa"\n[ports]\ncarry = "C"',
        SidecarError,
        "not the",
    ),
    "two_wide": (
        TWO_PORTS,
        'format = "mantissa"\n[ports]\nout = "C"\ncarry = "P"',
        InterfaceError,
        "cannot be the carry",
    ),
    "narrow": (SIGNIFICANDS, 'format = "mantissa"', InterfaceError, "do not fit"),
    "not_16": (SIGNIFICANDS, 'format = "bfloat16"', InterfaceError, "do not fit"),
    "too_wide": (
        "module {name}(input [12:0] A, B, output [25:0] O); assign O = A * B; endmodule",
        'format = "significand"',
        InterfaceError,
        "too wide for a table",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_format_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    from rtlgrad.cosim.design import read_design

    text, sidecar, error, says = WRONG[name]
    (tmp_path / f"{name}.v").write_text(text.format(name=name))
    (tmp_path / f"{name}.toml").write_text(sidecar)
    with pytest.raises(error, match=says):
        read_design(references(tmp_path / f"{name}.v")[0])
