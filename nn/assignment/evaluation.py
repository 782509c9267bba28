"""Accuracy of many assignments on the same images, without computing anything twice.

What a layer gives depends on the images and on the designs of the layers up to it. So outputs are
kept by batch and by those designs, and an assignment that begins as an earlier one did takes
them from there: the very numbers that would be computed.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from ...core.errors import ConfigError
from ...core.names import pick
from ..kinds import approx_layers
from ..layer_tables import check_operands
from ..tables import load_table
from ..training.evaluation import evaluating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from ...lutgen.table import ProductTable
    from ..table_layer import TableLayer

_SIGMAS = 3.0
"""How sure it must be that a candidate is too bad before its evaluation stops."""

Key: TypeAlias = tuple[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """How an assignment did, compared with the reference on the same images.

    Attributes:
        lost: images that the reference classifies correctly and the assignment does not.
        gained: the other way round.
        reference_correct: images that the reference classifies correctly.
        count: images looked at.
        stopped: whether not all were, because the candidate was too bad already.
        seconds: wall time.
    """

    lost: int
    gained: int
    reference_correct: int
    count: int
    stopped: bool
    seconds: float

    @property
    def correct(self) -> int:
        """Images classified correctly."""
        return self.reference_correct - self.lost + self.gained

    @property
    def loss_points(self) -> float:
        """Accuracy lost against the reference, in percentage points; negative if gained."""
        return 100.0 * (self.lost - self.gained) / self.count

    @property
    def error_points(self) -> float:
        """Standard error of ``loss_points``: of a mean of differences that are 1, 0 or -1.

        At least as if one image differed, so that no difference at all is not taken for certainty.
        """
        mean = (self.lost - self.gained) / self.count
        variance = (self.lost + self.gained) / self.count - mean**2
        return 100.0 * math.sqrt(max(variance, 1 / self.count) / self.count)

    @property
    def accuracy(self) -> float:
        """Share of the images classified correctly, 0 to 1."""
        return self.correct / self.count

    def with_batch(self, right: Tensor, reference: Tensor) -> Measurement:
        """Return this and one more batch.

        Args:
            right: bool [B], images that the assignment classifies correctly.
            reference: bool [B], those of the reference.
        """
        return replace(
            self,
            lost=self.lost + int((reference & ~right).sum()),
            gained=self.gained + int((right & ~reference).sum()),
            reference_correct=self.reference_correct + int(reference.sum()),
            count=self.count + len(right),
        )

    def is_surely_above(self, points: float) -> bool:
        """Say whether the loss exceeds ``points`` by three standard errors."""
        return self.loss_points - _SIGMAS * self.error_points > points

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the loss as plain JSON values."""
        return {
            **asdict(self),
            "correct": self.correct,
            "accuracy": self.accuracy,
            "loss_points": self.loss_points,
            "error_points": self.error_points,
        }


def measurement_from_json(values: Mapping[str, Any]) -> Measurement:
    """Undo `Measurement.to_json`."""
    return Measurement(**{field.name: values[field.name] for field in fields(Measurement)})


