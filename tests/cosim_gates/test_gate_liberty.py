"""Liberty files: units, averages, what is left out, what is refused, and the cache."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import ConfigError
from rtlgrad.cosim.cells.write_liberty import read_figures
from rtlgrad.cosim.gates import liberty
from rtlgrad.cosim.gates.adders import full_adder
from rtlgrad.cosim.gates.functions import pins_of, truth_table
from rtlgrad.cosim.gates.liberty import liberty_text, read_library
from rtlgrad.cosim.gates.library_cache import cache_file
from rtlgrad.cosim.gates.lookup import LookupTable, constant, weighted_sum

from .conftest import DATA, SMALL_LIBRARY

if TYPE_CHECKING:
    from pathlib import Path

    from rtlgrad.cosim.gates.library import Library


def test_figures_come_in_fixed_units(small: Library) -> None:
    assert small.name == "small"
    assert small.voltage_v == 2.0
    inverter, gate, half = (small.by_name[name] for name in ("INV", "AND", "HALF"))
    assert (inverter.area_um2, gate.area_um2) == (1.0, 2.0)
    assert [pin.capacitance_ff for pin in (*inverter.inputs, *gate.inputs)] == [3.0, 4.0, 6.0]
    assert inverter.leakage_nw == pytest.approx(1.0)
    assert half.leakage_nw == pytest.approx(2.0), "the mean over the states"


def test_internal_energies_are_means_over_rise_and_fall(small: Library) -> None:
    energy = small.by_name["INV"].outputs[0].energy_fj
    assert energy is not None
    assert [energy.at(slew, 5.0) for slew in (0, 50, 100, 900)] == [2.0, 4.0, 6.0, 6.0]


def test_an_input_energy_counts_for_the_states_in_which_it_applies(small: Library) -> None:
    a, b = small.by_name["AND"].inputs
    assert a.energy_fj is not None
    assert a.energy_fj.at(50, 0) == pytest.approx(0.6 / 2), "B is low half the time"
    assert b.energy_fj is None


def test_tables_are_turned_to_slew_by_load(small: Library) -> None:
    (arc,) = small.by_name["INV"].outputs[0].arcs
    assert arc.sense == "negative"
    # index_1 is the load: rows of 10..20 at load 0, 40..50 at load 10.
    assert arc.rise_ps.at(0, 10) == 40.0
    assert arc.rise_ps.at(100, 0) == 20.0
    assert arc.rise_ps.at(50, 5) == 30.0
    assert arc.rise_ps.at(0, 20, extrapolate=True) == 70.0
    assert arc.rise_ps.at(0, 20) == 40.0


def test_cells_that_are_no_functions_of_single_bits_are_left_out(small: Library) -> None:
    assert [cell.name for cell in small.cells] == ["INV", "AND", "HALF"]
    assert small.skipped == {
        "BUS": "has bus pins",
        "TRI": "tri-state",
        "LATCH": "a latch",
        "TWO": "its clock is no pin or inverted pin",
        "MIXED": "output Q is not its state alone",
        "FILL": "no output",
    }


def test_the_shipped_library_holds_the_published_figures(shipped: Library) -> None:
    figures = {cell.name: cell for cell in read_figures()}
    assert {cell.name for cell in shipped.cells} == set(figures)
    assert shipped.voltage_v == 1.1
    for cell in shipped.cells:
        published = figures[cell.name]
        assert cell.area_um2 == published.area_um2
        assert cell.leakage_nw == pytest.approx(published.leakage_nw)
        loads = {pin.name: pin.capacitance_ff / 1e3 for pin in cell.inputs}
        assert loads == pytest.approx(published.capacitance_pf)
        for pin, figure in zip(cell.outputs, published.outputs, strict=True):
            assert pin.energy_fj is not None
            assert pin.energy_fj.at(50, 3) == pytest.approx(figure.energy_pj * 1e3)
            assert {arc.pin for arc in pin.arcs} == pins_of(pin.function)


@pytest.mark.parametrize(
    ("file", "voltage", "expected"),
    [
        ("ihp_sg13g2/sg13g2_stdcell_typ_1p20V_25C.lib", 1.2, ("sg13g2_nand2_1", 0b0111)),
        ("sky130hd/sky130hd_tt.lib.gz", 1.8, ("sky130_fd_sc_hd__nor2_1", 0b0001)),
    ],
)
def test_open_libraries_are_read(
    file: str,
    voltage: float,
    expected: tuple[str, int],
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", str(shared_cache))
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    library = read_library(path)
    name, ones = expected
    cell = library.by_name[name]
    table = truth_table(cell.outputs[0].function, tuple(pin.name for pin in cell.inputs))
    assert sum(value << state for state, value in enumerate(table)) == ones
    assert library.voltage_v == voltage
    assert not any("df" in cell.name for cell in library.cells), "flip-flops"
    assert all("df" in cell.name for cell in library.registers)
    for cell in library.registers:
        assert cell.register is not None
        assert {setup.pin for setup in cell.register.setups} >= {"D"}
        assert all(arc.pin == cell.register.clock for pin in cell.outputs for arc in pin.arcs)
    for cell in library.cells:
        assert cell.leakage_nw is not None
        assert all(0 < pin.capacitance_ff < 200 for pin in cell.inputs)
        assert all(pin.arcs for pin in cell.outputs if pins_of(pin.function))
    # A two-input gate of these 130 nm processes takes a few fJ a transition.
    energy = cell_energy(library, name)
    assert 0.5 < energy < 20


def cell_energy(library: Library, name: str) -> float:
    table = library.by_name[name].outputs[0].energy_fj
    assert table is not None
    return table.at(50, 5)


def test_full_adders_are_found_by_their_functions(shipped: Library, small: Library) -> None:
    adder = full_adder(shipped)
    assert adder is not None
    assert (adder.cell.name, adder.sum_pin, adder.carry_pin) == ("FAX1", "YS", "YC")
    assert full_adder(small) is None


def without(*lines: str) -> str:
    text = SMALL_LIBRARY
    for line in lines:
        assert line in text
        text = text.replace(line, "")
    return text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not parse"),
        ("library (x) { cell (", "does not parse"),
        ("module x; endmodule", "does not parse"),
        ("cells (x) { }", "outermost group is 'cells'"),
        ("library (x) { }", "capacitive_load_unit is nothing"),
        (without("nom_voltage : 2.0;"), "nom_voltage is nothing"),
        (without("capacitive_load_unit (1, ff);"), "capacitive_load_unit is nothing"),
        (SMALL_LIBRARY.replace("(1, ff)", "(1, bananas)"), "capacitive_load_unit is 1bananas"),
        (SMALL_LIBRARY.replace("function", "fiction"), "no combinational cell with a function"),
        (SMALL_LIBRARY.replace("A'", "A"), "no inverter"),
        (SMALL_LIBRARY.replace('"A B"; ', '"A"; ').replace("A B", "A ^ B"), "no two-input"),
        (SMALL_LIBRARY.replace('"A B"', '"A ("'), "cell AND: cannot read the Liberty function"),
        (SMALL_LIBRARY.replace('"40, 50"', '"40"'), "3 values for rising axes"),
        (SMALL_LIBRARY.replace("capacitance : 3;", ""), "cell INV: pin A has no capacitance"),
    ],
)
def test_an_unusable_library_is_refused_with_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "some.lib"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_library(path)
    assert "some.lib" in str(caught.value)
    assert reason in str(caught.value)


def test_leakage_without_a_unit_is_absent_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "some.lib"
    path.write_text(without('leakage_power_unit : "1uW";'))
    assert {cell.leakage_nw for cell in read_library(path).cells} == {None}


def test_gzip_makes_no_difference(tmp_path: Path, small: Library) -> None:
    path = tmp_path / "small.lib.gz"
    path.write_bytes(gzip.compress(SMALL_LIBRARY.encode()))
    assert read_library(path).cells == small.cells
    assert liberty_text(path) == SMALL_LIBRARY
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"small\.lib\.gz"):
        read_library(path)


def test_a_library_comes_back_from_the_cache_as_it_was(
    small_file: Path, small: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(liberty, "parse_library", refuse)
    assert read_library(small_file) == small


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", b"0" * 64 + b"\n[]"])
def test_a_damaged_cache_is_replaced(small_file: Path, small: Library, damage: bytes) -> None:
    file = cache_file(small.sha256)
    good = file.read_bytes()
    for bad in (damage, good[: len(good) // 2], good.replace(b'"INV"', b'"INW"')):
        file.write_bytes(bad)
        assert read_library(small_file) == small
        assert file.read_bytes() == good


def test_a_changed_file_is_not_taken_from_the_cache(small_file: Path, small: Library) -> None:
    small_file.write_text(SMALL_LIBRARY.replace("nom_voltage : 2.0", "nom_voltage : 1.0"))
    assert read_library(small_file).voltage_v == 1.0


def test_a_cache_that_cannot_be_written_is_done_without(
    small_file: Path, small: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "file"))
    assert read_library(small_file) == small


def test_a_weighted_sum_of_tables_is_exact_on_the_union_of_their_grids() -> None:
    first = LookupTable((0.0, 10.0), (0.0, 4.0), (0.0, 4.0, 10.0, 30.0))
    second = LookupTable((0.0, 5.0, 10.0), (0.0,), (0.0, 100.0, 0.0))
    total = weighted_sum([(0.5, first), (2.0, second), (1.0, constant(7.0))])
    assert total is not None
    for slew in (0.0, 2.5, 5.0, 9.0):
        for load in (0.0, 1.0, 4.0):
            expected = 0.5 * first.at(slew, load) + 2 * second.at(slew, load) + 7
            assert total.at(slew, load) == pytest.approx(expected)
    assert replace(first, values=(1.0,) * 4).at(3, 3) == 1.0


def test_the_parser_is_loaded_only_for_a_library_that_is_not_in_the_cache(
    small_file: Path, small: Library
) -> None:
    code = (
        "import sys, pathlib\n"
        "from rtlgrad.cosim.gates import activity, adders, evaluate, liberty, power, timing\n"
        f"liberty.read_library(pathlib.Path({str(small_file)!r}))\n"
        "assert not {'liberty', 'sympy', 'lark', 'torch', 'pyosys'} & set(sys.modules)"
    )
    assert cache_file(small.sha256).exists()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
