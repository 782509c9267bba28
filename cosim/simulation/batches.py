"""Decides which designs share a simulation model."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..reading.lexer import global_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..design import Design

MAX_DESIGNS = 25
"""Verilation time grows faster than linearly with the size of a model."""
MAX_PRODUCTS = 1 << 22
"""Operand pairs in one model: a 12x12 design gets a model of its own."""


def plan(designs: Iterable[Design]) -> list[list[Design]]:
    """Distribute designs over models.

    Global names of different files do not collide: `rtlgrad.cosim.simulation.renaming` makes them distinct.
    A file with an import outside of modules shares a model only with designs of the same text
    (variants of one file), since what it imports could capture undeclared names of others.
    """
    batches: list[_Batch] = []
    for design in designs:
        batch = next((batch for batch in batches if batch.takes(design)), None)
        if batch is None:
            batch = _Batch()
            batches.append(batch)
        batch.add(design)
    return [batch.designs for batch in batches]


@lru_cache(maxsize=256)
def is_loner(text: str) -> bool:
    """Whether a text cannot share a model with others."""
    return global_names(text)[1]


class _Batch:
    def __init__(self) -> None:
        self.designs: list[Design] = []
        self._products = 0

    def takes(self, design: Design) -> bool:
        if len(self.designs) >= MAX_DESIGNS or self._products + _products(design) > MAX_PRODUCTS:
            return False
        texts = {item.sources.text for item in (self.designs[0], design)}
        return len(texts) == 1 or not any(is_loner(text) for text in texts)

    def add(self, design: Design) -> None:
        self.designs.append(design)
        self._products += _products(design)


def _products(design: Design) -> int:
    return 1 << (design.interface.a.width + design.interface.b.width)
