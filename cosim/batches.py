"""Decides which designs share a simulation model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .sources import without_comments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .design import Design

MAX_DESIGNS = 25
"""Verilation time grows faster than linearly with the size of a model."""
MAX_PRODUCTS = 1 << 22
"""Operand pairs in one model: a 12x12 design gets a model of its own."""

_DEFINITION = re.compile(
    r"\b(?:module|macromodule|primitive|package|interface|program|class)\s+"
    r"(?:automatic\s+|static\s+)?(\w+|\\\S+)"
)


_BODY = re.compile(
    r"\b(?:macromodule|module|primitive|package|interface|program|class)\b.*?"
    r"\bend(?:module|primitive|package|interface|program|class)\b",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"`[^\n]*")


def defined_names(text: str) -> frozenset[str]:
    """Return the global names that a source text defines (modules, packages, functions, ...).

    All that stands outside of modules counts, keywords too: few files have such text, and to
    take two of them for a conflict costs a model more, not a table.
    """
    code = without_comments(_DIRECTIVE.sub("", text))
    outside = _BODY.sub(" ", code)
    return frozenset(_DEFINITION.findall(code)) | frozenset(re.findall(r"\w+", outside))


def plan(designs: Iterable[Design]) -> list[list[Design]]:
    """Distribute designs over models.

    Two designs share a model only if their texts are the same (variants of one file) or define
    no name in common: a helper module of the same name in two files would otherwise silently
    replace one by the other.
    """
    batches: list[_Batch] = []
    for design in designs:
        batch = next((batch for batch in batches if batch.takes(design)), None)
        if batch is None:
            batch = _Batch()
            batches.append(batch)
        batch.add(design)
    return [batch.designs for batch in batches]


class _Batch:
    def __init__(self) -> None:
        self.designs: list[Design] = []
        self._texts: set[str] = set()
        self._names: set[str] = set()
        self._products = 0

    def takes(self, design: Design) -> bool:
        if len(self.designs) >= MAX_DESIGNS or self._products + _products(design) > MAX_PRODUCTS:
            return False
        text = design.sources.text
        return text in self._texts or self._names.isdisjoint(defined_names(text))

    def add(self, design: Design) -> None:
        self.designs.append(design)
        self._texts.add(design.sources.text)
        self._names |= defined_names(design.sources.text)
        self._products += _products(design)


def _products(design: Design) -> int:
    return 1 << (design.interface.a.width + design.interface.b.width)
