"""Splits preprocessed Verilog into tokens, far enough to tell names from everything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKENS = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<string>"(?:\\.|[^"\\])*(?:"|\Z))
    |(?P<directive>`[^\n]*)
    |(?P<escaped>\\\S+)
    |(?P<number>'[sS]?[bBoOdDhH]\s*[0-9a-fA-F_xXzZ?]+|[0-9][\w$]*(?:\.[0-9][\w$]*)?(?:(?<=[eE])[+-][0-9_]+)?)
    |(?P<system>\$[\w$]*)
    |(?P<name>[A-Za-z_][\w$]*)
    |(?P<other>\S)
    |(?P<blank>\s+)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

NAMES = ("name", "escaped")
"""The kinds of tokens that are identifiers or keywords."""

_OPENING = {
    "module": "endmodule",
    "macromodule": "endmodule",
    "primitive": "endprimitive",
    "package": "endpackage",
    "interface": "endinterface",
    "program": "endprogram",
    "class": "endclass",
    "checker": "endchecker",
    "config": "endconfig",
}
_LIFETIMES = ("automatic", "static")

# IEEE 1800-2017, annex B, and what stands for a built-in thing without being a keyword.
_KEYWORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
checker class clocking cmos config const constraint context continue cover covergroup
coverpoint cross deassign default defparam design disable dist do edge else end endcase
endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface
endmodule endpackage endprimitive endprogram endproperty endspecify endsequence endtable
endtask enum event eventually expect export extends extern final first_match for force foreach
forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins
illegal_bins implements implies import incdir include initial inout input inside instance int
integer interconnect interface intersect join join_any join_none large let liblist library
local localparam logic longint macromodule matches medium modport module nand negedge nettype
new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed
parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown
pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real
realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
showcancelled signed small soft solve specify specparam static string strong strong0 strong1
struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout
time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type
typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual
void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor std
process mailbox semaphore randomize
"""
KEYWORDS = frozenset(_KEYWORDS.split())


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield every token of a text as (kind, text), blanks and comments too.

    Joined, the texts are the text. A directive reaches to the end of its line, and so does what
    a macro that was not expanded leaves behind.
    """
    for found in _TOKENS.finditer(text):
        yield found.lastgroup or "other", found[0]


def plain(name: str) -> str:
    """Return an identifier without the backslash that marks an escaped one."""
    return name.removeprefix("\\")


def is_identifier(kind: str, text: str) -> bool:
    """Whether a token is an identifier; an escaped keyword is one."""
    return kind == "escaped" or (kind == "name" and text not in KEYWORDS)


def global_names(text: str) -> tuple[frozenset[str], bool]:
    """Return the names that a text gives to all files compiled with it, and whether it imports.

    Those are its modules, packages and the like, and every identifier that stands outside of
    them (functions, types and variables of the compilation unit). An import outside of modules
    brings in names that are not told here.
    """
    names: set[str] = set()
    imports = False
    closing: list[str] = []
    heading = False
    for kind, token in tokens(text):
        if kind not in NAMES:
            heading = heading and kind in ("blank", "comment")
            continue
        if heading and token not in _LIFETIMES:
            names.add(plain(token))
            heading = False
        elif closing and token == closing[-1]:
            closing.pop()
        elif token in _OPENING and (not closing or token in ("class", "interface")):
            # A class may stand in a module or package; so may a virtual interface, which is only
            # a type and has no end, and no more than its name is taken from that.
            heading = True
            if not closing or token == "class":
                closing.append(_OPENING[token])
        elif not closing:
            imports |= token == "import"
            if is_identifier(kind, token):
                names.add(plain(token))
    return frozenset(names) - KEYWORDS, imports


def defined_modules(text: str) -> tuple[str, ...]:
    """Return the names of the modules, packages and interfaces that a text defines, in order."""
    found: dict[str, None] = {}
    heading = False
    for kind, token in tokens(text):
        if kind in NAMES and heading and token not in _LIFETIMES:
            if is_identifier(kind, token):
                found[plain(token)] = None
            heading = False
        elif kind in NAMES:
            heading = heading or token in ("module", "macromodule", "package", "interface")
        elif kind not in ("blank", "comment"):
            heading = False
    return tuple(found)
