"""What the front ends find out about ports and parameters, and that they agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from rtlgrad.core.errors import InterfaceError, VerilogError
from rtlgrad.cosim.design import read_design, references, verilog_files
from rtlgrad.cosim.frontend import pyverilog_reader, read
from rtlgrad.cosim.frontend.declaration import CannotReadError
from rtlgrad.cosim.frontend.pyslang_reader import PyslangUnit
from rtlgrad.cosim.frontend.pyverilog_reader import PyverilogUnit
from rtlgrad.cosim.frontend.read import choose_top, read_module
from rtlgrad.cosim.reading.sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtlgrad.cosim.design import DesignReference
    from rtlgrad.cosim.frontend.declaration import ModuleDeclaration

RTL = Path(__file__).parents[2] / "rtl"
VARIANTS = {
    reference.name: reference for file in verilog_files(RTL) for reference in references(file)
}


class Snippet(NamedTuple):
    """A module called m, and its ports in order of declaration: (name, width, signed)."""

    text: str
    ports: tuple[tuple[str, int, bool], ...]
    front_end: str = "pyverilog"
    parameters: dict[str, int] = {}  # noqa: RUF012
    overrides: dict[str, int] = {}  # noqa: RUF012


def plain(a: int = 4, b: int = 4, o: int = 8) -> tuple[tuple[str, int, bool], ...]:
    return (("A", a, False), ("B", b, False), ("O", o, False))


SIGNED = (("A", 4, True), ("B", 4, True), ("O", 8, True))
BODY = "assign O = A * B; endmodule"
HEADED = "input [W-1:0] A, input [W-1:0] B, output [2*W-1:0] O"

SNIPPETS: dict[str, Snippet] = {
    "ansi": Snippet(f"module m(input [3:0] A, input [3:0] B, output [7:0] O); {BODY}", plain()),
    "ansi, ranges carried on": Snippet(
        f"module m(input [3:0] A, B, output [7:0] O); {BODY}", plain()
    ),
    "ansi, signed carried on": Snippet(
        f"module m(input signed [3:0] A, B, output signed [7:0] O); {BODY}", SIGNED
    ),
    "ansi with nets": Snippet(
        f"module m(input wire [3:0] A, input wire [3:0] B, output wire [7:0] O); {BODY}", plain()
    ),
    "ansi with register": Snippet(
        "module m(input [3:0] A, input [3:0] B, output reg [7:0] O); always @* O = A * B; endmodule",
        plain(),
    ),
    "non-ansi": Snippet(
        f"module m(A, B, O); input [3:0] A; input [3:0] B; output [7:0] O; {BODY}", plain()
    ),
    "non-ansi, in one": Snippet(
        f"module m(A, B, O); input [3:0] A, B; output [7:0] O; {BODY}", plain()
    ),
    "non-ansi, declared in another order": Snippet(
        f"module m(O, B, A); input [3:0] A; input [4:0] B; output [7:0] O; {BODY}",
        (("O", 8, False), ("B", 5, False), ("A", 4, False)),
    ),
    "non-ansi with register": Snippet(
        "module m(A, B, O); input [3:0] A, B; output [7:0] O; reg [7:0] O;"
        "always @(A or B) O = A * B; endmodule",
        plain(),
    ),
    "non-ansi, signed port": Snippet(
        f"module m(A, B, O); input signed [3:0] A, B; output signed [7:0] O; {BODY}", SIGNED
    ),
    "non-ansi, signed net": Snippet(
        "module m(A, B, O); input [3:0] A, B; output [7:0] O;"
        f"wire signed [3:0] A, B; wire signed [7:0] O; {BODY}",
        SIGNED,
    ),
    "non-ansi, signed register": Snippet(
        "module m(A, B, O); input signed [3:0] A, B; output [7:0] O; reg signed [7:0] O;"
        "always @* O = A * B; endmodule",
        SIGNED,
    ),
    "ascending": Snippet(
        f"module m(input [0:3] A, input [1:4] B, output [0:7] O); {BODY}", plain()
    ),
    "negative bounds": Snippet(
        f"module m(input [1:-2] A, input [-1:-4] B, output [7:0] O); {BODY}", plain()
    ),
    "parameter": Snippet(
        f"module m #(parameter W = 4)({HEADED}); {BODY}", plain(), parameters={"W": 4}
    ),
    "parameter overridden": Snippet(
        f"module m #(parameter W = 4)({HEADED}); {BODY}",
        plain(6, 6, 12),
        parameters={"W": 6},
        overrides={"W": 6},
    ),
    "parameter of a parameter": Snippet(
        "module m #(parameter W = 2 + 2, parameter V = 2 * W)"
        f"(input [W-1:0] A, B, output [V-1:0] O); {BODY}",
        plain(5, 5, 10),
        parameters={"W": 5, "V": 10},
        overrides={"W": 5},
    ),
    "parameter in the body": Snippet(
        "module m(A, B, O); parameter W = 4; parameter V = W << 1;"
        f"input [W-1:0] A, B; output [V-1:0] O; {BODY}",
        plain(3, 3, 6),
        parameters={"W": 3, "V": 6},
        overrides={"W": 3},
    ),
    "parameter in head and body": Snippet(
        # With a list in the head, what the body declares cannot be overridden.
        f"module m #(parameter W = 4)({HEADED}); parameter K = 1; {BODY}",
        plain(),
        parameters={"W": 4},
    ),
    "local parameter": Snippet(
        "module m(A, B, O); localparam W = 4, V = 2 * W; input [W-1:0] A, B; output [V-1:0] O;"
        f"{BODY}",
        plain(),
    ),
    "arithmetic": Snippet(
        "module m #(parameter W = 9)"
        "(input [(W>8?W/2:W)-1:0] A, input [W%5-1:0] B, output [2**3-1:0] O);"
        f"{BODY}",
        plain(),
        parameters={"W": 9},
    ),
    "binary logarithm": Snippet(
        f"module m #(parameter N = 9)(input [$clog2(N)-1:0] A, input [$clog2(8):0] B,"
        f"output [7:0] O); {BODY}",
        plain(),
        parameters={"N": 9},
    ),
    "sized literals": Snippet(
        f"module m(input [2'd3:0] A, input [32'h3:0] B, output [3'b111:0] O); {BODY}", plain()
    ),
    "parameter too narrow for its value": Snippet(
        # 4 bits hold 20 as 4.
        f"module m #(parameter [3:0] W = 20)({HEADED}); {BODY}",
        plain(),
        "pyslang",
        parameters={"W": 4},
    ),
    "literal too narrow for its value": Snippet(
        f"module m(input [2'd7:0] A, input [3:0] B, output [7:0] O); {BODY}", plain(), "pyslang"
    ),
    "negative literal": Snippet(
        # The two's complement of 4 bits: -4.
        f"module m(input [-1:4'sb1100] A, input [3:0] B, output [7:0] O); {BODY}",
        plain(),
        "pyslang",
    ),
    "parameter of a huge power": Snippet(
        f"module m #(parameter P = 2 ** 40000000)(input [3:0] A, B, output [7:0] O); {BODY}",
        plain(),
    ),
    "function in a range": Snippet(
        "module m(input [f(3):0] A, input [3:0] B, output [7:0] O);"
        f"function integer f(input integer x); f = x; endfunction {BODY}",
        plain(),
        "pyslang",
    ),
    "second port after an output net": Snippet(
        "module m(output wire [7:0] O, Q, input [3:0] A, B); assign O = A * B; endmodule",
        (("O", 8, False), ("Q", 8, False), ("A", 4, False), ("B", 4, False)),
        "pyslang",
    ),
    "second port after an output net behind inputs": Snippet(
        "module m(input [3:0] A, B, output wire signed [7:0] O, Q); assign O = A * B; endmodule",
        (("A", 4, False), ("B", 4, False), ("O", 8, True), ("Q", 8, True)),
        "pyslang",
    ),
    "signed ends with the next direction": Snippet(
        f"module m(input signed [3:0] A, input [3:0] B, output signed [7:0] O); {BODY}",
        (("A", 4, True), ("B", 4, False), ("O", 8, True)),
    ),
    "three signed in a row": Snippet(
        "module m(input wire signed [3:0] A, B, C, output [7:0] O); assign O = A; endmodule",
        (("A", 4, True), ("B", 4, True), ("C", 4, True), ("O", 8, False)),
    ),
    "signed single bits": Snippet(
        "module m(input signed A, B, output [7:0] O); assign O = A; endmodule",
        (("A", 1, True), ("B", 1, True), ("O", 8, False)),
        "pyslang",
    ),
    "sum beyond 32 bits": Snippet(
        # 2**32 is 0 in 32 bits.
        f"module m #(parameter N = 2 ** 32)(input [N+3:0] A, input [3:0] B, output [7:0] O); {BODY}",
        plain(),
        "pyslang",
        parameters={"N": 0},
    ),
    "logic": Snippet(
        f"module m(input logic [3:0] A, input logic [3:0] B, output logic [7:0] O); {BODY}", plain()
    ),
    "typed parameter": Snippet(
        f"module m #(parameter int W = 4)({HEADED}); {BODY}",
        plain(5, 5, 10),
        "pyslang",
        parameters={"W": 5},
        overrides={"W": 5},
    ),
    "local parameter in the head": Snippet(
        "module m #(parameter W = 4, localparam V = 2 * W)"
        f"(input [W-1:0] A, B, output [V-1:0] O); {BODY}",
        plain(),
        "pyslang",
        parameters={"W": 4},
    ),
    "package": Snippet(
        "package p; localparam W = 4; endpackage\n"
        f"module m import p::*; (input [W-1:0] A, B, output [2*W-1:0] O); {BODY}",
        plain(),
        "pyslang",
    ),
    "typedef": Snippet(
        f"typedef logic signed [3:0] operand;\n"
        f"module m(input operand A, B, output signed [7:0] O); {BODY}",
        SIGNED,
        "pyslang",
    ),
    "byte": Snippet(
        f"module m(input byte A, input byte unsigned B, output shortint O); {BODY}",
        (("A", 8, True), ("B", 8, False), ("O", 16, True)),
        "pyslang",
    ),
    "packed dimensions": Snippet(
        f"module m(input [1:0][1:0] A, input [3:0] B, output [7:0] O); {BODY}", plain(), "pyslang"
    ),
    "end label": Snippet(
        "module m(input [3:0] A, B, output [7:0] O); assign O = A * B; endmodule : m",
        plain(),
        "pyslang",
    ),
    "escaped names": Snippet(
        "module m(input [3:0] \\A , input [3:0] \\B , output [7:0] \\O ); assign O = A * B; endmodule",
        plain(),
    ),
    "comments": Snippet(
        "/* module x(input A); // */ module m(input [3:0] A, // output B; */\n"
        f"input [3:0] /* [7:0] */ B, output [7:0] O); /* endmodule */ {BODY}",
        plain(),
    ),
    "attributes": Snippet(
        f"(* keep *) module m((* a = 1 *) input [3:0] A, input [3:0] B, output [7:0] O); {BODY}",
        plain(),
        "pyslang",
    ),
    "macros": Snippet(
        "`define W 4\n`define RANGE(n) [(n)-1:0]\n"
        f"module m(input `RANGE(`W) A, input `RANGE(4) B, output `RANGE(2*`W) O); {BODY}",
        plain(),
    ),
    "conditional text": Snippet(
        "`ifndef ABSENT\nmodule m(input [3:0] A, B, output [7:0] O);\n`else\nmodule n(;\n`endif\n"
        f"{BODY}",
        plain(),
    ),
}


def facts(declaration: ModuleDeclaration) -> tuple[tuple[str, int, bool], ...]:
    return tuple((port.name, port.width, port.signed) for port in declaration.ports)


def preprocessed(tmp_path: Path, text: str) -> str:
    (tmp_path / "m.v").write_text(text)
    return read_sources(tmp_path / "m.v").text


@pytest.mark.parametrize("name", SNIPPETS)
def test_ports_and_parameters_are_those_of_the_standard(name: str, tmp_path: Path) -> None:
    snippet = SNIPPETS[name]
    text = preprocessed(tmp_path, snippet.text)
    read = read_module(text, tmp_path / "m.v", top="m", overrides=snippet.overrides)
    assert facts(read.declaration) == snippet.ports
    assert read.front_end == snippet.front_end
    found = dict(read.declaration.parameters)
    found.pop("P", None)  # a value beyond any integer, which need not be known
    assert found == snippet.parameters


@pytest.mark.parametrize("name", SNIPPETS)
def test_pyslang_reads_every_snippet_alike(name: str, tmp_path: Path) -> None:
    snippet = SNIPPETS[name]
    declaration = PyslangUnit(preprocessed(tmp_path, snippet.text)).declare("m", snippet.overrides)
    assert facts(declaration) == snippet.ports
    found = dict(declaration.parameters)
    found.pop("P", None)
    assert found == snippet.parameters


@pytest.mark.parametrize("name", VARIANTS)
def test_both_front_ends_agree_about_rtl(name: str) -> None:
    reference: DesignReference = VARIANTS[name]
    text = read_sources(reference.path).text
    one, two = PyverilogUnit(text), PyslangUnit(text)
    assert one.modules == two.modules
    assert one.candidates == two.candidates
    top = choose_top(one, reference.path, reference.sidecar.top)
    assert one.declare(top, reference.overrides) == two.declare(top, reference.overrides)


@pytest.mark.parametrize("unit", [PyverilogUnit, PyslangUnit])
@pytest.mark.parametrize("name", ["K", "W"])
def test_a_parameter_that_cannot_be_overridden_is_named(
    unit: type[PyverilogUnit] | type[PyslangUnit], name: str
) -> None:
    text = (
        f"module m #(parameter V = 4)(input [V-1:0] A, B, output [7:0] O); localparam W = 1; {BODY}"
    )
    with pytest.raises(InterfaceError, match=f"no parameter '{name}'") as caught:
        unit(text).declare("m", {name: 1})
    assert caught.value.expected == "one of V"


def test_the_line_of_a_syntax_error_counts_from_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "inc.vh").write_text("// one\n// two\n`define N 3\n// four\n")
    source = tmp_path / "m.v"
    source.write_text(
        '`include "inc.vh"\n/* a\n b */\nmodule m(input [`N:0] A, B, output [7:0] O);\n'
        "assign O = A *;\nendmodule\n"
    )
    with pytest.raises(VerilogError, match=r"m\.v") as caught:
        read_design(*references(source))
    assert "m.v:5: expected expression" in str(caught.value)


def test_a_syntax_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "inc.vh").write_text("// one\nwire = ;\n")
    source = tmp_path / "m.v"
    source.write_text(f'module m(input [3:0] A, B, output [7:0] O);\n`include "inc.vh"\n{BODY}\n')
    with pytest.raises(VerilogError, match=r"m\.v cannot be parsed") as caught:
        read_design(*references(source))
    assert "inc.vh:2" in str(caught.value)


class TestTop:
    HELPER = "module helper(input x, output y); assign y = x; endmodule\n"
    TOP = (
        "module {name}(input [3:0] A, B, output [7:0] O); helper h(A[0], y); assign O = y;\n"
        "endmodule\n"
    )

    @pytest.mark.parametrize("unit", [PyverilogUnit, PyslangUnit])
    def test_it_is_what_nothing_instantiates(
        self, unit: type[PyverilogUnit] | type[PyslangUnit]
    ) -> None:
        text = self.HELPER + self.TOP.format(name="multiplier")
        assert choose_top(unit(text), Path("x.v"), None) == "multiplier"

    @pytest.mark.parametrize("unit", [PyverilogUnit, PyslangUnit])
    def test_of_several_it_is_the_one_called_like_the_file(
        self, unit: type[PyverilogUnit] | type[PyslangUnit]
    ) -> None:
        text = self.HELPER + self.TOP.format(name="first") + self.TOP.format(name="second")
        assert choose_top(unit(text), Path("second.v"), None) == "second"
        with pytest.raises(InterfaceError, match="several modules") as caught:
            choose_top(unit(text), Path("third.v"), None)
        assert caught.value.got == "first, second"

    @pytest.mark.parametrize("unit", [PyverilogUnit, PyslangUnit])
    def test_it_may_be_an_inner_module_if_the_sidecar_says_so(
        self, unit: type[PyverilogUnit] | type[PyslangUnit]
    ) -> None:
        text = self.HELPER + self.TOP.format(name="first")
        assert choose_top(unit(text), Path("x.v"), "helper") == "helper"

    def test_an_instance_in_a_generate_block_counts(self) -> None:
        text = self.HELPER + (
            "module m(input [3:0] A, B, output [7:0] O); genvar i;\n"
            "generate for (i = 0; i < 8; i = i + 1) begin : g helper h(A[0], O[i]); end\n"
            "endgenerate endmodule\n"
        )
        assert PyverilogUnit(text).candidates == PyslangUnit(text).candidates == ("m",)


@pytest.mark.parametrize("unit", [PyverilogUnit, PyslangUnit])
@pytest.mark.parametrize("text", ["module", "module m(", "not verilog at all", "endmodule", "}{"])
def test_what_is_not_verilog_is_left_to_the_next_front_end(
    unit: type[PyverilogUnit] | type[PyslangUnit], text: str
) -> None:
    with pytest.raises(CannotReadError):
        unit(text)


def test_a_front_end_that_misreads_a_sign_is_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Misreading(PyverilogUnit):
        def declare(self, module: str, overrides: Mapping[str, int]) -> ModuleDeclaration:
            right = super().declare(module, overrides)
            ports = tuple(replace(port, signed=False) for port in right.ports)
            return replace(right, ports=ports)

    text = "module m(input signed [3:0] A, input signed [3:0] B, output [7:0] O); endmodule"
    monkeypatch.setattr(read, "_FRONT_ENDS", (Misreading, PyslangUnit))
    found = read.read_module(text, Path("m.v"), top=None, overrides={})
    assert found.front_end == "pyslang"
    assert [port.signed for port in found.declaration.ports] == [True, True, False]


@pytest.mark.parametrize("kept", [None, b"", b"garbage(", b"_tabversion = '0'\n"])
def test_the_parser_s_kept_tables_are_only_a_short_cut(
    kept: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path))
    text = "module m(input [3:0] A, input [3:0] B, output [7:0] O); endmodule"
    pyverilog_reader._parser.cache_clear()
    try:
        fresh = PyverilogUnit(text).declare("m", {})
        (tables,) = tmp_path.rglob("parsetab.py")
        if kept is not None:
            tables.write_bytes(kept)
        pyverilog_reader._parser.cache_clear()
        assert PyverilogUnit(text).declare("m", {}) == fresh
        assert tables.stat().st_size > 1000  # damaged ones are replaced
    finally:
        pyverilog_reader._parser.cache_clear()
