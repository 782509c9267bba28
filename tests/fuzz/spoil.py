"""Spoils Verilog: what a typing mistake, a broken file or an evil mind does to a design."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    _Mutation: TypeAlias = Callable[[bytes, str, random.Random], bytes]

_TOKEN = re.compile(r"//[^\n]*|\w+'\w+|'\w+|\w+|<<<|>>>|<<|>>|<=|>=|==|!=|&&|\|\||\s+|.", re.DOTALL)
_OPERATORS = (
    *("+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "&&", "||", "<<", ">>", ">>>"),
    *("<", ">", "<=", ">=", "==", "!=", "===", "?", ":", "**", "~^"),
)
_NUMBERS = (
    *("0", "1", "2", "7", "8", "15", "64", "4'hF", "8'bx", "8'bz", "4'sd7", "8'd300", "-1"),
    *("4294967296", "99999999999999999999", "1000000'd1", "0'd1", "1.5", "1e30", "'0", "'x"),
)
_WORDS = (
    *("module", "endmodule", "input", "output", "inout", "wire", "reg", "signed", "always"),
    *("initial", "begin", "end", "generate", "assign", "case", "endcase", "function", "genvar"),
    *("logic", "integer", "real", "posedge", "if", "else", "for", "forever", "force", "fork"),
    *("interface", "package", "class", "`", "`define", "`include", "`ifdef X", "`endif", "\\"),
)
_ALIEN = (
    "é",
    "乘",
    "\u202e",
    "\ufeff",
    "\N{MULTIPLICATION SIGN}",
    "😀",
    "\x07",
    "\x1b[31m",
    "\x00",
)
_ITEMS = (
    "initial forever ;",
    "initial while (1) ;",
    "always @* while (1) ;",
    "reg spin; always @* begin spin = 0; while (&{1'b1}) spin = ~spin; end",
    "reg clk; initial begin clk = 0; forever #1 clk = ~clk; end",
    "initial $finish;",
    "initial $stop;",
    "initial $fatal(1);",
    'initial $display("%m %d", 1 / 0);',
    "initial forever $display(0);",
    "genvar gi; generate for (gi = 0; gi < 1; gi = gi) begin : gz wire t; end endgenerate",
    "genvar gi; generate for (gi = 0; gi >= 0; gi = gi + 1) begin : gz wire t; end endgenerate",
    "genvar gi; generate for (gi = 0; gi < 20000; gi = gi + 1) begin : gz wire t; end endgenerate",
    "function integer fr(input integer n); fr = fr(n + 1); endfunction localparam FR = fr(0);",
    "function integer fw(input integer n); while (1) fw = n; endfunction localparam FW = fw(1);",
    "wire [100000000:0] big; assign big = ~0;",
    "wire [16777215:0] big = {16777216{1'b1}}; wire any = ^big;",
    "reg [7:0] memory [0:1073741823];",
    "localparam P = 2 ** (2 ** 30); wire [P:0] wide;",
    "localparam R = {1073741824{8'hA5}};",
    "wire loop; assign loop = ~loop;",
    "nowhere u_nowhere (.x(1'b0));",
    "wire w1; wire w1;",
    "always @(posedge undeclared) ;",
    "defparam nothing.at.all = 3;",
    "bind nothing nobody b();",
    'import "DPI-C" function int elsewhere(int x);',
    'initial $readmemh("/dev/zero", nothing);',
    "event e; initial @(e);",
    "initial begin : x disable x; end",
    "specify (A => O) = 10; endspecify",
    "`undefined_macro(3)",
    '`line 0 "nowhere" 9',
    "`timescale 1fs / 1s",
    "`default_nettype none",
    "`celldefine",
    "`pragma protect begin",
)
_FILES = (
    "`define LOOP `LOOP\n`LOOP\n",
    "`define A `B\n`define B `A\n`A\n",
    "`define TWICE(x) x x\n`TWICE(`TWICE(`TWICE(`TWICE(`TWICE(`TWICE(`TWICE(`TWICE(wire)))))))) w;\n",
    "`define assign\n",
    "`ifdef NEVER\n",
    "`else\n",
    '`include "/dev/null"\n',
    '`include "/etc/hostname"\n',
    '`include "."\n',
    '`begin_keywords "1364-1995"\n',
    "`resetall `nounconnected_drive",
    "package p; localparam int X = p::X; endpackage\n",
    "class c extends c; endclass\n",
    "module",
    "/*",
    '"',
    "(*",
    "\\",
)


def mutate(text: bytes, name: str, rng: random.Random) -> bytes:
    """Return a design spoiled in one to three ways.

    Args:
        text: the design.
        name: its file's name, for files that include themselves.
        rng: decides.
    """
    # Most coarse mistakes end in the parser; the gentle ones get further.
    kinds = _GENTLE if rng.random() < 0.5 else _MUTATIONS
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.choice(kinds)(text, name, rng)
    return text


def _tokens(text: bytes) -> list[str]:
    return _TOKEN.findall(text.decode(errors="replace"))


def _some(tokens: Sequence[str], rng: random.Random, like: str = r"\S") -> int | None:
    places = [i for i, token in enumerate(tokens) if re.match(like, token) and token[:2] != "//"]
    return rng.choice(places) if places else None


def _on_tokens(change: Callable[[list[str], random.Random], None]) -> _Mutation:
    def mutation(text: bytes, _name: str, rng: random.Random) -> bytes:
        tokens = _tokens(text)
        change(tokens, rng)
        return "".join(tokens).encode()

    return mutation


def _replacing(like: str, news: Sequence[str]) -> _Mutation:
    def change(tokens: list[str], rng: random.Random) -> None:
        place = _some(tokens, rng, like)
        if place is not None:
            tokens[place] = rng.choice(news)

    return _on_tokens(change)


def _deleted(tokens: list[str], rng: random.Random) -> None:
    place = _some(tokens, rng)
    if place is not None:
        del tokens[place]


def _doubled(tokens: list[str], rng: random.Random) -> None:
    place = _some(tokens, rng)
    if place is not None:
        tokens.insert(place, tokens[place] + " ")


def _swapped(tokens: list[str], rng: random.Random) -> None:
    one, other = _some(tokens, rng), _some(tokens, rng)
    if one is not None and other is not None:
        tokens[one], tokens[other] = tokens[other], tokens[one]


def _renamed(tokens: list[str], rng: random.Random) -> None:
    one, other = _some(tokens, rng, r"[A-Za-z_]"), _some(tokens, rng, r"[A-Za-z_]")
    if one is not None and other is not None:
        tokens[one] = tokens[other]


def _number_changed(tokens: list[str], rng: random.Random) -> None:
    place = _some(tokens, rng, r"\d+$")
    if place is not None:
        tokens[place] = str(max(0, int(tokens[place]) + rng.choice((-2, -1, 1, 2, 9))))


def _bit_changed(tokens: list[str], rng: random.Random) -> None:
    """Change a digit of a constant: its value, not its width."""
    place = _some(tokens, rng, r"\d*'[bdh][0-9a-fA-F]+$")
    if place is not None:
        head, digits = tokens[place][:-1], tokens[place][-1]
        tokens[place] = head + rng.choice([digit for digit in "01" if digit != digits])


def _alike(tokens: list[str], rng: random.Random) -> None:
    """Replace a name by another that is used in the same way: in an expression."""
    uses = [
        place
        for place in range(1, len(tokens) - 1)
        if re.fullmatch(r"[A-Za-z_]\w*", tokens[place])
        and any(near.strip() and near in "+-*&|^~?:=(,[{" for near in _around(tokens, place))
    ]
    if len(uses) > 1:
        one, other = rng.sample(uses, 2)
        tokens[one] = tokens[other]


def _around(tokens: list[str], place: int) -> tuple[str, str]:
    before = next((token for token in reversed(tokens[:place]) if token.strip()), ";")
    after = next((token for token in tokens[place + 1 :] if token.strip()), ";")
    return before, after


def _nested(tokens: list[str], rng: random.Random) -> None:
    place = _some(tokens, rng, r"[A-Za-z_]\w*$|\d")
    if place is not None:
        depth = rng.choice((3, 300, 30_000))
        tokens[place] = "(" * depth + tokens[place] + ")" * depth


def _lines(change: Callable[[list[bytes], random.Random], None]) -> _Mutation:
    def mutation(text: bytes, _name: str, rng: random.Random) -> bytes:
        lines = text.splitlines(keepends=True)
        if lines:
            change(lines, rng)
        return b"".join(lines)

    return mutation


def _line_deleted(lines: list[bytes], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _line_doubled(lines: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(lines))
    lines.insert(place, lines[place])


def _lines_swapped(lines: list[bytes], rng: random.Random) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _truncated(text: bytes, _name: str, rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text) + 1)]


def _junk(text: bytes, _name: str, rng: random.Random) -> bytes:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.randbytes(rng.choice((1, 4, 200))) + text[place:]


def _alien(text: bytes, _name: str, rng: random.Random) -> bytes:
    decoded = text.decode(errors="replace")
    place = rng.randrange(len(decoded) + 1)
    return (decoded[:place] + rng.choice(_ALIEN) + decoded[place:]).encode()


def _item_added(text: bytes, _name: str, rng: random.Random) -> bytes:
    ends = [found.start() for found in re.finditer(rb"\bendmodule\b", text)]
    place = rng.choice(ends) if ends else len(text)
    return text[:place] + rng.choice(_ITEMS).encode() + b"\n" + text[place:]


def _file_item_added(text: bytes, name: str, rng: random.Random) -> bytes:
    starts = [0, len(text)] + [found.start() for found in re.finditer(rb"\bmodule\b", text)]
    place = rng.choice(starts)
    item = rng.choice((*_FILES, f'`include "{name}"\n', f'`include "{name}"\n'))
    return text[:place] + item.encode() + text[place:]


def _recursion(text: bytes, _name: str, _rng: random.Random) -> bytes:
    found = re.search(rb"\bmodule\s+(\w+)[^;]*;", text)
    if found is None:
        return text
    return text[: found.end()] + b"\n" + found[1] + b" again ();\n" + text[found.end() :]


_GENTLE: Sequence[_Mutation] = (
    *[_on_tokens(_number_changed)] * 3,
    _on_tokens(_bit_changed),
    *[_on_tokens(_alike)] * 2,
    *[_replacing(r"[&|^]$", ("&", "|", "^", "~^"))] * 2,
    _replacing(r"[-+*]$", ("+", "-", "*", "&", "|", "^")),
    _replacing(r"<<$|>>$|[<>]$|[<>!=]=$", ("<<", ">>", "<", ">", "==", "!=", "<=", ">=")),
    _replacing(r"~|!", ("~", "!", "", "-", "&", "|", "^")),
    _item_added,
)
_MUTATIONS: Sequence[_Mutation] = (
    *[_on_tokens(change) for change in (_deleted, _doubled, _swapped, _renamed) for _ in range(3)],
    *[_replacing(r"[-+*/%&|^~!<>=?:]", _OPERATORS)] * 5,
    *[_on_tokens(_number_changed)] * 5,
    *[_replacing(r"\d", _NUMBERS)] * 2,
    _replacing(r"\S", _WORDS),
    _on_tokens(_nested),
    *[_lines(change) for change in (_line_deleted, _line_doubled, _lines_swapped)],
    _truncated,
    _junk,
    _alien,
    *[_item_added] * 3,
    _file_item_added,
    _recursion,
)
