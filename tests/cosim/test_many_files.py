"""Designs of several files, SystemVerilog, unequal and wide operands, colliding helper modules."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import DesignError, RtlgradError, SidecarError, VerilogError
from rtlgrad.cosim.design import read_design, references, verilog_files
from rtlgrad.cosim.simulation.batches import plan
from rtlgrad.cosim.simulation.lint import lint
from rtlgrad.cosim.simulation.simulator import Simulator
from rtlgrad.cosim.simulation.sweep import sweep
from rtlgrad.lutgen.characterize import Outcome, Settings, characterize
from rtlgrad.lutgen.record import Characterization
from rtlgrad.lutgen.table import code_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rtlgrad.cosim.design import Design

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed"
)
HEAD = "(input [3:0] A, input [3:0] B, output [7:0] O);"

FILES = {
    # A hierarchy over folders: a package, an include, two levels of modules, SystemVerilog types.
    "common/types.sv": (
        "package types;\n  localparam int W = 5;\n  typedef logic signed [W-1:0] operand;\n"
        "  typedef logic signed [2*W-1:0] product;\n"
        "  typedef struct packed { logic sign; logic [W-1:0] size; } parts;\n"
        "  typedef enum logic [1:0] { KEEP, NEGATE, ZERO } action;\n"
        "  function automatic parts split(operand x);\n"
        "    split.sign = x < 0;\n    split.size = x < 0 ? W'(-x) : W'(x);\n"
        "  endfunction\nendpackage\n"
    ),
    "common/rows.sv": (
        '`include "width.vh"\n'
        "module rows #(parameter int N = `WIDTH) (input logic [N-1:0] x, y,\n"
        "    output logic [2*N-1:0] z);\n  logic [2*N-1:0] sum [N+1];\n  assign sum[0] = '0;\n"
        "  for (genvar i = 0; i < N; i++) begin : g\n"
        "    row #(.N(N), .I(i)) one (.x, .bit_of_y(y[i]), .above(sum[i]), .below(sum[i+1]));\n"
        "  end : g\n  assign z = sum[N];\nendmodule : rows\n"
    ),
    "common/row.sv": (
        "module row #(parameter int N = 4, I = 0) (input logic [N-1:0] x, input logic bit_of_y,\n"
        "    input logic [2*N-1:0] above, output logic [2*N-1:0] below);\n"
        "  always_comb begin\n    below = above;\n"
        "    if (bit_of_y) below += (2*N)'(x) << I;\n  end\nendmodule\n"
    ),
    "common/width.vh": "`define WIDTH 5\n",
    "layered.sv": (
        "module layered import types::*; (input operand a, input operand b,\n"
        "    output product p);\n  parts pa, pb;\n  logic [2*W-1:0] size;\n  action next;\n"
        "  assign pa = split(a);\n  assign pb = split(b);\n"
        "  rows inner (.x(pa.size), .y(pb.size), .z(size));\n"
        "  always_comb begin\n    if (size == 0) next = ZERO;\n"
        "    else next = pa.sign ^ pb.sign ? NEGATE : KEEP;\n"
        "    unique case (next)\n      KEEP: p = size;\n      NEGATE: p = -size;\n"
        "      default: p = '0;\n    endcase\n  end\nendmodule\n"
    ),
    "layered.toml": 'files = ["common/types.sv", "common/row.sv", "common/rows.sv"]\n',
    # A SystemVerilog interface inside, plain vectors outside.
    "bus.sv": (
        "interface operands #(parameter int N = 4);\n  logic [N-1:0] x, y;\n"
        "  modport sink (input x, y);\nendinterface\n"
        "module core(operands.sink in, output logic [7:0] z);\n  assign z = in.x * in.y;\n"
        "endmodule\n"
        "module bus(input logic [3:0] a, b, output logic [7:0] p);\n  operands wires();\n"
        "  assign wires.x = a;\n  assign wires.y = b;\n  core c(.in(wires), .z(p));\nendmodule\n"
    ),
    # Unequal operands: 8 x 4, its low two columns cut.
    "tall.v": (
        "module tall(input [7:0] A, input [3:0] B, output [11:0] O);\n"
        "  assign O = (A * B) & 12'hFFC;\nendmodule\n"
    ),
}
PRODUCTS = {
    "layered": (5, 5, True, lambda a, b: a * b),
    "bus": (4, 4, False, lambda a, b: a * b),
    "tall": (8, 4, False, lambda a, b: (a * b) & ~3),
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def only(path: Path) -> Design:
    (reference,) = references(path)
    return read_design(reference)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sources"), FILES)


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Outcome]:
    designs = [design for path in verilog_files(folder) for design in references(path)]
    made = characterize(designs, Settings(folder / "tables"))
    return {outcome.reference.name: outcome for outcome in made}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_table_is_that_of_the_arithmetic(name: str, outcomes: Mapping[str, Outcome]) -> None:
    wa, wb, signed, product = PRODUCTS[name]
    made = outcomes[name].characterization
    assert outcomes[name].error is None
    assert isinstance(made, Characterization)
    a, b = (code_values(width, signed) for width in (wa, wb))
    assert np.array_equal(made.table.products, product(a[:, None], b[None, :]))


def test_every_file_is_in_the_record_own_file_first(outcomes: Mapping[str, Outcome]) -> None:
    made = outcomes["layered"].characterization
    assert made is not None
    own, *others = [source.path for source in made.provenance.sources]
    assert own.endswith("/layered.sv")
    assert others == ["common/types.sv", "common/row.sv", "common/rows.sv", "common/width.vh"]


def test_a_change_in_any_file_makes_the_table_again(tmp_path: Path) -> None:
    write(
        tmp_path, {name: text for name, text in FILES.items() if name not in ("tall.v", "bus.sv")}
    )
    found = references(tmp_path / "layered.sv")
    settings = Settings(tmp_path / "tables")
    assert not characterize(found, settings)[0].reused
    assert characterize(found, settings)[0].reused
    row = tmp_path / "common" / "row.sv"
    row.write_text(row.read_text().replace("<< I", "<< I & 'h3FE"))
    (outcome,) = characterize(found, settings)
    assert not outcome.reused
    assert isinstance(outcome.characterization, Characterization)
    assert np.all(outcome.characterization.table.products % 2 == 0)


def test_a_listed_file_is_no_design(tmp_path: Path) -> None:
    texts = {
        "adder.v": f"module adder{HEAD} assign O = A + B; endmodule\n",
        "user.v": f"module user{HEAD} adder one(A, B, O); endmodule\n",
        "user.toml": 'files = ["adder.v"]\n',
        "other.v": f"module other{HEAD} assign O = A * B; endmodule\n",
    }
    found = verilog_files(write(tmp_path, texts))
    assert [path.name for path in found] == ["other.v", "user.v"]
    assert only(tmp_path / "user.v").interface.module == "user"


def test_of_several_tops_the_one_of_the_own_file_is_meant(tmp_path: Path) -> None:
    spare = "".join(f"module spare{i}{HEAD} assign O = A + B; endmodule\n" for i in range(3))
    texts = {
        "library.v": spare,
        "mine.v": f"module chosen{HEAD} assign O = A * B; endmodule\n",
        "mine.toml": 'files = ["library.v"]\n',
    }
    assert only(write(tmp_path, texts) / "mine.v").interface.module == "chosen"


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ('["nowhere.v"]', DesignError, ("nowhere.v", "listed in files", "x.toml")),
        ('"adder.v"', SidecarError, ("files", "list of file names")),
        ("[3]", SidecarError, ("files", "list of file names")),
        ('["."]', DesignError, ("a folder", "listed in files")),
    ],
)
def test_a_wrong_list_of_files_is_named(
    tmp_path: Path, files: str, error: type[RtlgradError], says: tuple[str, ...]
) -> None:
    write(
        tmp_path,
        {"x.v": f"module x{HEAD} assign O = A * B; endmodule\n", "x.toml": f"files = {files}\n"},
    )
    with pytest.raises(error) as caught:
        only(tmp_path / "x.v")
    assert all(text in str(caught.value) for text in says)


@pytest.mark.parametrize(
    "text",
    [
        "module x(input [3:0] A, B, output [7:0] O); lacking one(A, B, O); endmodule\n",
        "module x import lacking::*; (input [3:0] A, B, output [7:0] O); assign O = A * B; endmodule\n",
        "module x(input [3:0] A, B, output [7:0] O); assign O = A * B + lacking::K; endmodule\n",
        "module x(input lacking::t A, B, output [7:0] O); assign O = A * B; endmodule\n",
    ],
)
def test_what_is_lacking_is_named_and_where_it_may_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.sv").write_text(text)

    def message() -> str:
        (outcome,) = characterize(references(tmp_path / "x.sv"), Settings(tmp_path / "tables"))
        assert isinstance(outcome.error, DesignError)
        return str(outcome.error)

    alone = message()
    assert "'lacking'" in alone
    assert 'x.toml: files = ["FILE.v"]' in alone
    (tmp_path / "parts.sv").write_text("module lacking; endmodule\n")
    assert (
        'parts.sv defines lacking; if that is meant, write into x.toml: files = ["parts.sv"]'
        in message()
    )
    (tmp_path / "more.v").write_text("module lacking; endmodule\n")
    assert "(more.v, parts.sv do)" in message()


@pytest.mark.slow
def test_12_by_12_is_exhaustive(tmp_path: Path) -> None:
    text = (
        "module wide(input [11:0] A, input [11:0] B, output [23:0] O);\n"
        "  assign O = A * B - (A & 12'd7) * (B & 12'd7);\nendmodule\n"
    )
    (tmp_path / "wide.v").write_text(text)
    (outcome,) = characterize(references(tmp_path / "wide.v"), Settings(tmp_path / "tables"))
    assert outcome.error is None
    made = outcome.characterization
    assert isinstance(made, Characterization)
    codes = np.arange(1 << 12)
    low = codes & 7
    assert np.array_equal(made.table.products, np.outer(codes, codes) - np.outer(low, low))
    assert made.cost.netlist_proven


# Helpers that collide in every way that a name can: as modules with other bodies and ports, as a
# task, a net, a port of the top, an instance, an escaped name, and a part of numbers and strings.
COLLIDING = {
    "one.v": f"module FA(input x, y, output z); assign z = x ^ y; endmodule\n"
    f"module one{HEAD} wire t; FA low(A[0], B[0], t); assign O = A * B ^ {{7'b0, t}}; endmodule\n",
    "two.v": f"module FA(input x, y, output z); assign z = x | y; endmodule\n"
    f"module two{HEAD} wire t; FA FA(A[0], B[0], t); assign O = A * B ^ {{7'b0, t}}; endmodule\n",
    "three.v": "module \\FA (input [7:0] v, output [7:0] w); assign w = v ^ 8'hFA ^ 8'h FA; endmodule\n"
    f'module three{HEAD} initial $display("FA"); wire [7:0] p = A * B;\n'
    "  \\FA \\FA (p, O); endmodule\n",
    "four.v": "module FB(input [3:0] FA, q, output [7:0] O); assign O = FA * q + 8'd1; endmodule\n"
    "module FA(input [3:0] A, B, output [7:0] O); FB FB(.FA(A), .q(B), .O(O)); endmodule\n",
    "five.v": "module low(input [3:0] FA, input [3:0] q, output [7:0] O);\n"
    "  wire [7:0] FB; assign FB = FA * q; assign O = FB + 8'd2; endmodule\n",
    "six.sv": "package FA; localparam FB = 3; endpackage\nfunction automatic int low(int v);\n"
    "  return v + FA::FB;\nendfunction\n"
    "module six(input [3:0] A, B, output [7:0] O); assign O = 8'(low(A * B)); endmodule\n",
    # `low` is an undeclared net here, a module and a function elsewhere.
    "seven.v": f"module seven{HEAD} assign low = A[0]; assign O = A * B ^ {{7'b0, low}}; endmodule\n",
    "eight.sv": "package FA; localparam low = 5; endpackage\nimport FA::*;\n"
    "module eight(input [3:0] A, B, output [7:0] O); assign O = A * B + 8'(low); endmodule\n",
}


COMBINATIONAL = frozenset(name.partition(".")[0] for name in COLLIDING)
"""Spares them the passes that look for state."""


def products(name: str) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    a, b = np.mgrid[:16, :16]
    low_a, low_b = a & 1, b & 1
    formulas: dict[str, Callable[[], object]] = {
        "one": lambda: a * b ^ (low_a ^ low_b),
        "two": lambda: a * b ^ (low_a | low_b),
        "three": lambda: a * b,
        "four": lambda: a * b + 1,
        "five": lambda: a * b + 2,
        "six": lambda: a * b + 3,
        "seven": lambda: a * b ^ low_a,
        "eight": lambda: a * b + 5,
    }
    return np.asarray(formulas[name]())


@pytest.fixture(scope="module")
def colliding(tmp_path_factory: pytest.TempPathFactory) -> list[Design]:
    folder = write(tmp_path_factory.mktemp("colliding"), COLLIDING)
    return [only(folder / name) for name in COLLIDING]


def test_colliding_helpers_share_a_model_and_stay_what_they_are(colliding: list[Design]) -> None:
    batches = plan(colliding)
    # An import outside of modules could capture names of others.
    assert [[design.name for design in batch] for batch in batches] == [
        ["one", "two", "three", "four", "five", "six", "seven"],
        ["eight"],
    ]
    linted = [(design, lint(design)) for design in colliding]
    for design, result in sweep(linted, proven=COMBINATIONAL, jobs=2):
        assert not isinstance(result, RtlgradError), str(result)
        assert np.array_equal(result.products, products(design.name)), design.name


@needs_icarus
def test_verilator_and_icarus_agree_about_colliding_helpers(colliding: list[Design]) -> None:
    chosen = [design for design in colliding if design.name in ("one", "two", "three", "seven")]
    linted = [(design, lint(design)) for design in chosen]
    one, other = (
        {
            design.name: result
            for design, result in sweep(linted, simulator=simulator, proven=COMBINATIONAL, jobs=2)
        }
        for simulator in Simulator
    )
    for name, result in one.items():
        assert not isinstance(result, RtlgradError)
        assert np.array_equal(result.products, other[name].products), name


def test_a_name_that_cannot_be_changed_costs_a_model_and_no_table(tmp_path: Path) -> None:
    # The method that the language calls `name` is called so by everybody.
    texts = {
        "plain.v": f"module plain{HEAD} assign O = A * B; endmodule\n",
        "method.sv": "module num(output [7:0] z); assign z = 8'd1; endmodule\n"
        "module method(input [3:0] A, B, output [7:0] O);\n"
        "  typedef enum logic { X, Y } t; t v; assign v = t'(A[0]); wire [7:0] one;\n"
        "  num count(one); assign O = A * B + 8'(v.num()) - one - one; endmodule\n",
    }
    write(tmp_path, texts)
    found = [design for name in texts for design in references(tmp_path / name)]
    plain, method = characterize(found, Settings(tmp_path / "tables"))
    a, b = np.mgrid[:16, :16]
    for outcome in (plain, method):
        assert outcome.error is None
        assert isinstance(outcome.characterization, Characterization)
        assert np.array_equal(outcome.characterization.table.products, a * b)


def test_preprocessing_errors_name_the_listed_file(tmp_path: Path) -> None:
    texts = {
        "x.v": f"module x{HEAD} assign O = A * B; endmodule\n",
        "x.toml": 'files = ["parts/bad.v"]\n',
        "parts/bad.v": '\n`include "nowhere.vh"\n',
    }
    write(tmp_path, texts)
    with pytest.raises(VerilogError, match=r"parts/bad\.v:2"):
        only(tmp_path / "x.v")