class AssignmentEvaluator:
    """Evaluates assignments of designs to the layers of one model.

    Args:
        model: with layers that multiply through tables, and known activation ranges.
        batches: (images, labels) to evaluate on.
        tables: design -> table; operands as those of the model's own tables.
        cache_bytes: memory for outputs of layers; 0 keeps none.

    Raises:
        ConfigError: no layer with a table, a layer that runs more than once for an image, or a
            table whose operands have other widths or signs than the model's.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[tuple[Tensor, Tensor]],
        tables: Mapping[str, ProductTable],
        *,
        cache_bytes: int = 0,
    ) -> None:
        self._model = model
        self._batches = batches
        found = dict(approx_layers(model))
        for name, layer in found.items():
            for table in tables.values():
                check_operands(name, layer, table)
        self.layers = order_of_layers(model, batches[0][0][:1])
        self._modules = [found[name] for name in self.layers]
        self._tables = dict(tables)
        self._own = {name: layer.table for name, layer in found.items()}
        self._loaded = [load_table(table) for table in tables.values()]  # kept from being freed
        self._cache = OutputCache(cache_bytes)
        self._reference = [self._right(b, None) for b in range(len(batches))]

    @property
    def reference_correct(self) -> int:
        """Images that the model classifies correctly with its own tables."""
        return sum(int(right.sum()) for right in self._reference)

    @property
    def count(self) -> int:
        """Images in all."""
        return sum(len(labels) for _, labels in self._batches)

    @property
    def reused(self) -> float:
        """Share of the layers' outputs that were taken from the cache, 0 to 1."""
        return self._cache.reused

    def measure(self, designs: Sequence[str], *, stop_points: float | None = None) -> Measurement:
        """Evaluate an assignment.

        Args:
            designs: of the layers, in the order of ``layers``.
            stop_points: loss in points from which on a candidate does not matter; its evaluation
                stops after a batch if the loss so far exceeds this by three standard errors of
                the paired difference.

        Raises:
            UnknownNameError: no such design.
        """
        if len(designs) != len(self.layers):
            raise ConfigError(
                "each layer needs a design", got=len(designs), expected=len(self.layers)
            )
        started = time.perf_counter()
        found = Measurement(0, 0, 0, 0, stopped=False, seconds=0.0)
        for batch, theirs in enumerate(self._reference):
            found = found.with_batch(self._right(batch, tuple(designs)), theirs)
            if stop_points is not None and found.is_surely_above(stop_points):
                break
        stopped = found.count < self.count
        return replace(found, stopped=stopped, seconds=time.perf_counter() - started)

    def _right(self, batch: int, designs: tuple[str, ...] | None) -> Tensor:
        """Return bool [B]: which images of a batch are classified correctly."""
        images, labels = self._batches[batch]
        for name, layer, at in zip(
            self.layers, self._modules, range(len(self.layers)), strict=True
        ):
            layer.set_table(
                self._own[name]
                if designs is None
                else pick(self._tables, designs[at], kind="design")
            )
        with evaluating(self._model), torch.no_grad():
            if designs is None:
                logits = self._model(images)
            else:
                with self._cache.serving(batch, designs, self._modules):
                    logits = self._model(images)
        right: Tensor = logits.argmax(1) == labels
        return right


class OutputCache:
    """Outputs of layers by batch and by the designs of the layers up to them.

    The least recently used ones go first when the memory is full.

    Args:
        limit: bytes to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Key, Tensor] = OrderedDict()
        self._written: set[int] = set()  # layers whose output something else writes to
        self._hits = 0
        self._asked = 0

    @property
    def reused(self) -> float:
        """Share of outputs that were there when asked for, 0 to 1."""
        return self._hits / self._asked if self._asked else 0.0

    @contextmanager
    def serving(
        self, batch: int, designs: tuple[str, ...], layers: Sequence[TableLayer]
    ) -> Iterator[None]:
        """Let layers give the outputs that are kept, and keep the others, for one forward pass."""
        prefixes: list[Key] = [(batch, designs[: at + 1]) for at in range(len(layers))]
        known = 0
        while known < len(layers) and prefixes[known] in self._kept:
            known += 1
        self._hits += known
        self._asked += len(layers)
        made: dict[int, tuple[Tensor, int]] = {}
        for at, layer in enumerate(layers):
            answer = (
                self._keeping(at, layer, made) if at >= known else self._giving(at, prefixes[at])
            )
            layer.forward = answer
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward
        # The shorter a prefix, the more assignments share it: it is to go last.
        for key in reversed(prefixes[:known]):
            self._kept.move_to_end(key)
        self._keep(prefixes, made)

    def _giving(self, at: int, key: Key) -> Callable[[Tensor], Tensor]:
        output = self._kept[key]

        def give(_: Tensor) -> Tensor:
            return output.clone() if at in self._written else output

        return give

    def _keeping(
        self, at: int, layer: TableLayer, made: dict[int, tuple[Tensor, int]]
    ) -> Callable[[Tensor], Tensor]:
        compute = layer.forward

        def run(x: Tensor) -> Tensor:
            output: Tensor = compute(x)
            if self._limit:
                kept = output.clone() if at in self._written else output
                made[at] = kept, kept._version
            return output

        return run

    def _keep(self, prefixes: Sequence[Key], made: Mapping[int, tuple[Tensor, int]]) -> None:
        for at in sorted(made, reverse=True):
            output, version = made[at]
            if output._version != version:  # an activation in place, say
                self._written.add(at)
                continue
            self._kept[prefixes[at]] = output
            self._bytes += output.nbytes
        while self._bytes > self._limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


def order_of_layers(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Return the names of the layers with a table in the order in which they run.

    Raises:
        ConfigError: there is none, or one runs more than once, or not at all.
    """
    ran: list[str] = []
    layers = dict(approx_layers(model))
    handles = [
        layer.register_forward_pre_hook(lambda module, inputs, name=name: ran.append(name))
        for name, layer in layers.items()
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not ran or sorted(ran) != sorted(layers):
        raise ConfigError(
            "layers cannot be assigned one by one",
            got=", ".join(ran) or "no layer that multiplies through a table",
            expected="each layer with a table to run once for an image",
        )
    return tuple(ran)
