"""Small clocked designs for the tests: 4x4 multipliers that take their time, and what is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtlgrad.core.errors import RtlgradError, SimulationError, UnknownOutputError
from rtlgrad.cosim.interface import ClockStyle, Latency

if TYPE_CHECKING:
    from pathlib import Path

PIPELINED, HELD, HANDSHAKE = ClockStyle.PIPELINED, ClockStyle.HELD, ClockStyle.HANDSHAKE


@dataclass(frozen=True)
class Multiplier:
    """A clocked design whose table is the exact product.

    Attributes:
        text: Verilog; MODULE stands for the case's name.
        latency: what must be measured.
        sidecar: content of the sidecar, None for none.
        starts_unknown: whether it depends on registers that start as anything but settle by
            themselves, which a simulator with X cannot see.
    """

    text: str
    latency: Latency
    sidecar: str | None = None
    starts_unknown: bool = False


@dataclass(frozen=True)
class Refused:
    """A clocked design that must be refused.

    Attributes:
        text: Verilog; MODULE stands for the case's name.
        says: what the message must contain.
        error: class of the error.
        sidecar: content of the sidecar, None for none.
    """

    text: str
    says: tuple[str, ...]
    error: type[RtlgradError] = SimulationError
    sidecar: str | None = None


def write(folder: Path, name: str, case: Multiplier | Refused) -> Path:
    """Write a case and its sidecar; return the Verilog file."""
    path = folder / f"{name}.v"
    path.write_text(case.text.replace("MODULE", name))
    if case.sidecar is not None:
        path.with_suffix(".toml").write_text(case.sidecar)
    return path


def pipelined(cycles: int) -> Latency:
    return Latency(PIPELINED, cycles, cycles, 1)


def module(inputs: str, body: str, outputs: str = "") -> str:
    """A module with operands of 4 bits, a registered product p, and further ports."""
    ports = f"{inputs}, input [3:0] a, input [3:0] b, output reg [7:0] p{outputs}"
    return f"module MODULE({ports});\n{body}\nendmodule\n"


def pipeline(stages: int, edge: str = "posedge") -> str:
    registers = "".join(f"reg [7:0] s{i};\n" for i in range(1, stages))
    values = ["a * b", *(f"s{i}" for i in range(1, stages))]
    targets = [*(f"s{i}" for i in range(1, stages)), "p"]
    steps = " ".join(f"{t} <= {v};" for t, v in zip(targets, values, strict=True))
    return module("input clk", f"{registers}always @(posedge clk) begin {steps} end").replace(
        "posedge", edge
    )


# Shift and add, over as soon as no 1 is left in the multiplier. FIRST begins an operation,
# IDLE and BUSY are what the design does besides, LAST is when it is over.
SERIAL = """
reg [7:0] shifted, sum; reg [3:0] left; reg busy; reg [2:0] count;
always @(posedge clk) begin
  DEFAULT
  if (RESET) begin busy <= 0; p <= 0; end
  else if (!busy) begin
    if (FIRST) begin shifted <= a; left <= b; sum <= 0; count <= 0; busy <= 1; end
  end else if (LAST) begin p <= sum; busy <= 0; DONE end
  else begin
    if (left[0]) sum <= sum + shifted;
    shifted <= shifted << 1; left <= left >> 1; count <= count + 1;
  end
end
"""
EARLY, FIXED = "left == 0", "count == 4"


def serial(
    inputs: str,
    *,
    last: str = EARLY,
    first: str = "start",
    reset: str = "rst",
    default: str = "done <= 0;",
    done: str = "done <= 1;",
    outputs: str = ", output reg done",
) -> str:
    body = SERIAL.replace("DEFAULT", default).replace("DONE", done).replace("RESET", reset)
    return module(inputs, body.replace("FIRST", first).replace("LAST", last), outputs)


def without_done(inputs: str, **changes: str) -> str:
    return serial(inputs, default="", done="", outputs="", **changes)


RESET_START = "input clk, input rst, input start"
ADDS_REPEATEDLY = module(
    "input clk, input start",
    """reg [3:0] left, addend; initial left = 0;
always @(posedge clk)
  if (start) begin left <= b; addend <= a; p <= 0; end
  else if (left != 0) begin p <= p + addend; left <= left - 1; end""",
)
RARE = "a == 4'd13 && b == 4'd11"
"""An operand pair that is not among those that latencies are measured with."""

GOOD: dict[str, Multiplier] = {
    **{f"pipeline{n}": Multiplier(pipeline(n), pipelined(n)) for n in range(1, 6)},
    "falling_edge": Multiplier(
        pipeline(2, "negedge"), pipelined(2), '[clock]\nedge = "falling"\nstyle = "pipelined"\n'
    ),
    "synchronous_reset_and_enable": Multiplier(
        module(
            "input clock, input reset, input en",
            """reg [7:0] q;
