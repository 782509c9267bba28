"""The kinds of characterization, most particular first; the first that takes a design does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sampling import SAMPLE
from .tabulate import TABLE
from .tabulate_mantissas import MANTISSA, NUMBER

if TYPE_CHECKING:
    from ..cosim.design import Design
    from .work import Kind

KINDS: tuple[Kind, ...] = (NUMBER, MANTISSA, SAMPLE, TABLE)


def kind_of(design: Design) -> Kind:
    """Return the kind of characterization that a design gets."""
    return next(kind for kind in KINDS if kind.takes(design))
