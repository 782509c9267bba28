"""The shipped cell library against the published figures, and areas against the library."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import ConfigError
from rtlgrad.cosim.cells.write_liberty import (
    FIGURES,
    LIBRARY,
    evaluate,
    liberty,
    pins_of,
    read_figures,
    timing_sense,
)
from rtlgrad.cosim.cells.write_registers import REGISTERS, read_registers
from rtlgrad.cosim.cost import SHIPPED_LIBRARY, cell_library
from rtlgrad.cosim.design import read_design, references
from rtlgrad.cosim.synthesis.synthesize import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rtlgrad.lutgen.characterize import Outcome

CELLS = {cell.name: cell for cell in read_figures()}
with FIGURES.open(newline="") as stream:
    ROWS = list(csv.DictReader(stream))
with REGISTERS.open(newline="") as stream:
    REGISTER_ROWS = list(csv.DictReader(stream))
AREAS = {row["cell"]: float(row["area_um2"]) for row in (*ROWS, *REGISTER_ROWS)}
FLIP_FLOPS = {row["cell"] for row in REGISTER_ROWS}

# The textbook function of each kind of cell, from its name.
TRUTH: dict[str, Callable[..., bool]] = {
    "AND2": lambda A, B: A and B,
    "OR2": lambda A, B: A or B,
    "NAND2": lambda A, B: not (A and B),
    "NAND3": lambda A, B, C: not (A and B and C),
    "NOR2": lambda A, B: not (A or B),
    "NOR3": lambda A, B, C: not (A or B or C),
    "XOR2": lambda A, B: A != B,
    "XNOR2": lambda A, B: A == B,
    "INV": lambda A: not A,
    "BUF": lambda A: A,
    "CLKBUF": lambda A: A,
    "AOI21": lambda A, B, C: not ((A and B) or C),
    "AOI22": lambda A, B, C, D: not ((A and B) or (C and D)),
    "OAI21": lambda A, B, C: not ((A or B) and C),
    # The multiplexer of this library inverts.
    "MUX2": lambda A, B, S: not (A if S else B),
    "FA.YS": lambda A, B, C: (A + B + C) % 2 == 1,
    "FA.YC": lambda A, B, C: A + B + C >= 2,
    "HA.YS": lambda A, B: A != B,
    "HA.YC": lambda A, B: A and B,
}
SENSES = {
    "AND2": "positive_unate",
    "OR2": "positive_unate",
    "BUF": "positive_unate",
    "CLKBUF": "positive_unate",
    "FA.YC": "positive_unate",
    "HA.YC": "positive_unate",
    "XOR2": "non_unate",
    "XNOR2": "non_unate",
    "FA.YS": "non_unate",
    "HA.YS": "non_unate",
}
OUTPUTS = [(cell.name, output.name) for cell in CELLS.values() for output in cell.outputs]


def kind_of(cell: str, output: str) -> str:
    kind = re.sub(r"X?\d+\Z", "", cell)
    return kind if len(CELLS[cell].outputs) == 1 else f"{kind}.{output}"


@pytest.mark.parametrize(("cell", "output"), OUTPUTS)
def test_a_cell_does_what_its_name_says(cell: str, output: str) -> None:
    truth = TRUTH[kind_of(cell, output)]
    function = next(one.function for one in CELLS[cell].outputs if one.name == output)
    pins = sorted(pins_of(function))
    assert pins == sorted(CELLS[cell].capacitance_pf)
    for bits in itertools.product((False, True), repeat=len(pins)):
        values = dict(zip(pins, bits, strict=True))
        assert evaluate(function, values) == bool(truth(**values))


@pytest.mark.parametrize(("cell", "output"), OUTPUTS)
def test_timing_senses_are_those_of_the_textbook(cell: str, output: str) -> None:
    port = next(one for one in CELLS[cell].outputs if one.name == output)
    kind = kind_of(cell, output)
    for pin in pins_of(port.function):
        expected = SENSES.get(kind, "negative_unate")
        if kind == "MUX2" and pin == "S":
            expected = "non_unate"
        assert timing_sense(port, pin) == expected


def test_the_shipped_file_is_what_the_figures_give() -> None:
    assert LIBRARY == SHIPPED_LIBRARY
    assert LIBRARY.read_text() == liberty(read_figures(), read_registers())


def test_only_cells_without_enable_are_in_the_library() -> None:
    assert set(AREAS) - set(CELLS) - FLIP_FLOPS == {"TBUFX1", "TBUFX2"}


def test_an_independent_parser_reads_the_figures_back() -> None:
    parser = pytest.importorskip("liberty.parser")
    library = parser.parse_liberty(LIBRARY.read_text())
    cells = {str(group.args[0]).strip('"'): group for group in library.get_groups("cell")}
    assert set(cells) == set(CELLS) | FLIP_FLOPS
    for name, group in cells.items():
        if name in FLIP_FLOPS:
            continue
        rows = [row for row in ROWS if row["cell"] == name]
        assert group["area"] == pytest.approx(float(rows[0]["area_um2"]), rel=1e-5)
        assert group["cell_leakage_power"] == pytest.approx(float(rows[0]["leakage"]), rel=1e-5)
        pins = {str(pin.args[0]).strip('"'): pin for pin in group.get_groups("pin")}
        for pair in rows[0]["input_caps"].split(";"):
            pin, value = pair.split("=")
            assert pins[pin]["capacitance"] == pytest.approx(float(value), rel=1e-5)
        for row in rows:
            assert str(pins[row["output"]]["function"]).strip('"') == row["function"]
            for arc in pins[row["output"]].get_groups("timing"):
                (table,) = arc.get_groups("cell_rise")
                fitted = float(row["delay_t0"]) + float(row["delay_R"]) * 0.1
                assert table.get_array("values")[0][3] == pytest.approx(fitted, rel=1e-4)


def test_an_independent_parser_reads_the_flip_flops_back() -> None:
    parser = pytest.importorskip("liberty.parser")
    library = parser.parse_liberty(LIBRARY.read_text())
    cells = {str(group.args[0]).strip('"'): group for group in library.get_groups("cell")}
    for row in REGISTER_ROWS:
        group = cells[row["cell"]]
        assert group["area"] == pytest.approx(float(row["area_um2"]))
        assert group["cell_leakage_power"] == pytest.approx(float(row["leakage"]))
        (register,) = group.get_groups("ff")
        for name, column in (
            ("clocked_on", "clock"),
            ("next_state", "next_state"),
            ("clear", "clear"),
            ("preset", "preset"),
        ):
            assert str(register[name] or "").strip('"') == row[column]
        pins = {str(pin.args[0]).strip('"'): pin for pin in group.get_groups("pin")}
        for pair in row["input_caps"].split(";"):
            pin, value = pair.split("=")
            assert pins[pin]["capacitance"] == pytest.approx(float(value))
        (arc,) = pins["Q"].get_groups("timing")
        (table,) = arc.get_groups("cell_rise")
        fitted = float(row["delay_t0"]) + float(row["delay_R"]) * 0.1
        assert table.get_array("values")[0][3] == pytest.approx(fitted, rel=1e-4)


NETLISTS = {
    "inverters": ("assign O = {~A, ~B};", {"INV": 8}),
    "and": ("assign O = {4'd0, A & B};", {"AND2": 4}),
    "nor": ("assign O = {4'd0, ~(A | B)};", {"NOR2": 4}),
    "wires": ("assign O = {A, B};", {}),
    "constant": ("assign O = 8'd42;", {}),
}


@pytest.mark.parametrize("name", NETLISTS)
def test_the_area_of_a_netlist_is_the_sum_of_its_cells(name: str, put: Callable[..., Path]) -> None:
    body, cells = NETLISTS[name]
    text = f"module m(input [3:0] A, input [3:0] B, output [7:0] O); {body} endmodule\n"
    cost = synthesize(read_design(*references(put(text))), cell_library()).cost
    kinds: Counter[str] = Counter()
    for cell, count in cost.cells.items():
        kinds[re.sub(r"X\d+\Z", "", cell)] += count
    assert kinds == cells
    total = sum(AREAS[cell] * count for cell, count in cost.cells.items())
    assert cost.area_um2 == pytest.approx(total)
    assert (cost.delay_ps == 0) == (not cost.cells)


def test_the_area_of_every_design_is_the_sum_of_its_cells(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    for outcome in rtl_outcomes.values():
        assert outcome.characterization is not None
        cost = outcome.characterization.cost
        total = sum(AREAS[cell] * count for cell, count in cost.cells.items())
        assert cost.area_um2 == pytest.approx(total)


def test_a_library_in_a_folder_with_blanks_gives_the_same_figures(
    put: Callable[..., Path], tmp_path: Path
) -> None:
    copy = tmp_path / "my cells" / "copy of it.lib"
    copy.parent.mkdir()
    copy.write_bytes(LIBRARY.read_bytes())
    design = read_design(
        *references(put("module m(input [2:0] A, B, output [5:0] O); assign O = A * B; endmodule"))
    )
    one, two = synthesize(design, cell_library()), synthesize(design, cell_library(copy))
    assert one.proven
    assert one.cost.area_um2 is not None
    assert one.cost.area_um2 > 0
    assert two.cost.area_um2 == one.cost.area_um2
    assert two.cost.library_sha256 == one.cost.library_sha256


def test_the_areas_of_another_library_are_its_own(put: Callable[..., Path], tmp_path: Path) -> None:
    larger = tmp_path / "larger.lib"
    doubled = re.sub(
        r"area : ([\d.]+);", lambda found: f"area : {2 * float(found[1])};", LIBRARY.read_text()
    )
    larger.write_text(doubled)
    design = read_design(
        *references(put("module m(input [2:0] A, B, output [5:0] O); assign O = A * B; endmodule"))
    )
    cost = synthesize(design, cell_library(larger)).cost
    total = sum(2 * AREAS[cell] * count for cell, count in cost.cells.items())
    assert cost.area_um2 == pytest.approx(total)
    assert cost.library == "larger"


def test_a_library_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the cell library"):
        cell_library(tmp_path / "absent.lib")
    (tmp_path / "other.lib").write_text("hello")
    with pytest.raises(ConfigError, match="cannot serve as cell library"):
        cell_library(tmp_path / "other.lib")