always @(posedge clock) if (reset) begin p <= 0; q <= 0; end
  else if (en) begin q <= a * b; p <= q; end""",
        ),
        pipelined(2),
    ),
    "asynchronous_reset_active_low": Multiplier(
        module(
            "input clk, input aresetn, input ce_n",
            """always @(posedge clk or negedge aresetn)
  if (!aresetn) p <= 0; else if (!ce_n) p <= a * b;""",
        ),
        pipelined(1),
    ),
    "valid_in_valid_out": Multiplier(
        module(
            "input clk, input rst_n, input in_valid",
            """reg [7:0] q; reg v;
always @(posedge clk) if (!rst_n) begin v <= 0; out_valid <= 0; end
  else begin v <= in_valid; out_valid <= v; q <= a * b; p <= q; end""",
            ", output reg out_valid",
        ),
        pipelined(2),
    ),
    "clock_unused": Multiplier(
        module("input clk", "always @* p = a * b;"), pipelined(0), "signed = false\n"
    ),
    "named_by_sidecar": Multiplier(
        serial(
            "input tick, input kill, input fire, input hot",
            first="fire && !hot",
            reset="!kill",
            outputs=", output reg over",
            done="over <= 0;",
            default="over <= 1;",
        ).replace("posedge clk", "posedge tick"),
        Latency(HANDSHAKE, 6, 2, 6),
        '[clock]\nclock = "tick"\nreset = "kill"\nreset_active = "low"\nstart = "fire"\n'
        'done = "over"\ndone_active = "low"\nenables = [{port = "hot", active = "low"}]\n',
    ),
    "start_pulse_done_pulse": Multiplier(serial(RESET_START), Latency(HANDSHAKE, 6, 2, 6)),
    "busy_for_done": Multiplier(
        without_done(RESET_START)
        .replace("reg busy;", "assign busy_o = busy; reg busy;")
        .replace("reg [7:0] p", "reg [7:0] p, output busy_o"),
        Latency(HANDSHAKE, 6, 2, 6),
    ),
    "start_level_until_done": Multiplier(
        module(
            "input clk, input rst, input start",
            """reg [2:0] n; assign done = n == 5;
always @(posedge clk) if (rst || !start) n <= 0;
  else if (n != 5) begin
    if (n == 0) p <= 0; else if (b[n - 1]) p <= p + (a << (n - 1));
    n <= n + 1;
  end""",
            ", output done",
        ),
        Latency(HANDSHAKE, 5, 5, 6, start_held=True),
    ),
    "rests_after_done": Multiplier(
        serial(
            RESET_START,
            first="start && rest == 0",
            default="done <= 0; if (rst) rest <= 0; else if (rest != 0) rest <= rest - 1;",
            done="done <= 1; rest <= 2;",
        ).replace("reg busy;", "reg busy; reg [1:0] rest;"),
        Latency(HANDSHAKE, 6, 2, 8),
    ),
    "reset_for_start": Multiplier(
        serial(
            "input clk, input rst",
            first="!over",
            default="done <= 0; if (rst) over <= 0;",
            done="done <= 1; over <= 1;",
        ).replace("reg busy;", "reg busy, over;"),
        Latency(HANDSHAKE, 6, 2, 10, reset_each=True),
    ),
    "held_after_start": Multiplier(without_done(RESET_START, last=FIXED), Latency(HELD, 6, 6, 6)),
    "held_after_reset": Multiplier(
        without_done("input clk, input rst", first="1", last=FIXED),
        Latency(HELD, 6, 6, 10, reset_each=True),
    ),
    "held_free_running": Multiplier(
        without_done("input clk", first="1", last="count >= 4", reset="0"),
        Latency(HELD, 11, 11, 11),
        starts_unknown=True,
    ),
    "bits_at_different_times": Multiplier(
        module(
            "input clk",
            """reg [3:0] x, y; wire [7:0] now = a * b; wire [7:0] then = x * y;
