"""Small designs for the tests: what is a multiplier although it looks odd, and what is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtlgrad.core.errors import (
    DesignError,
    InterfaceError,
    RtlgradError,
    SimulationError,
    TimeLimitError,
    UnknownNameError,
    UnknownOutputError,
    VerilogError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Good:
    """A design whose table follows from a formula.

    Attributes:
        text: Verilog; MODULE stands for the file's stem.
        product: (value of a, value of b) -> value of the output.
        widths: bits of a and b.
        signed: whether a and b are two's complement.
        sidecar: content of the sidecar, or None for no sidecar.
        file: file name, with folders; the case's name and .v if empty.
        beside: further files in the same folder.
        warning: text that the record's warnings must contain; empty for no warning at all.
    """

    text: str | bytes
    product: Callable[[int, int], int] = lambda a, b: a * b
    widths: tuple[int, int] = (4, 4)
    signed: tuple[bool, bool] = (False, False)
    sidecar: str | None = None
    file: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""


@dataclass(frozen=True)
class Bad:
    """A design that must be refused.

    Attributes:
        text: Verilog; MODULE stands for the file's stem.
        error: class of the error, exactly.
        says: what the message must contain, besides the file.
        sidecar: content of the sidecar, or None for no sidecar.
        file: file name; the case's name and .v if empty.
    """

    text: str | bytes
    error: type[RtlgradError]
    says: tuple[str, ...]
    sidecar: str | None = None
    file: str = ""


def module(body: str, output: str = "output [7:0] O", inputs: str = "") -> str:
    """A 4x4 multiplier, or what is left of one."""
    inputs = inputs or "input [3:0] A, input [3:0] B"
    return f"module MODULE({inputs}, {output});\n{body}\nendmodule\n"


def write(folder: Path, name: str, case: Good | Bad) -> Path:
    """Write a case into a folder of its own and return the Verilog file."""
    path = folder / name / (case.file or f"{name}.v")
    path.parent.mkdir(parents=True)
    text = case.text if isinstance(case.text, bytes) else case.text.encode()
    path.write_bytes(text.replace(b"MODULE", path.stem.replace(" ", "_").encode()))
    if case.sidecar is not None:
        path.with_suffix(".toml").write_text(case.sidecar)
    if isinstance(case, Good):
        for other, content in case.beside.items():
            (path.parent / other).write_text(content)
    return path


SHARED_HELPER = """
module helper(input [3:0] a, input [3:0] b, output [7:0] o); assign o = a * b + {step}; endmodule
"""
THROUGH_HELPER = "helper unit(.a(A), .b(B), .o(O));"
INVERTERS = 3000
CHAIN = "\n".join(f"assign c[{i + 1}] = ~c[{i}];" for i in range(INVERTERS))

GOOD: dict[str, Good] = {
    "plain": Good(module("assign O = A * B;")),
    # Where a table is not the product, a transposed or sign-confused one cannot hide.
    "lopsided": Good(module("assign O = 8 * A + B;"), lambda a, b: 8 * a + b),
    "transposed_by_position": Good(
        module("assign O = 8 * A + B;", inputs="input [3:0] B, input [3:0] A"),
        lambda a, b: 8 * a + b,
    ),
    "swapped_by_sidecar": Good(
        module("assign O = 8 * A + B;"), lambda a, b: a + 8 * b, sidecar='[ports]\na = "B"\n'
    ),
    "unequal_widths": Good(
        module(
            "assign O = A * B + (A == 8'd200);",
            "output [11:0] O",
            "input [7:0] A, input [3:0] B",
        ),
        lambda a, b: a * b + (a == 200),
        widths=(8, 4),
    ),
    "wider_b": Good(
        module("assign O = 16 * A + B;", "output [7:0] O", "input [2:0] A, input [5:0] B"),
        lambda a, b: (16 * a + b) % 256,
        widths=(3, 6),
        warning="1 bits too narrow",
    ),
    "signed_keyword": Good(
        module("assign O = A * B - A;", "output signed [7:0] O", "input signed [3:0] A, B"),
        lambda a, b: a * b - a,
        signed=(True, True),
    ),
    "signed_operands_plain_output": Good(
        module("assign O = A * B;", inputs="input signed [3:0] A, input signed [3:0] B"),
        signed=(True, True),
    ),
    "mixed_signs": Good(
        module(
            "assign O = A * $signed({1'b0, B});",
            inputs="input signed [3:0] A, input [3:0] B",
        ),
        signed=(True, False),
    ),
    "mul4s_by_name": Good(module("assign O = $signed(A) * $signed(B);"), signed=(True, True)),
    "mul4s": Good(module("assign O = $signed(A) * $signed(B);"), signed=(True, True)),
    "signed_by_sidecar": Good(
        module("assign O = $signed(A) * $signed(B);"), signed=(True, True), sidecar="signed = true"
    ),
    "unsigned_by_sidecar": Good(
        module("assign O = A * B;"), sidecar="signed = false", file="mul4s_sidecar_wins.v"
    ),
    "narrow_output": Good(
        module("assign O = A * B;", "output [5:0] O"),
        lambda a, b: (a * b) % 64,
        warning="2 bits too narrow",
    ),
    "ascending_ranges": Good(
        module("assign O = A * B + A;", "output [0:7] O", "input [0:3] A, input [3:0] B"),
        lambda a, b: a * b + a,
    ),
    "offset_ranges": Good(
        module("assign O = A * B;", "output [8:1] O", "input [7:4] A, input [-1:-4] B")
    ),
    "only_wires": Good(module("assign O = {A, B};"), lambda a, b: 16 * a + b),
    "constant": Good(module("assign O = 8'd5;"), lambda _a, _b: 5),
    "guarded_division": Good(
        module("assign O = (B == 0) ? 8'd255 : {4'b0, A} / B;"),
        lambda a, b: a // b if b else 255,
    ),
    "guarded_index": Good(
        module("assign O = (B < 4) ? A[B[1:0]] * 8'd3 : 8'd1;"),
        lambda a, b: 3 * (a >> b & 1) if b < 4 else 1,
    ),
    "unreachable_x": Good(
        module(
            "always @* case (A[1:0]) 0: O = B; 1: O = 1; 2: O = 2; 3: O = 3;\n"
            "default: O = 8'hxx; endcase",
            "output reg [7:0] O",
        ),
        lambda a, b: [b, 1, 2, 3][a % 4],
    ),
    "casez_pattern": Good(
        module(
            "always @* casez (A) 4'b1???: O = 8 * B; 4'b01??: O = 4 * B; default: O = B; endcase",
            "output reg [7:0] O",
        ),
        lambda a, b: (8 if a >= 8 else 4 if a >= 4 else 1) * b,
    ),
    "rom": Good(
        module(
            "reg [7:0] rom [0:15]; integer i;\n"
            "initial for (i = 0; i < 16; i = i + 1) rom[i] = 3 * i;\n"
            "assign O = rom[A] + B;"
        ),
        lambda a, b: 3 * a + b,
    ),
    "helper_of_one": Good(
        module(THROUGH_HELPER) + SHARED_HELPER.format(step=1), lambda a, b: a * b + 1
    ),
    "helper_of_another": Good(
        module(THROUGH_HELPER) + SHARED_HELPER.format(step=2), lambda a, b: a * b + 2
    ),
    "global_function": Good(
        "function automatic [7:0] step(input [3:0] a); step = a + 1; endfunction\n"
        + module("assign O = A * B + step(0);"),
        lambda a, b: a * b + 1,
    ),
    "other_global_function": Good(
        "function automatic [7:0] step(input [3:0] a); step = a + 2; endfunction\n"
        + module("assign O = A * B + step(0);"),
        lambda a, b: a * b + 2,
    ),
    "defines_a_macro": Good(
        "`define EXTRA 1\n`default_nettype none\n`timescale 1s / 1s\n"
        + module("assign O = A * B + `EXTRA;", "output wire [7:0] O", "input wire [3:0] A, B"),
        lambda a, b: a * b + 1,
    ),
    "asks_for_a_macro": Good(
        "`ifdef EXTRA\n`define STEP 1\n`else\n`define STEP 0\n`endif\n"
        # An implicit net, which `default_nettype none of another file would forbid.
        + module("assign odd = A[0];\nassign O = A * B + `STEP + {7'b0, odd};"),
        lambda a, b: a * b + a % 2,
        warning="IMPLICIT",
    ),
    "pulls_what_is_open": Good(
        "`unconnected_drive pull1\n"
        + module("wire one; pass unit(.i(), .o(one)); assign O = A * B + {7'b0, one};")
        + "module pass(input i, output o); assign o = i; endmodule\n",
        lambda a, b: a * b + 1,
    ),
    "old_keywords": Good(
        '`begin_keywords "1364-2001"\n'
        + module("wire logic; assign logic = 1'b1; assign O = A * B + {7'b0, logic};"),
        lambda a, b: a * b + 1,
    ),
    "includes": Good(
        '`include "step size.vh"\n' + module("assign O = A * B + `STEP;"),
        lambda a, b: a * b + 7,
        beside={"step size.vh": "`define STEP 7\n"},
    ),
    "gate_delays": Good(module("wire #2 zero = A[0] & ~A[0];\nassign #3 O = A * B + zero;")),
    "clock_that_does_not_matter": Good(
        module("reg c; initial begin c = 0; forever #1 c = ~c; end\nassign O = A * B;")
    ),
    "clocked": Good(
        module(
            "always @(posedge clk) O <= 8 * A + B;",
            "output reg [7:0] O",
            "input clk, input [3:0] A, input [3:0] B",
        ),
        lambda a, b: 8 * a + b,
    ),
    "escaped_names": Good(
        "module \\weird+name (input [3:0] \\a-b , input [3:0] \\end , output [7:0] \\o[1] );\n"
        "assign \\o[1] = 8 * \\a-b + \\end ;\nendmodule\n",
        lambda a, b: 8 * a + b,
    ),
    "names_of_ours": Good(
        "module dut(input [3:0] a, input [3:0] b, output [7:0] row);\n"
        "wire [7:0] rows_done = a * b; assign row = rows_done;\nendmodule\n"
    ),
    "path with spaces": Good(module("assign O = A * B;"), file="a b/my multiplier.v"),
    "crlf": Good(module("// comment\nassign O = A * B;").replace("\n", "\r\n")),
    "no_final_newline": Good(module("assign O = A * B;").rstrip()),
    "byte_order_mark": Good(b"\xef\xbb\xbf" + module("assign O = A * B;").encode()),
    "unicode": Good("// Ünïcode, 乘法器\n" + module("assign O = A * B; /* é */")),
    "latin_1": Good(b"// M\xfcller\n" + module("assign O = A * B;").encode()),
    "odd_comments": Good(
        "/* module fake(input x); // */ // /* endmodule\n"
        + module(
            'initial if (0) $display("// module fake2; /*");\n'
            "assign O = A /* * 2 // */ * B; // + 1'bz */"
        )
    ),
    "recursive": Good(
        "module MODULE #(parameter N = 3)(input [3:0] A, input [3:0] B, output [7:0] O);\n"
        "generate if (N > 0) begin\n"
        "wire [7:0] t; MODULE #(N - 1) inner(A, B, t); assign O = t + 1;\n"
        "end else begin assign O = A * B; end endgenerate\nendmodule\n",
        lambda a, b: (a * b + 3) % 256,
    ),
    "extra_output": Good(
        module("assign O = A * B; assign carry = A[0];", "output [7:0] O, output carry"),
        sidecar='[ports]\nout = "O"\n',
    ),
    "long_chain": Good(
        module(
            f"wire [{INVERTERS}:0] c; assign c[0] = A[0];\n{CHAIN}\n"
            f"assign O = 2 * B + c[{INVERTERS}];"
        ),
        lambda a, b: 2 * b + a % 2,
    ),
    "deep_expression": Good(
        module(f"assign O = A * B{' + 0' * 2000};"),
    ),
    "systemverilog": Good(
        "package widths; localparam int W = 4; endpackage\n"
        "module MODULE import widths::*; (input logic [W-1:0] A, B, output logic [2*W-1:0] O);\n"
        "always_comb O = 8 * A + B;\nendmodule : MODULE\n",
        lambda a, b: 8 * a + b,
        file="sv.sv",
    ),
}

BAD: dict[str, Bad] = {
    # Not a multiplier that can be read.
    "no_module": Bad("// nothing here\n`define A 1\n", InterfaceError, ("no module",)),
    "empty": Bad("", DesignError, ("is empty",)),
    "blank": Bad(" \n\t\r\n", DesignError, ("is empty",)),
    "binary": Bad(b"\x7fELF\x02\x01\x00\x00", DesignError, ("not a text file",)),
    "utf_16": Bad(module("assign O = A * B;").encode("utf-16"), DesignError, ("not a text file",)),
    "prose": Bad("Dear reader,\nthis is not Verilog.\n", VerilogError, ("prose.v:1",)),
    "syntax_error": Bad(
        "// one\n" + module("wire t;\nassign O = A * ;"), VerilogError, ("syntax_error.v:4",)
    ),
    "unfinished": Bad("module MODULE(input [3:0] A,\n", VerilogError, ("unfinished.v:",)),
    "unknown_net": Bad(module("assign O = A * C;"), VerilogError, ("unknown_net.v:2", "'C'")),
    "missing_include": Bad(
        '\n`include "nowhere.vh"\n' + module("assign O = A * B;"),
        VerilogError,
        ("missing_include.v:2", "nowhere.vh"),
    ),
    "missing_submodule": Bad(
        module("nowhere unit(A, B, O);"), VerilogError, ("missing_submodule.v:2", "nowhere")
    ),
    "module_twice": Bad(
        module("assign O = A * B;") + module("assign O = A + B;"),
        VerilogError,
        ("module_twice.v:4", "Duplicate"),
    ),
    "endless_recursion": Bad(
        "module MODULE #(parameter N = 0)(input [3:0] A, input [3:0] B, output [7:0] O);\n"
        "MODULE #(N + 1) inner(A, B, O);\nendmodule\n",
        VerilogError,
        ("recursion",),
    ),
    "endless_generate": Bad(
        module(
            "genvar i; generate for (i = 0; i >= 0; i = i + 1) begin : g wire t; end endgenerate\n"
            "assign O = A * B;"
        ),
        VerilogError,
        ("endless_generate.v:2", "loop"),
    ),
    "multiply_two_tops": Bad(
        "module one(input [3:0] A, input [3:0] B, output [7:0] O); assign O = A * B; endmodule\n"
        "module two(input [3:0] A, input [3:0] B, output [7:0] O); assign O = A + B; endmodule\n",
        InterfaceError,
        ("several modules", "one, two", 'top = "one"'),
    ),
    "unknown_top": Bad(
        module("assign O = A * B;"),
        UnknownNameError,
        ("unknown_to", "did you mean 'unknown_top'?"),
        sidecar='top = "unknown_to"',
    ),
    "unknown_port": Bad(
        module("assign O = A * B;"),
        UnknownNameError,
        ("'OUT'", "one of O"),
        sidecar='[ports]\nout = "OUT"',
    ),
    "one_port_for_both": Bad(
        module("assign O = A * B;"),
        InterfaceError,
        ("'A'", "two different inputs"),
        sidecar='[ports]\na = "A"\nb = "A"',
    ),
    "output_as_operand": Bad(
        module("assign O = A * B;"), UnknownNameError, ("'O'",), sidecar='[ports]\na = "O"'
    ),
    "unknown_parameter": Bad(
        module("assign O = A * B;"),
        InterfaceError,
        ("no parameter 'K'",),
        sidecar="[variants.unknown_parameter]\nK = 3",
    ),
    "local_parameter": Bad(
        module("localparam K = 0; assign O = A * B + K;"),
        InterfaceError,
        ("no parameter 'K'",),
        sidecar="[variants.local_parameter]\nK = 3",
    ),
    # Ports that are not those of a combinational two-operand multiplier.
    "third_operand": Bad(
        module("assign O = A * B + C;", inputs="input [3:0] A, input [3:0] B, input [3:0] C"),
        InterfaceError,
        ("A[4], B[4], C[4]", "two inputs"),
    ),
    "one_operand": Bad(
        module("assign O = A * A;", inputs="input [3:0] A"), InterfaceError, ("A[4]", "two inputs")
    ),
    "no_ports": Bad("module MODULE; endmodule\n", InterfaceError, ("no output",)),
    "clock_of_an_unknown_name": Bad(
        module(
            "always @(posedge tick) if (rst) O <= 0; else O <= A * B;",
            "output reg [7:0] O",
            "input tick, input rst, input [3:0] A, input [3:0] B",
        ),
        InterfaceError,
        ("tick[1]", "rst looks like a control", "[clock]"),
    ),
    "two_clocks": Bad(
        module(
            "always @(posedge clk1) O <= A * B;",
            "output reg [7:0] O",
            "input clk1, input clk2, input [3:0] A, input [3:0] B",
        ),
        InterfaceError,
        ("several clocks", "clk1, clk2"),
    ),
    "mode_input": Bad(
        module(
            "always @(posedge clk) O <= mode ? A * B : 0;",
            "output reg [7:0] O",
            "input clk, input mode, input [3:0] A, input [3:0] B",
        ),
        InterfaceError,
        ("mode[1]", "the clock is 'clk'", "enables"),
    ),
    "inout_port": Bad(
        module("assign O = A * B;", "inout [7:0] O"), InterfaceError, ("'O'", "inout")
    ),
    "no_output": Bad(
        "module MODULE(input [3:0] A, input [3:0] B);\nendmodule\n", InterfaceError, ("no output",)
    ),
    "two_outputs": Bad(
        module("assign O = A * B; assign P = 0;", "output [7:0] O, output P"),
        InterfaceError,
        ("several outputs", "O[8], P[1]", "[ports] out"),
    ),
    "one_bit_operand": Bad(
        module("assign O = A * B;", inputs="input A, input [3:0] B"),
        InterfaceError,
        ("'A' is 1 bits wide", "2 to 64 bits"),
    ),
    "operand_of_65_bits": Bad(
        module("assign O = A * B;", inputs="input [3:0] A, input [64:0] B"),
        InterfaceError,
        ("'B' is 65 bits wide", "2 to 64 bits"),
    ),
    "output_of_65_bits": Bad(
        module("assign O = A * B;", "output [64:0] O"), InterfaceError, ("65 bits", "at most 64")
    ),
    "value_of_64_bits": Bad(
        module("assign O = ~64'd0 - A - B;", "output [63:0] O"), SimulationError, ("fit", "32 bits")
    ),
    "real_output": Bad(
        module("assign O = A * B;", "output real O"), InterfaceError, ("'O' is not a vector",)
    ),
    # Unknown outputs.
    "undriven": Bad(module(""), UnknownOutputError, ()),
    "undriven_bit": Bad(module("assign O[6:0] = A * B;"), UnknownOutputError, ("X",)),
    "undriven_net": Bad(
        module("wire u; assign O = A * B ^ {7'b0, u};"), UnknownOutputError, ("undriven nets",)
    ),
    "unknowns_that_cancel": Bad(
        module("wire u, v; assign O = A * B ^ {7'b0, u ^ v};"), UnknownOutputError, ("X",)
    ),
    "lint_silenced": Bad(
        module(
            "/* verilator lint_off UNDRIVEN */ wire u, v; // verilator lint_off WIDTH\n"
            "assign O = A * B ^ {7'b0, u ^ v};"
        ),
        UnknownOutputError,
        ("X",),
    ),
    "x_for_one_pair": Bad(
        module("assign O = (A == 3 && B == 5) ? 8'hxx : A * B;"), UnknownOutputError, ("a=3 b=5",)
    ),
    "one_x_bit_for_one_pair": Bad(
        module("wire [7:0] p = A * B; assign O = (A == 3 && B == 5) ? {p[7:1], 1'bx} : p;"),
        UnknownOutputError,
        ("a=3 b=5",),
    ),
    "uninitialised_register": Bad(
        module("reg r; assign O = A * B ^ {7'b0, r};"), UnknownOutputError, ("X",)
    ),
    "function_without_value": Bad(
        module(
            "function [7:0] f(input [3:0] x, y); reg t; f = x * y ^ {7'b0, t}; endfunction\n"
            "assign O = f(A, B);"
        ),
        UnknownOutputError,
        ("X",),
    ),
    "division_by_zero": Bad(module("assign O = A / B;"), UnknownOutputError, ("b=0", "division")),
    "remainder_by_zero": Bad(module("assign O = A % B;"), UnknownOutputError, ("b=0", "division")),
    "index_out_of_range": Bad(
        module("assign O = {7'b0, A[B]};"), UnknownOutputError, ("out of range",)
    ),
    "memory_entry_without_value": Bad(
        module(
            "reg [7:0] rom [0:15]; integer i;\n"
            "initial for (i = 0; i < 15; i = i + 1) rom[i] = i;\nassign O = rom[A] * B;"
        ),
        UnknownOutputError,
        ("a=15",),
    ),
    "memory_file_missing": Bad(
        module('reg [7:0] rom [0:15]; initial $readmemh("no.hex", rom);\nassign O = rom[A] * B;'),
        UnknownOutputError,
        (),
    ),
    "random": Bad(module("assign O = A * B ^ ((A == 5) ? $random : 0);"), UnknownOutputError, ()),
    # State and structure.
    "latch_if": Bad(
        module("always @* if (A != 3) O = A * B;", "output reg [7:0] O"),
        DesignError,
        ("a latch", "else"),
    ),
    "latch_case": Bad(
        module("always @* case (A) 0: O = 0; 1: O = B; endcase", "output reg [7:0] O"),
        DesignError,
        ("a latch", "default"),
    ),
    "ignores_b": Bad(
        module("always @(A) O = A * B;", "output reg [7:0] O"),
        UnknownOutputError,
        ("sensitivity lists",),
    ),
    "ignores_a": Bad(
        module("always @(B) O = A * B;", "output reg [7:0] O"),
        UnknownOutputError,
        ("sensitivity lists",),
    ),
    "sr_latch": Bad(
        module(
            "wire q, qn;\nassign q = ~(A[0] | qn);\nassign qn = ~(B[0] | q);\n"
            "assign O = A * B ^ {7'b0, q};"
        ),
        DesignError,
        ("combinational loop", "sr_latch.v:3"),
    ),
    "oscillator": Bad(
        module("wire q;\nassign q = ~(q & A[0]);\nassign O = A * B ^ {7'b0, q};"),
        DesignError,
        ("combinational loop", "oscillator.v:3"),
    ),
    "driven_twice": Bad(
        module("assign O = A * B;\nassign O[0] = A[0];"), DesignError, ("more than once",)
    ),
    "clocked_by_an_operand": Bad(
        module(
            "reg r; initial r = 0; always @(posedge A[0]) r <= ~r;\nassign O = A * B ^ {7'b0, r};"
        ),
        DesignError,
        ("keeps state", "register"),
    ),
    "gate_delay_too_long": Bad(
        "`timescale 1s / 1s\n" + module("assign #3 O = A * B;"),
        UnknownOutputError,
        ("applied before",),
    ),
}

GATED = """\
wire [7:0] p = A * B; wire on = !(A == 1 && B == 2); genvar i;
generate for (i = 0; i < 8; i = i + 1) begin : g bufif1 drive(O[i], p[i], on); end endgenerate"""

FLOATING: dict[str, Bad] = {
    "z_for_one_pair": Bad(
        module("assign O = (A == 1 && B == 2) ? 8'bz : A * B;"),
        UnknownOutputError,
        ("a=1 b=2", "ZZZZZZZZ"),
    ),
    "z_from_a_gate": Bad(module(GATED), UnknownOutputError, ("a=1 b=2", "ZZZZZZZZ")),
    # Verilog ignores these writes; Verilator and Yosys put them at the index modulo the size.
    "write_beyond_an_array": Bad(
        module(
            "reg [7:0] rom [0:15]; integer i;\n"
            "initial for (i = 0; i < 25; i = i + 1) rom[i] = 3 * i;\nassign O = rom[A] + B;"
        ),
        SimulationError,
        ("a=0 b=0", "beyond the end of an array"),
    ),
    "write_beyond_a_vector": Bad(
        module("always @* begin O = A; O[B] = 1; end", "output reg [7:0] O"),
        SimulationError,
        ("a=0 b=8", "beyond the end of an array"),
    ),
}

MAY_FLOAT = {
    "8'bz": True,
    "8'h zz": True,
    "16'shz": True,
    "4'd?": True,
    "'z": True,
    "8'b0000_000z": True,
    '$display("//"); x = 1\'bz': True,
    "\\a// = 1'bz": True,
    "bufif1 b(O, A, B)": True,
    "trireg t": True,
    "buf (highz0, strong1) b(O, A)": True,
    "8'hx": False,
    "8'b0 // 8'bz": False,
    "/* 8'bz */ 8'b0": False,
    '$display("8\'bz")': False,
    "casez (A) 4'b1???: O = 1; endcase": False,
    "zulu = 8'd12": False,
    "bufif1x": False,
}
"""Text -> whether it can drive Z."""

ENDLESS: dict[str, Bad] = {
    "loops_for_ever": Bad(
        module(
            "reg go;\nalways @* begin go = (A == 4'd5); O = A * B; while (go) O = O + 1; end",
            "output reg [7:0] O",
        ),
        TimeLimitError,
        ("6 s", "--time-limit"),
    ),
}
"""Designs that hold up their simulation."""

ENDED: dict[str, Bad] = {
    "finishes": Bad(
        module("assign O = A * B; always @* if (A == 7) $finish;"), SimulationError, ("$finish",)
    ),
    "calls_c": Bad(
        'import "DPI-C" function int elsewhere(int x);\n' + module("assign O = elsewhere(A * B);"),
        SimulationError,
        ("undefined reference", "elsewhere"),
    ),
}
"""Designs whose simulation ends too soon, or cannot be built."""

HIDDEN = Bad(
    module(
        "reg c; initial begin c = 0; forever #1 c = ~c; end\n"
        "/* verilator lint_off UNDRIVEN */ wire u, v; assign O = A * B ^ {7'b0, u ^ v};"
    ),
    UnknownOutputError,
    ("undriven nets",),
)
"""Yosys cannot read it, its lint is silenced, and its unknowns cancel if all are 0 or all are 1."""
