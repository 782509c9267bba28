"""Published figures: how they are read, and when a measured number is the printed one."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen.conformance import FigureVerdict, Published, read_published_csv
from rtlgrad.lutgen.conformance.correlate import pearson, spearman
from rtlgrad.lutgen.conformance.precision import compare_figures
from rtlgrad.lutgen.conformance.published import merged, read_header

AGREES, TIE = FigureVerdict.AGREES, FigureVerdict.TIE
TRUNCATED, DIFFERS = FigureVerdict.TRUNCATED, FigureVerdict.DIFFERS


@pytest.mark.parametrize(
    ("measured", "printed", "verdict"),
    [
        # Measured over all operand pairs of circuits of EvoApproxLib v1.1, and what these print.
        (5.0078125, "5.0", AGREES),
        (1.2484893, "1.25", AGREES),
        (15608397.25, "15608.397e3", AGREES),
        (471649812.5, "47164.981e4", AGREES),
        (0.625, "0.62", TIE),
        (12684.5, "12684", TIE),
        (36.53515625, "36", TRUNCATED),
        (36.53515625, "37", AGREES),
        (36.53515625, "35", DIFFERS),
        (36.53515625, "36.0", DIFFERS),
        (0.0, "0", AGREES),
        (0.0, "0.00", AGREES),
        (-36.6, "-36", TRUNCATED),
        (-36.6, "-38", DIFFERS),
        (36.6, "38", DIFFERS),
    ],
)
def test_a_number_is_compared_at_the_precision_that_is_printed(
    measured: float, printed: str, verdict: FigureVerdict
) -> None:
    assert compare_figures(measured, printed) is verdict


def test_what_is_not_printed_is_absent() -> None:
    assert compare_figures(1.0, None) is FigureVerdict.ABSENT


@settings(deadline=None, max_examples=200)
@given(st.floats(0, 1e5), st.integers(0, 4))
def test_rounding_agrees_cutting_off_is_truncation_and_a_unit_more_differs(
    value: float, places: int
) -> None:
    unit = Decimal(1).scaleb(-places)
    assert compare_figures(value, f"{value:.{places}f}") in (AGREES, TIE)
    cut = Decimal(value).quantize(unit, ROUND_DOWN)
    assert compare_figures(value, f"{cut:f}") in (AGREES, TIE, TRUNCATED)
    if Decimal(value) != cut:
        assert compare_figures(value, f"{cut + 2 * unit:f}") is DIFFERS
        assert compare_figures(value, f"{cut - unit:f}") is DIFFERS


def test_a_header_is_read_as_printed() -> None:
    text = (
        "/* MAE = 9 */\n// MAE% = 0.037 %\n// MAE = 25 \n// WCE = 79\n// MRE% = 1.25 %\n"
        "// EP% = 98.12 %\n// MSE = 15608.397e3\n// PDK45_PWR = 0.311 mW\n"
        "// PDK45_AREA = 508.3 um2\n// PDK45_DELAY = 1.39 ns\nmodule m;\n"
    )
    found = read_header(text, Path("m.v"))
    assert found == Published("25", "79", "1.25", "98.12", "15608.397e3", "508.3", "0.311", "1.39")
    assert found.number("mse") == 15608397.0
    assert read_header("module m;", Path("m.v")) == Published()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("// PDK45_PWR = 0.311 uW", "expected: a figure in mW"),
        ("// MAE = 3 %", "a figure without unit"),
        ("// MAE = many", "MAE is not a number"),
        ("// MSE = NaN", "MSE is not a number"),
    ],
)
def test_a_header_that_cannot_be_understood_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_header(line, Path("m.v"))


def test_figures_of_two_places_are_joined_and_contradictions_named() -> None:
    first, second = Published(mae="5.0", wce="3"), Published(mae="5", wce="4", mse="1.0")
    joined, differing = merged(first, second)
    assert joined == Published(mae="5.0", wce="3", mse="1.0")
    assert differing == ("wce",)


def test_a_table_of_figures(tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text("name,mae,mre,pdk45_power_mW,other\nmul8u_A,1.0,0.50,0.3,x\nmul8u_B,,1,,\n")
    assert read_published_csv(file) == {
        "mul8u_A": Published(mae="1.0", mre_pct="0.50", power_mw="0.3"),
        "mul8u_B": Published(mre_pct="1"),
    }
    for content, message in (
        ("circuit,mae\nx,1\n", "not a table of published figures"),
        ("name,size\nx,1\n", "not a table of published figures"),
        ("name,mae\nx,1\nx,2\n", "two lines for 'x'"),
        ("name,mae\nx,one\n", "x, mae is not a number"),
        ("name,mae\nx\n", None),
    ):
        file.write_text(content)
        if message is None:
            assert read_published_csv(file) == {"x": Published()}
        else:
            with pytest.raises(ConfigError, match=message):
                read_published_csv(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_published_csv(tmp_path / "absent.csv")


def test_rank_correlation_of_a_textbook_example() -> None:
    # Intelligence quotients and weekly hours of television of ten people: rho = -29/165.
    iq = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], dtype=float)
    hours = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17], dtype=float)
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    assert spearman(iq**3, -hours) == pytest.approx(29 / 165)


def test_ties_share_their_mean_rank() -> None:
    x, y = np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.5, 2.5, 4.0])
    assert spearman(x, y) == pytest.approx(1.0)
    assert spearman(x, np.ones(4)) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=20))
def test_linear_correlation_is_that_of_numpy(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).round(3).T
    if x.std() == 0 or y.std() == 0:
        assert pearson(x, y) is None
    else:
        assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
