"""How far designs are, and which of them share a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..cosim.simulation.batches import MAX_PRODUCTS, is_loner
from .kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.errors import RtlgradError
    from ..cosim.design import DesignReference
    from ..cosim.reading.sources import Sources
    from ..cosim.synthesis.synthesize import Synthesis
    from .work import Examined, Kind


@dataclass(slots=True)
class Progress:
    """How far one design is.

    Attributes:
        reference: the design.
        sources: its text.
        key: its work key.
        examined: what reading and lint found; None until then.
        synthesis: what synthesis found, or the error that it ended in; None until then.
        measured: what simulation found, or the error that it ended in; None until then.
        settled: whether its outcome is known.
    """

    reference: DesignReference
    sources: Sources
    key: str
    examined: Examined | None = None
    synthesis: Synthesis | RtlgradError | None = None
    measured: Any = None
    settled: bool = False


@dataclass(slots=True)
class Batch:
    """Designs that share a model.

    Attributes:
        kind: of all of them.
        sound: whether synthesis made a netlist of each.
        designs: the designs.
        weight: their operand pairs.
        full: whether there is no room for another one.
    """

    kind: Kind
    sound: bool
    designs: list[Progress] = field(default_factory=list)
    weight: int = 0
    full: bool = False


def batches_of(ready: Sequence[Progress]) -> list[Batch]:
    """Distribute designs that are ready over models."""
    batches: list[Batch] = []
    for item in ready:
        assert item.examined is not None
        kind = kind_of(item.examined.design)
        weight = kind.weight(item.examined.design)
        batch = next((batch for batch in batches if _fits(batch, item, kind, weight)), None)
        if batch is None:
            batch = Batch(kind, _is_sound(item))
            batches.append(batch)
        batch.designs.append(item)
        batch.weight += weight
        batch.full = len(batch.designs) >= kind.max_designs or batch.weight >= MAX_PRODUCTS
    return batches


def _is_sound(item: Progress) -> bool:
    """Whether synthesis made a netlist; if not, simulation too may fail, and not with others."""
    cost = getattr(item.synthesis, "cost", None)
    return cost is not None and cost.area_um2 is not None


def _fits(batch: Batch, item: Progress, kind: Kind, weight: int) -> bool:
    if batch.kind is not kind or batch.full or batch.weight + weight > MAX_PRODUCTS:
        return False
    if item.synthesis is None or batch.designs[0].synthesis is None:
        return False
    if batch.sound != _is_sound(item):
        return False
    texts = {batch.designs[0].sources.text, item.sources.text}
    return len(texts) == 1 or not any(is_loner(text) for text in texts)