always @(posedge clk) begin x <= a; y <= b; p <= {then[7:4], now[3:0]}; end""",
        ),
        Latency(HELD, 2, 2, 2),
    ),
    "partial_results_shifted_out": Multiplier(
        module(
            "input clk, input start",
            """reg [3:0] m; reg [2:0] n; wire [4:0] t = p[7:4] + (p[0] ? m : 4'd0);
always @(posedge clk) if (start) begin p <= {4'd0, b}; m <= a; n <= 4; end
  else if (n != 0) begin p <= {t, p[3:1]}; n <= n - 1; end""",
        ),
        Latency(HELD, 5, 5, 5),
    ),
    "fixed_by_sidecar": Multiplier(
        ADDS_REPEATEDLY, Latency(HELD, 16, 16, 16), "[clock]\ncycles = 16\n"
    ),
}

BAD: dict[str, Refused] = {
    "early_without_done": Refused(
        without_done(RESET_START), ("varies with its operands", "no done output", "a=", "after 6")
    ),
    "early_free_running": Refused(
        without_done("input clk, input rst", first="1"), ("varies with its operands", "a=")
    ),
    "adds_repeatedly": Refused(ADDS_REPEATEDLY, ("varies with its operands", "cycles = 16")),
    "longer_than_the_sidecar_says": Refused(
        ADDS_REPEATEDLY, ("longer than the 12 cycles", "a="), sidecar="[clock]\ncycles = 12\n"
    ),
    "not_pipelined": Refused(
        serial(RESET_START), ("is not pipelined",), sidecar='[clock]\nstyle = "pipelined"\n'
    ),
    "not_that_deep": Refused(
        pipeline(2), ("is not pipelined",), sidecar='[clock]\nstyle = "pipelined"\ncycles = 3\n'
    ),
    "not_that_slow": Refused(
        pipeline(2), ("does not take 3 cycles", "after 2"), sidecar="[clock]\ncycles = 3\n"
    ),
    "never_done": Refused(
        serial(RESET_START, done="done <= 0;"), ("does not come within", "not asserted", "a=")
    ),
    "always_done": Refused(
        serial(RESET_START, done="", default="done <= 1;"), ("stays asserted", "a=")
    ),
    "accumulator": Refused(
        module(
            "input clk, input rst",
            "always @(posedge clk) if (rst) p <= 0; else p <= p + a * b;",
        ),
        ("does not settle", "a=", "accumulator"),
    ),
    "accumulator_with_handshake": Refused(
        module(
            RESET_START,
            """always @(posedge clk) if (rst) begin p <= 0; done <= 0; end
  else begin done <= start; if (start) p <= p + a * b; end""",
            ", output reg done",
        ),
        ("keeps state", "in one operation", "a="),
    ),
    "done_without_start": Refused(
        serial("input clk", first="1", reset="0"), ("neither a start nor a reset",)
    ),
    "reset_of_the_other_level": Refused(
        module("input clk, input rst", "always @(posedge clk) if (rst) p <= 0; else p <= a * b;"),
        ("does not answer to its operands", "reset"),
        sidecar='[clock]\nreset = "rst"\nreset_active = "low"\n',
    ),
}

# What a few operands do not show, and the sweep over all of them does.
RARELY_BAD: dict[str, Refused] = {
    "rarely_done": Refused(
        serial(RESET_START, done=f"done <= !({RARE});"), ("a=13 b=11", "does not come within")
    ),
    "rarely_late": Refused(
        without_done(RESET_START, last=f"count == 4 + ({RARE})"),
        ("a=13 b=11", "more than the 6 clock cycles"),
        UnknownOutputError,
    ),
    "rarely_valid": Refused(
        module(
            "input clk, input in_valid",
            f"always @(posedge clk) begin out_valid <= in_valid && !({RARE}); p <= a * b; end",
            ", output reg out_valid",
        ),
        ("a=13 b=11", "is not asserted"),
    ),
    "rarely_remembers": Refused(
        module(
            "input clk",
            f"reg r; always @(posedge clk) begin r <= {RARE}; p <= a * b + r; end",
        ),
        ("not a function of its operands", "a="),
        UnknownOutputError,
    ),
    "never_initialized": Refused(
        module("input clk", "reg r; always @(posedge clk) begin r <= r; p <= a * b + r; end"),
        ("not a function of its operands", "a="),
        UnknownOutputError,
    ),
    "two_never_initialized": Refused(
        module(
            "input clk",
            "reg r, s; always @(posedge clk) begin r <= r; s <= s; p <= a * b + (r ^ s); end",
        ),
        ("not a function of its operands", "a="),
        UnknownOutputError,
    ),
}
