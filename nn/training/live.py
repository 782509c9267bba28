"""Evaluation of trained models by live RTL: of those with tables, and of designs too wide for one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ..audit.live import live_products
from ..convert import table_ids
from ..live_layers import DistinctProducts, WideOperand, find_ranges, make_live
from .checkpoint import CHECKPOINT_NAME, load_checkpoint
from .determinism import reproducible
from .evaluation import count_products, evaluate
from .identity import check_data
from .loading import load_model
from .prepare import plain_model
from .run_data import prepare_data
from .weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ..audit import EntrySource, Simulators
    from ..data import ImageData
    from ..multipliers import MultiplierTable
    from .evaluation import Evaluation
    from .run_data import PreparedData

MAX_PRODUCTS = 100_000_000
"""A minute of a combinational design in live simulation, or several."""


@dataclass(frozen=True, slots=True)
class LiveEvaluation:
    """An evaluation by live RTL.

    Attributes:
        evaluation: of the images.
        layers: those whose products the RTL made.
        products: how many of these there were.
        asked: operand pairs that were put through the RTL for them.
    """

    evaluation: Evaluation
    layers: tuple[str, ...]
    products: int
    asked: int


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """How much is done.

    Attributes:
        images: how many of the test images, always the same ones.
        max_products: refuse to begin if the live layers multiply more often.
    """

    images: int = 1
    max_products: int = MAX_PRODUCTS

    def check(self, per_image: Mapping[str, int], layers: tuple[str, ...]) -> int:
        """Return how many products the layers take.

        Args:
            per_image: products of each layer for one image.
            layers: those that the RTL computes.

        Raises:
            ConfigError: more than the limit.
        """
        wanted = self.images * sum(per_image.get(name, 0) for name in layers)
        if wanted > self.max_products:
            raise ConfigError(
                "this takes too many products for live simulation",
                got=f"{wanted} products in {len(layers)} layers for {self.images} images",
                expected=f"at most {self.max_products}",
                remedy="take fewer images (--images), fewer layers (--layers), or raise "
                "--max-products; a simulation makes one to three million products a second",
            )
        return wanted


def evaluate_live(
    path: Path,
    data: ImageData,
    table: MultiplierTable | None,
    simulators: Simulators,
    *,
    limits: LiveLimits | None = None,
    threads: int | None = None,
    tables: Mapping[str, MultiplierTable] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LiveEvaluation:
    """Evaluate a model that was trained with tables, every product of them made by the RTL.

    Args:
        path: a checkpoint, or the folder of a run.
        data: the data set that it was trained on.
        table: the table of the design that it was trained with.
        simulators: gives the live RTL of a table.
        limits: how much is done.
        threads: CPU threads, or None to leave torch's setting.
        tables: by name, those whose errors are drawn as noise, if the run has any.
        progress: called with products done and products in all.

    Raises:
        ConfigError: too many products, or the model has no table.
        RecordError, IdentityError, DataError: as `evaluate_checkpoint`.
        RtlgradError: a table has no RTL that can be simulated.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    limits = limits or LiveLimits()
    with reproducible(seed=0, threads=threads):
        loaded = load_model(file, table, engine="auto", tables=tables)
        check_data(loaded.checkpoint, file, data)
        prepared = _test_images(loaded.checkpoint.config, data, limits.images)
        layers = tuple(table_ids(loaded.model))
        per_image = count_products(loaded.model, prepared.test.images.shape[1:])
        total = limits.check(per_image, layers)
        done = 0

        def count(layer: str, products: int) -> None:
            nonlocal done
            del layer
            done += products
            if progress is not None:
                progress(done, total)

        with live_products(loaded.model, simulators, count) as known:
            evaluation = evaluate(
                loaded.model, prepared.test, products_per_image=sum(per_image.values())
            )
        asked = sum(entries.asked for entries in known.values())
    return LiveEvaluation(evaluation, layers, done, asked)


def evaluate_wide(
    path: Path,
    data: ImageData,
    source: EntrySource,
    operands: tuple[tuple[int, bool], tuple[int, bool]],
    *,
    pattern: str = "*",
    limits: LiveLimits | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LiveEvaluation:
    """Evaluate fp32 weights with a design of any width up to 16 bits, by its live RTL.

    Activation ranges are found on the run's calibration images, as in `train` with ``init``; then
    every product of the layers is the RTL's.

    Args:
        path: a checkpoint in fp32, or the folder of such a run.
        data: the data set that it was trained on.
        source: the live RTL.
        operands: bits and signedness of operand a, and of operand b.
        pattern: name pattern (fnmatch) of the layers; the others stay exact.
        limits: how much is done.
        threads: CPU threads, or None to leave torch's setting.
        progress: called with products done and products in all.

    Raises:
        ConfigError: the model has a table, too many products, or operands wider than 16 bits.
        UnknownNameError: no layer matches the pattern.
        RecordError, DataError: as `evaluate_checkpoint`.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    limits = limits or LiveLimits()
    formats = (WideOperand(*operands[0]), WideOperand(*operands[1]))
    checkpoint = load_checkpoint(file)
    config = checkpoint.config
    if not config.is_fp32:
        raise ConfigError(
            f"{file} was not trained in fp32",
            got=config.multiplier,
            expected="fp32 weights, to be quantized at the design's width",
        )
    check_data(checkpoint, file, data)
    with reproducible(seed=0, threads=threads):
        prepared = _test_images(config, data, limits.images)
        model = plain_model(config, checkpoint.shape)
        load_weights(model, checkpoint.weights, file)
        products = _Counted(source, progress)
        per_image = count_products(model, prepared.test.images.shape[1:])
        layers = make_live(model, products, formats, pattern)
        products.total = limits.check(per_image, layers)
        find_ranges(model, prepared.calibration.epoch(), config.calibration)
        evaluation = evaluate(model, prepared.test, products_per_image=sum(per_image.values()))
    return LiveEvaluation(evaluation, layers, products.products, products.asked)


class _Counted(DistinctProducts):
    """Tells how far it is."""

    def __init__(self, source: EntrySource, progress: Callable[[int, int], None] | None) -> None:
        super().__init__(source.entries)
        self._progress = progress
        self.total = 0

    def outer(self, a: Any, b: Any) -> Any:
        made = super().outer(a, b)
        if self._progress is not None:
            self._progress(self.products, self.total)
        return made


def _test_images(config: Any, data: ImageData, images: int) -> PreparedData:
    limit = min(images, config.limit_test or images)
    return prepare_data(replace(config, limit_test=limit), data)
