"""What a conversion changed and what it left: the report that `approximate` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .multipliers import MultiplierTable


@dataclass(frozen=True, slots=True)
class ChangedLayer:
    """A layer that now multiplies through a table.

    Attributes:
        names: every name of the layer in the model (a shared module has several).
        kind: its class now.
        table: its table.
    """

    names: tuple[str, ...]
    kind: str
    table: MultiplierTable


@dataclass(frozen=True, slots=True)
class ExactLayer:
    """A layer that multiplies and was left exact.

    Attributes:
        names: every name of the layer in the model.
        kind: its class.
        reason: why it was left.
    """

    names: tuple[str, ...]
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `approximate` did. ``str()`` of it is a table for people.

    Attributes:
        changed: the layers that are approximate now, in the model's order.
        exact: the layers that are not, in the model's order.
        engine: the engine that computes, by its own name (never "auto").
    """

    changed: tuple[ChangedLayer, ...]
    exact: tuple[ExactLayer, ...]
    engine: str

    def __str__(self) -> str:
        rows = [("layer", "kind", "products", "")]
        rows += [(_join(c.names), c.kind, c.table.name, c.table.id[:12]) for c in self.changed]
        rows += [(_join(e.names), e.kind, "exact", e.reason) for e in self.exact]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join(
                [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)] + [row[3]]
            ).rstrip()
            for row in rows
        ]
        total = len(self.changed) + len(self.exact)
        lines.append(f"{len(self.changed)} of {total} layers approximate, engine {self.engine}")
        return "\n".join(lines)


def _join(names: Sequence[str]) -> str:
    return " = ".join(names)
