"""What a study's page shows, as rows: its tables, its plots and its CSV and JSON files are these."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SCHEMA = 1
"""Of the JSON file."""


@dataclass(frozen=True, slots=True)
class DesignRow:
    """The runs that differ in nothing but the seed: a multiplier in a network, trained one way.

    Attributes:
        data: name of the data set.
        model: name of the network.
        design: name of the multiplier, or what takes its place ("fp32", a schedule).
        recipe: options that tell it from another row of the same design, or "".
        folders: of the runs.
        seeds: of the runs.
        epochs: trained in these runs.
        accuracy: percent of the test images right, the mean over the runs.
        accuracy_low: of the worst run.
        accuracy_high: of the best run.
        test_images: that this is measured on.
        before: the same before training, where weights were given; the mean over the runs.
        validation: percent of the held-out images right; None if nothing was held out.
        validation_images: that this is measured on.
        exact: whether every product is exact; True in fp32.
        quantized: whether products go through a table, so that there is a multiplier to pay for.
        energy_nj: multiplication energy per image in nJ, by the group's ``energy_kind``.
        energy_uniform_nj: with the energy per product for uniform random operands.
        energy_layers_nj: with that at the operands recorded in each layer.
        area_um2: area of one multiplier.
        delay_ps: its longest path.
        mae_pct: its mean absolute error, percent of 2^(wa+wb).
        mre_pct: its mean relative error in percent, over pairs whose product is not 0.
        library_sha256: of the cell library of the costs; "" without one.
        absent: why there is no energy, or "".
    """

    data: str
    model: str
    design: str
    recipe: str
    folders: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    test_images: int
    before: float | None
    validation: float | None
    validation_images: int
    exact: bool
    quantized: bool
    energy_nj: float | None
    energy_uniform_nj: float | None
    energy_layers_nj: float | None
    area_um2: float | None
    delay_ps: float | None
    mae_pct: float | None
    mre_pct: float | None
    library_sha256: str
    absent: str

    @property
    def label(self) -> str:
        """Its design, and its recipe where that is not the usual one."""
        return f"{self.design} ({self.recipe})" if self.recipe else self.design


@dataclass(frozen=True, slots=True)
class Decision:
    """Which multiplier to use in a network, by a stated rule.

    Attributes:
        data: name of the data set.
        model: name of the network.
        judged_on: "validation" or "test": the images whose accuracy the rule looks at.
        cost: "energy_nj" or "area_um2", what is to be small; "" if neither is known.
        energy_kind: "layers" or "uniform": the operands of ``energy_nj``.
        max_loss: points of accuracy that may be lost.
        reference: place of the row that losses and savings are relative to; None without one.
        chosen: place of the row to use; None if the rule cannot decide.
        runner_up: place of the next one; None without one.
        allowed: places of all rows that lose no more.
        losses: points lost against the reference on those images, by place; None where unknown.
        saved_pct: share of the reference's cost that is saved, by place; None where unknown.
        beyond: place of the row that saves more than the chosen one and loses least of those that
            lose too much; None without one.
        reason: why nothing is chosen, or "".
    """

    data: str
    model: str
    judged_on: str
    cost: str
    energy_kind: str
    max_loss: float
    reference: int | None
    chosen: int | None
    runner_up: int | None
    allowed: tuple[int, ...]
    losses: Mapping[int, float | None]
    saved_pct: Mapping[int, float | None]
    beyond: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one layer multiplies through, and what that takes for an image.

    Attributes:
        source: folder of the run or of the search.
        of: "run", or of a search "chosen" or "best single".
        layer: the layer's name.
        design: name of the multiplier.
        products: per image.
        energy_nj: per image.
        reference_nj: of the reference design in this layer; None if it is not known.
    """

    source: str
    of: str
    layer: str
    design: str
    products: int
    energy_nj: float
    reference_nj: float | None


@dataclass(frozen=True, slots=True)
class AssignmentRow:
    """A candidate of a search for a design per layer.

    Attributes:
        source: folder of the search.
        number: of the candidate.
        designs: of its tiles.
        saved_pct: share of the base design's energy that is saved.
        energy_nj: per image.
        search_loss: points lost on the images of the search.
        validation_loss: on all held-out images; None if it was not measured there.
        test_loss: on the test images; None likewise.
        test_accuracy: percent; None likewise.
        front: whether no other candidate dominates it.
        single: whether all layers have one design.
        chosen: whether the search chose it.
        best_single: whether it is the best with one design.
    """

    source: str
    number: int
    designs: tuple[str, ...]
    saved_pct: float
    energy_nj: float
    search_loss: float
    validation_loss: float | None
    test_loss: float | None
    test_accuracy: float | None
    front: bool
    single: bool
    chosen: bool
    best_single: bool


