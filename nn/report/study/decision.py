"""The rule by which a multiplier is recommended, and the fronts that it is seen on."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from ....lutgen.catalogue.pareto import front
from .rows import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rows import DesignRow

COSTS = ("energy_nj", "area_um2")
"""What may be minimized: the first that some row with a table has."""


def decide(
    rows: Sequence[DesignRow], places: Sequence[int], energy_kind: str, max_loss: float
) -> Decision:
    """Choose among the rows of one network and data set.

    Of the rows that go through a table and lose at most ``max_loss`` points against the
    reference, the one of least energy is chosen, at equal energy the more accurate one. The
    reference is the exact multiplier of least cost, so that savings are not flattered by a costly
    one; without an exact one it is the fp32 run, and nothing is saved. Accuracies are those on the
    held-out images if all rows compared have them, so that the test images take part in no
    choice; else on the test images.

    Args:
        rows: of the whole study.
        places: which of them are to be compared.
        energy_kind: operands of their energies, "layers" or "uniform".
        max_loss: points of accuracy that may be lost.
    """
    table = [at for at in places if rows[at].quantized]
    cost = next((name for name in COSTS if any(_cost(rows[at], name) for at in table)), "")
    reference = _reference(rows, places, cost)
    judged_on = "validation" if _held_out_alike(rows, places) else "test"
    losses = {at: _loss(rows, at, reference, judged_on) for at in places}
    saved = {at: _saved(rows, at, reference, cost) for at in places}
    costed = [at for at in table if _one_library(rows, at, reference) and _cost(rows[at], cost)]
    allowed = [at for at in costed if (lost := losses[at]) is not None and lost <= max_loss + 1e-9]
    if len({rows[at].label for at in table}) < 2 and all(rows[at].exact for at in table):
        allowed = []  # an exact multiplier alone is no choice
    allowed.sort(key=lambda at: (_cost(rows[at], cost) or 0.0, losses[at]))
    first = rows[places[0]]
    return Decision(
        data=first.data,
        model=first.model,
        judged_on=judged_on,
        cost=cost,
        energy_kind=energy_kind,
        max_loss=max_loss,
        reference=reference,
        chosen=allowed[0] if allowed else None,
        runner_up=allowed[1] if len(allowed) > 1 else None,
        allowed=tuple(allowed),
        losses=losses,
        saved_pct=saved,
        beyond=_beyond(costed, allowed, losses, saved),
        reason="" if allowed else _why_none(table, cost, reference, max_loss),
    )


def pareto(rows: Sequence[DesignRow], places: Sequence[int], figure: str) -> list[int]:
    """Return the places that no other dominates: less of the figure, more test accuracy."""
    points = [(at, value) for at in places if (value := _figure(rows[at], figure)) is not None]
    return [points[i][0] for i in front([(value, -rows[at].accuracy) for at, value in points])]


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error in points of the difference of two accuracies.

    Both are taken as percent of as many images drawn apart from each other: sqrt(2 p (1 - p) / n).
    On the same images the difference varies less.
    """
    share = accuracy / 100
    return 100 * sqrt(2 * share * (1 - share) / images)


def _figure(row: DesignRow, figure: str) -> float | None:
    value: float | None = getattr(row, figure)
    return value


def _cost(row: DesignRow, cost: str) -> float | None:
    return _figure(row, cost) if cost else None


def _reference(rows: Sequence[DesignRow], places: Sequence[int], cost: str) -> int | None:
    exact = [at for at in places if rows[at].exact and rows[at].quantized]
    if exact:
        priced = [at for at in exact if _cost(rows[at], cost) is not None]
        if priced:
            return min(priced, key=lambda at: (_cost(rows[at], cost), -rows[at].accuracy))
        return max(exact, key=lambda at: rows[at].accuracy)
    fp32 = [at for at in places if not rows[at].quantized]
    return max(fp32, key=lambda at: rows[at].accuracy) if fp32 else None


def _held_out_alike(rows: Sequence[DesignRow], places: Sequence[int]) -> bool:
    compared = [at for at in places if rows[at].quantized]
    images = {rows[at].validation_images for at in compared}
    known = all(rows[at].validation is not None for at in compared)
    exact = any(rows[at].exact for at in compared)
    # An fp32 reference may have held out other images, so only a table's run counts as alike.
    return bool(compared) and known and exact and len(images) == 1


def _loss(
    rows: Sequence[DesignRow], at: int, reference: int | None, judged_on: str
) -> float | None:
    if reference is None:
        return None
    if judged_on == "validation" and (
        rows[at].validation_images != rows[reference].validation_images
    ):
        return None
    name = "validation" if judged_on == "validation" else "accuracy"
    mine, theirs = _figure(rows[at], name), _figure(rows[reference], name)
    return None if mine is None or theirs is None else theirs - mine


def _saved(rows: Sequence[DesignRow], at: int, reference: int | None, cost: str) -> float | None:
    if reference is None or not cost or not _one_library(rows, at, reference):
        return None
    mine, theirs = _cost(rows[at], cost), _cost(rows[reference], cost)
    return None if mine is None or not theirs else 100 * (1 - mine / theirs)


def _beyond(
    costed: Sequence[int],
    allowed: Sequence[int],
    losses: Mapping[int, float | None],
    saved: Mapping[int, float | None],
) -> int | None:
    best = (saved[allowed[0]] if allowed else None) or 0.0
    found = [
        (lost, at)
        for at in costed
        if at not in allowed and (lost := losses[at]) is not None and (saved[at] or 0.0) > best
    ]
    return min(found)[1] if found else None


def _one_library(rows: Sequence[DesignRow], at: int, reference: int | None) -> bool:
    if reference is None or not rows[reference].library_sha256:
        return True
    return rows[at].library_sha256 == rows[reference].library_sha256


def _why_none(table: Sequence[int], cost: str, reference: int | None, max_loss: float) -> str:
    if not table:
        return "no run multiplies through a table"
    if len(table) == 1:
        return "only one multiplier was run, and there is nothing to compare it with"
    if not cost:
        return "neither energy nor area of any design is known: characterize them with rtlgrad lut"
    if reference is None:
        return "there is neither a run with an exact multiplier nor one in fp32 to compare with"
    return f"no design with a known cost loses at most {max_loss:g} points"
