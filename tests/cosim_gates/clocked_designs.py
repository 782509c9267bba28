"""Small clocked multipliers, what they compute, and what they are made of besides their core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rtlgrad.cosim.design import Design, DesignReference
from rtlgrad.cosim.interface import (
    Clocking,
    ClockStyle,
    ControlInput,
    Interface,
    Latency,
    OrderRule,
    Port,
    SignRule,
)
from rtlgrad.cosim.reading.sidecar import Sidecar
from rtlgrad.cosim.reading.sources import read_sources

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CORE_TEXT = "module top(input [3:0] a, b, output [7:0] o); assign o = a * (b | 4'd1); endmodule\n"
"""The combinational core of all of them: not commutative, and not 0 for b = 0."""


def core_table(bits: int = 4) -> NDArray[np.int64]:
    """Return what the core computes, by a (row) and b (column)."""
    codes = np.arange(1 << bits)
    return np.outer(codes, codes | 1)


def pipelined(cycles: int) -> Latency:
    return Latency(ClockStyle.PIPELINED, cycles, cycles, 1)


@dataclass(frozen=True)
class Clocked:
    """A clocked design: its Verilog, clock and latency."""

    text: str
    clocking: Clocking | None
    latency: Latency
    bits: int = 4

    def interface(self) -> Interface:
        ports = [
            Port(name, width, False, SignRule.UNSIGNED)
            for name, width in (("a", self.bits), ("b", self.bits), ("o", 2 * self.bits))
        ]
        return Interface("top", *ports, OrderRule.NAMES, {}, "pyverilog", self.clocking)

    def design(self, folder: Path) -> Design:
        path = folder / "top.v"
        path.write_text(self.text)
        reference = DesignReference("top", path, {}, Sidecar())
        return Design(reference, read_sources(path), self.interface())


CORE = Clocked(CORE_TEXT, None, pipelined(1))
CLOCK = Clocking("clk")
RESET = Clocking("clk", reset=ControlInput("rst_n", active_low=True))

PIPE = Clocked(
    """
    module top(input clk, input [3:0] a, b, output reg [7:0] o);
      reg [3:0] x, y;
      always @(posedge clk) begin x <= a; y <= b; o <= x * (y | 4'd1); end
    endmodule
    """,
    CLOCK,
    pipelined(2),
)

DEEP = Clocked(
    """
    module top(input ck, input rst, input en_n, input [3:0] a, b, output [7:0] o);
      reg [3:0] x, y; reg [5:0] low, high; reg [7:0] p;
      always @(negedge ck)
        if (rst) {x, y, low, high, p} <= 0;
        else if (!en_n) begin
          x <= a; y <= b | 4'd1;
          low <= x * y[1:0]; high <= x * y[3:2];
          p <= low + {high, 2'b0};
        end
      assign o = p;
    endmodule
    """,
    Clocking(
        "ck",
        falling=True,
        reset=ControlInput("rst"),
        enables=(ControlInput("en_n", active_low=True),),
    ),
    pipelined(3),
)

HANDSHAKE = Clocked(
    """
    module top(input clk, rst_n, go, input [3:0] a, b, output reg [7:0] o, output busy);
      reg [7:0] x, sum; reg [3:0] y; reg running;
      assign busy = running;
      always @(posedge clk or negedge rst_n)
        if (!rst_n) running <= 0;
        else if (!running) begin
          if (go) begin x <= a; y <= b | 4'd1; sum <= 0; running <= 1; end
        end else begin
          if (y[0]) sum <= sum + x;
          x <= x << 1; y <= y >> 1;
          if (y == 0) begin o <= sum; running <= 0; end
        end
    endmodule
    """,
    Clocking(
        "clk",
        reset=ControlInput("rst_n", active_low=True),
        start=ControlInput("go"),
        done="busy",
        done_active_low=True,
    ),
    # One edge to load, one for each bit up to the highest 1 of b | 1, one to see that none is left.
    Latency(ClockStyle.HANDSHAKE, 6, 3, 6),
)

SERIAL = Clocked(
    """
    module top(input clk, rst_n, input [3:0] a, b, output reg [7:0] o);
      reg [7:0] x, sum; reg [3:0] y; reg [2:0] n;
      wire [7:0] next = sum + (y[0] ? x : 8'd0);
      always @(posedge clk or negedge rst_n)
        if (!rst_n) begin n <= 0; o <= 0; end
        else if (n == 0) begin x <= a; y <= b | 4'd1; sum <= 0; n <= 1; end
        else if (n != 5) begin
          n <= n + 1; sum <= next; x <= x << 1; y <= y >> 1;
          if (n == 4) o <= next;
        end
    endmodule
    """,
    RESET,
    Latency(ClockStyle.HELD, 5, 5, 9, reset_each=True),
)

HELD = Clocked(
    PIPE.text,
    CLOCK,
    Latency(ClockStyle.HELD, 2, 2, 3),
)

INITIAL = Clocked(
    """
    module top(input clk, input [3:0] a, b, output reg [7:0] o);
      reg [2:0] ring = 3'b001;
      reg [7:0] p;
      always @(posedge clk) begin
        ring <= {ring[1:0], ring[2]};
        p <= a * (b | 4'd1);
        // A ring that does not start at its only 1 would let a wrong product through.
        o <= (ring == 3'b001 || ring == 3'b010 || ring == 3'b100) ? p : ~p;
      end
    endmodule
    """,
    CLOCK,
    pipelined(2),
)

ALL = {
    "pipe": PIPE,
    "deep": DEEP,
    "handshake": HANDSHAKE,
    "serial": SERIAL,
    "held": HELD,
    "initial": INITIAL,
}