@dataclass(frozen=True, slots=True)
class Search:
    """A finished search for a design per layer.

    Attributes:
        source: its folder.
        base: design that losses and savings are relative to.
        accelerator: "pipelined" or "gated".
        figure: which energy was minimized.
        max_loss: points that may be lost.
        candidates: those that were measured whole.
    """

    source: str
    base: str
    accelerator: str
    figure: str
    max_loss: float
    candidates: tuple[AssignmentRow, ...]


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of a run.

    Attributes:
        source: folder of the run.
        design: what it multiplies through.
        epoch: from 1.
        train_loss: mean over the epoch.
        validation: percent of the held-out images right; None if nothing was held out.
    """

    source: str
    design: str
    epoch: int
    train_loss: float | None
    validation: float | None


@dataclass(frozen=True, slots=True)
class OperandRow:
    """A design's error in a layer of a network, weighted by how often each operand pair occurs.

    Attributes:
        source: folder of the run.
        design: name of the multiplier.
        layer: the layer's name, or "all layers".
        images: that the operands were recorded on.
        products: recorded.
        pairs: different operand pairs among them.
        table_pairs: all operand pairs there are.
        mae_uniform: mean |error| in LSB, all pairs alike.
        mae_weighted: mean |error| of the recorded products.
        bias_uniform: mean error in LSB, all pairs alike.
        bias_weighted: mean error of the recorded products.
    """

    source: str
    design: str
    layer: str
    images: int | None
    products: int
    pairs: int
    table_pairs: int
    mae_uniform: float
    mae_weighted: float
    bias_uniform: float
    bias_weighted: float


@dataclass(frozen=True, eq=False)
class OperandPicture:
    """The pictures behind an `OperandRow` of all layers; axes in the order of operands' values.

    Attributes:
        row: the figures.
        error: table - exact, int64 [2^wa, 2^wb].
        counts: how often each pair was multiplied, int64, alike.
        low: least values of a and b.
    """

    row: OperandRow
    error: NDArray[np.int64]
    counts: NDArray[np.int64]
    low: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """A design's predicted accuracy, and the measured one where there is one.

    Attributes:
        source: the file.
        design: names of the designs with this table.
        ame: architectural mean error.
        predicted: percent.
        low: lower end of the interval.
        high: upper end.
        measured: percent; None if it was not measured.
        fitted: whether the regression was fitted to it.
    """

    source: str
    design: str
    ame: float
    predicted: float
    low: float
    high: float
    measured: float | None
    fitted: bool


@dataclass(frozen=True, slots=True)
class PredictorRow:
    """How well a metric predicts accuracies.

    Attributes:
        source: the file.
        metric: its name.
        spearman: rank correlation with the measured accuracies.
        held_out: mean distance in points of the designs that were not fitted.
    """

    source: str
    metric: str
    spearman: float | None
    held_out: float | None


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One fact about where a number comes from, as the run's own record has it.

    Attributes:
        source: folder of the run.
        item: what it is about.
        value: a hash, an id, a version.
        remark: what this page's writer found when it looked; "" where it did not look.
    """

    source: str
    item: str
    value: str
    remark: str


@dataclass(frozen=True)
class Study:
    """All that was found in a folder.

    Attributes:
        folder: as the user named it.
        designs: by network, fp32 first, then by energy.
        decisions: one per network and data set.
        layers: of the chosen runs and of searches.
        searches: for a design per layer.
        epochs: of all runs.
        operands: of all recordings.
        pictures: of all recordings that have a table of integers.
        predictions: of all prediction files.
        predictors: likewise.
        trace: of all runs.
        skipped: (file or folder, why it is not on the page).
    """

    folder: str
    designs: tuple[DesignRow, ...]
    decisions: tuple[Decision, ...]
    layers: tuple[LayerRow, ...] = ()
    searches: tuple[Search, ...] = ()
    epochs: tuple[EpochRow, ...] = ()
    operands: tuple[OperandRow, ...] = ()
    pictures: tuple[OperandPicture, ...] = ()
    predictions: tuple[PredictionRow, ...] = ()
    predictors: tuple[PredictorRow, ...] = ()
    trace: tuple[TraceRow, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return its rows by table, as plain values."""
        assignments = [one for search in self.searches for one in search.candidates]
        tables: dict[str, Any] = {
            "designs": self.designs,
            "layers": self.layers,
            "assignments": assignments,
            "training": self.epochs,
            "operands": self.operands,
            "predictions": self.predictions,
            "predictors": self.predictors,
            "trace": self.trace,
        }
        return {name: [asdict(row) for row in rows] for name, rows in tables.items()}
