"""A design's errors weighted by the operands that a network really gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....core.errors import IdentityError
from ....lutgen.record import Characterization
from .rows import OperandPicture, OperandRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ....lutgen.histogram import OperandHistogram, OperandRecording
    from ....lutgen.table import ProductTable
    from .runs import Run


def operand_rows(
    run: Run, recording: OperandRecording
) -> tuple[list[OperandRow], OperandPicture | None]:
    """Weigh the errors of a run's designs by a recording of its operands.

    Layers whose design has no table of integers are left out. The sum over all layers is given
    where they share one design.

    Raises:
        IdentityError: the recording is of another checkpoint.
    """
    theirs, ours = recording.source.get("checkpoint_sha256"), run.result.checkpoint_sha256
    if theirs != ours:
        raise IdentityError(
            f"the operands kept in {run.row.folder} are of another checkpoint",
            got=theirs,
            expected=ours,
            remedy=f"rtlgrad record {run.row.folder}",
        )
    images = recording.source.get("images")
    rows = []
    for one in recording.layers:
        made = run.made.get(one.layer)
        if isinstance(made, Characterization) and not one.mantissas:
            rows.append(weighted(run.row.folder, made.table, one, images))
    made = run.single
    if made is None or any(one.mantissas for one in recording.layers):
        return rows, None
    together = recording.together()
    whole = weighted(run.row.folder, made.table, together, images)
    return [whole, *rows], _picture(made.table, together, whole)


def weighted(
    source: str, table: ProductTable, counts: OperandHistogram, images: int | None
) -> OperandRow:
    """Return the errors of a table over all operand pairs alike, and over recorded products.

    The weighted mean of f is sum(n f) / sum(n) over all pairs, n the count of each pair.
    """
    error = table.error
    share = counts.counts / max(1, counts.products)
    return OperandRow(
        source=source,
        design=table.name,
        layer=counts.layer,
        images=images,
        products=counts.products,
        pairs=counts.pairs,
        table_pairs=int(error.size),
        mae_uniform=float(np.abs(error).mean()),
        mae_weighted=float((np.abs(error) * share).sum()),
        bias_uniform=float(error.mean()),
        bias_weighted=float((error * share).sum()),
    )


def _picture(table: ProductTable, counts: OperandHistogram, row: OperandRow) -> OperandPicture:
    by_a, by_b = np.argsort(table.values_a), np.argsort(table.values_b)

    def ordered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
        values: NDArray[np.int64] = codes[by_a][:, by_b]
        return values

    low = int(table.values_a.min()), int(table.values_b.min())
    return OperandPicture(row, ordered(table.error), ordered(counts.counts), low)
