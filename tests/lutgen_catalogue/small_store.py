"""Characterizations made by hand, without any tool: small tables with known errors."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rtlgrad.cosim.cost import Cost
from rtlgrad.cosim.interface import Interface, OrderRule, Port, SignRule
from rtlgrad.lutgen.metrics import error_metrics
from rtlgrad.lutgen.record import Characterization, Provenance, SourceHash
from rtlgrad.lutgen.store import save
from rtlgrad.lutgen.table import ProductTable, code_values

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

LIBRARY = "ab" * 32


def made(
    name: str,
    error: NDArray[np.int64],
    *,
    signed: tuple[bool, bool] = (False, False),
    area: float | None = 10.0,
    delay: float | None = 100.0,
    library: str = LIBRARY,
    sources: tuple[SourceHash, ...] = (),
    title: str = "",
    citation: str = "",
    warnings: tuple[str, ...] = (),
) -> Characterization:
    """Return a characterization whose table is the exact product plus ``error``, by code."""
    width_a, width_b = (side.bit_length() - 1 for side in error.shape)
    exact = code_values(width_a, signed[0])[:, None] * code_values(width_b, signed[1])[None, :]
    table = ProductTable(exact + error, *signed, name=name)
    cells = {} if area is None else {"AND2X1": 7, "XOR2X1": 3}
    absent = {"power_uw": "no stimulus was given"}
    absent |= {} if area is not None else {"area_um2": "the table was imported: no circuit"}
    absent |= {} if delay is not None else {"delay_ps": "the table was imported: no circuit"}
    wide = width_a + width_b
    return Characterization(
        name=name,
        title=title,
        citation=citation,
        interface=Interface(
            module="top",
            a=Port("A", width_a, signed[0], SignRule.SIDECAR),
            b=Port("B", width_b, signed[1], SignRule.KEYWORD),
            out=Port("O", wide, any(signed), SignRule.OPERANDS),
            order_from=OrderRule.NAMES,
            parameters={"K": 6},
            front_end="pyverilog",
        ),
        table=table,
        metrics=error_metrics(table),
        cost=Cost(area, delay, None, cells, "cells45" if cells else "", library, "by hand", absent),
        provenance=Provenance(sources, "", "cd" * 32, "ef" * 32, {"yosys": "0.1"}, "2026-01-01"),
        warnings=warnings,
    )


def keep(root: Path, *designs: Characterization) -> Path:
    """Save designs and return their store."""
    for design in designs:
        save(design, root)
    return root


@dataclass
class Page(html.parser.HTMLParser):
    """What a page loads, links to and says, as an HTML parser sees it."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        """The JSON that the page embeds."""
        found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', self.text, re.S)
        assert found is not None
        content: dict[str, Any] = json.loads(found.group(1))
        return content
