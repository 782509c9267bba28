"""The audit: replays batches through a network and compares what its layers did with the RTL."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import ConfigError, IdentityError, RtlgradError
from ...lutgen.table import ProductTable, code_values
from ..interception import Interceptor, LayerCall, intercepted
from ..kinds import layers_with_table
from ..operand_counts import joint_counts
from ..range_finding import run_on_batches
from .entries import EveryProduct, KnownEntries
from .outputs import Compared, compare_integers, compare_mantissas, integer_operands
from .result import AuditResult, DesignCoverage, LayerAudit, WrongProduct
from .sample import stratified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ..kinds import ApproxLayer
    from .entries import Simulators

_SHOWN = 100
_SAMPLED_OUTPUTS = 256


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """How much is compared.

    Attributes:
        pairs: operand pairs of a layer that are put through the RTL at most, a stratified sample of
            those that it used; None for all.
        outputs: output values of a layer that are summed again at most, per batch; None for all, or
            256 if ``pairs`` is given. All pairs of these go through the RTL too.
        every: put every product through the RTL, rather than every distinct pair once.
        seed: of the samples.

    Raises:
        ConfigError: a number below its least, or a sample of every product.
    """

    pairs: int | None = None
    outputs: int | None = None
    every: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("pairs", 1), ("outputs", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(
                    f"an audit with {name} = {value}", expected=f"{least} or more, or none for all"
                )
        if self.every and (self.pairs is not None or self.outputs is not None):
            raise ConfigError(
                "every product was asked for, and a sample",
                got=f"pairs = {self.pairs}, outputs = {self.outputs}",
                expected="one of them",
            )

    @property
    def outputs_of_call(self) -> int | None:
        """Output values to compare of one call; None for all."""
        if self.outputs is None and self.pairs is not None:
            return _SAMPLED_OUTPUTS
        return self.outputs


@dataclass
class _Layer:
    """What is known of a layer while the audit runs; ``made`` are results for its replay."""

    layer: ApproxLayer
    entries: KnownEntries | None
    unchecked: str
    table: NDArray[np.int64] | None = None
    counts: NDArray[np.int64] | None = None
    figures: dict[str, int] = field(default_factory=dict)
    made: list[Tensor] = field(default_factory=list)

    def add(self, **more: int) -> None:
        for name, value in more.items():
            self.figures[name] = self.figures.get(name, 0) + value


def audit_model(
    model: nn.Module,
    batches: Iterable[Any],
    simulators: Simulators,
    *,
    plan: AuditPlan | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> AuditResult:
    """Replay batches through a model and compare its layers' products and outputs with the RTL.

    The model runs in evaluation mode, without gradient; training flags are restored, and no random
    number is drawn from torch. Compared are, for each layer with a table:

    * the table's entries that the layer used, each with the RTL's answer for these operands;
    * the engine's integer sums, and the op's float32 outputs, with those summed from the RTL's
      answers, zero-point corrections, accumulator and scales included;
    * what the layer returned, bias included, with what it returns when its products are the RTL's.

    Args:
        model: with approximate layers whose activation ranges are known; not compiled.
        batches: what the model takes; of a tuple or list the first element is taken.
        simulators: gives the RTL of a table. Where there is none, the layer is unchecked, with the
            reason.
        plan: how much is compared; all if None.
        progress: called after each call of a layer with its name and its products.

    Raises:
        ConfigError: no approximate layer, no batch, or activation ranges that are not known.
        IdentityError: a source is not the one that its table was made from.
        SimulationError: the simulation ended.
    """
    began = time.perf_counter()
    auditor = _Auditor(model, simulators, plan or AuditPlan(), progress)
    with intercepted(model, auditor.interceptor, auditor.replay):
        run_on_batches(model, batches)
    return auditor.result(time.perf_counter() - began)


class _Auditor:
    def __init__(
        self,
        model: nn.Module,
        simulators: Simulators,
        plan: AuditPlan,
        progress: Callable[[str, int], None] | None,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._random = np.random.default_rng(plan.seed)
        self._replaying: list[Tensor] | None = None
        self._designs: dict[str, KnownEntries | str] = {}
        self._layers = {
            name: self._new_layer(layer, simulators) for name, layer in layers_with_table(model)
        }
        self.interceptor = Interceptor(self._see)

    def _new_layer(self, layer: ApproxLayer, simulators: Simulators) -> _Layer:
        table = layer.table
        if table.id not in self._designs:
            codes = table.products if isinstance(table, ProductTable) else table.codes
            try:
                source = simulators(table)
                self._designs[table.id] = KnownEntries(source, (codes.shape[0], codes.shape[1]))
            except IdentityError:
                raise  # not even the RTL is what it should be
            except RtlgradError as error:
                self._designs[table.id] = str(error)
        found = self._designs[table.id]
        if isinstance(found, str):
            return _Layer(layer, None, found)
        return _Layer(layer, found, "")

    def _see(self, call: LayerCall) -> Tensor | None:
        """Take note of a call; in the replay of a layer, return what the RTL's products make."""
        if self._replaying is not None:
            return self._replaying.pop(0)
        state = self._layers[call.layer]
        if not call.is_integer and not call.given["approximate"][0]:
            state.unchecked = "its forward products are exact; only gradients use the table"
            return None
        counts = joint_counts(call)
        state.counts = counts if state.counts is None else state.counts + counts
        state.add(outputs=call.output.numel())
        if state.entries is not None:
            state.table = call.given["table"].cpu().numpy().astype(np.int64)
            state.entries.used |= counts > 0
            if self._plan.pairs is None and not (self._plan.every and call.is_integer):
                state.entries.learn(counts > 0)
            compared = self._compare(call, state, state.entries)
            state.add(
                outputs_compared=compared.outputs,
                sums_wrong=compared.sums_wrong,
                outputs_wrong=compared.outputs_wrong,
            )
            if compared.made is not None:
                state.made.append(compared.made)
        if self._progress is not None:
            self._progress(call.layer, int(counts.sum()))
        return None

    def _compare(self, call: LayerCall, state: _Layer, entries: KnownEntries) -> Compared:
        limit = self._plan.outputs_of_call
        images, channels = call.output.shape[:2]
        if limit == 0 or call.output.numel() == 0:
            return Compared(0, 0, 0, None)
        if not call.is_integer:
            per_image = call.output.numel() // images
            part = None if limit is None else max(1, limit // per_image)
            if self._plan.pairs is not None:
                self._learn_images(call, entries, part)
            return compare_mantissas(call, entries, None if part and part >= images else part)
        operands = integer_operands(call)
        at = None
        positions = operands.columns.shape[2]
        if limit is not None and limit < channels * positions:
            wanted = max(1, limit // channels)
            at = np.sort(self._random.choice(positions, min(wanted, positions), replace=False))
            operands = operands.at(at)
        if self._plan.pairs is not None:
            entries.learn(_pairs_of(operands.columns, operands.kernels, entries.known.shape))
        assert state.table is not None
        source = EveryProduct(entries, state.table) if self._plan.every else entries
        return compare_integers(call, operands, source, at)

    def _learn_images(self, call: LayerCall, entries: KnownEntries, images: int | None) -> None:
        names = ("x", "w")
        x, w = (call.given[name] for name in names)
        part = LayerCall(call.layer, call.op, {**call.given, "x": x[:images], "w": w}, call.result)
        entries.learn(joint_counts(part) > 0)

    def replay(
        self,
        name: str,
        layer: ApproxLayer,
        inputs: tuple[Any, ...],
        named: dict[str, Any],
        output: Any,
    ) -> None:
        """Run a layer again with the RTL's products in place of the engine's, and compare."""
        state = self._layers[name]
        made, state.made = state.made, []
        if not made or not isinstance(output, torch.Tensor):
            return
        self._replaying, self.interceptor.layer = made, name
        try:
            again = layer.forward(*inputs, **named)
        finally:
            self._replaying, self.interceptor.layer = None, None
        same = (again == output) | (again.isnan() & output.isnan())
        state.add(results_compared=output.numel(), results_wrong=int((~same).sum()))

    def result(self, seconds: float) -> AuditResult:
        """Compare the entries that were used, and return all figures."""
        layers = tuple(
            self._finished(name, state)
            for name, state in self._layers.items()
            if state.counts is not None or state.unchecked
        )
        names = {state.layer.table.id: state.layer.table.name for state in self._layers.values()}
        coverage = tuple(
            DesignCoverage(
                *(names[identity], identity),
                int(np.count_nonzero(entries.used)),
                int(np.count_nonzero(entries.used & entries.known)),
                entries.used.size,
                entries.asked,
            )
            for identity, entries in self._designs.items()
            if isinstance(entries, KnownEntries)
        )
        return AuditResult(layers, coverage, seconds)

    def _finished(self, name: str, state: _Layer) -> LayerAudit:
        table, counts = state.layer.table, state.counts
        integer = isinstance(table, ProductTable)
        about = (name, table.name, table.id, "integers" if integer else "mantissas")
        if counts is None:
            return LayerAudit(*about, unchecked=state.unchecked)
        seen: dict[str, Any] = {
            "products": int(counts.sum()),
            "pairs": int(np.count_nonzero(counts)),
            "pairs_possible": counts.size,
            **state.figures,
        }
        if state.entries is None or state.table is None:
            return LayerAudit(*about, **seen, unchecked=state.unchecked)
        entries, values = state.entries, _values(state.layer)
        if self._plan.pairs is not None:
            entries.learn(stratified(counts, *values, self._plan.pairs, self._plan.seed))
        compared = (counts > 0) & entries.known
        wrong = compared & (entries.values != state.table)
        return LayerAudit(
            *about,
            **seen,
            products_compared=int(counts[compared].sum()),
            pairs_compared=int(np.count_nonzero(compared)),
            wrong_pairs=int(np.count_nonzero(wrong)),
            wrong=_named(name, table.name, wrong, counts, entries, state.table, values),
        )


def _values(layer: ApproxLayer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = layer.table
    if isinstance(table, ProductTable):
        return table.values_a, table.values_b
    codes = code_values(table.mantissa_bits, signed=False)
    return codes, codes


def _pairs_of(
    columns: NDArray[np.int64], kernels: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return the pairs that the outputs of some positions take, bool of the table's shape."""
    wanted = np.zeros(shape, np.bool_)
    for group, k in np.ndindex(*columns.shape[:2]):
        wanted[np.unique(columns[group, k])[:, None], kernels[group, :, k][None, :]] = True
    return wanted


def _named(
    layer: str,
    design: str,
    wrong: NDArray[np.bool_],
    counts: NDArray[np.int64],
    entries: KnownEntries,
    table: NDArray[np.int64],
    values: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[WrongProduct, ...]:
    a, b = np.nonzero(wrong)
    order = np.argsort(-counts[a, b], kind="stable")[:_SHOWN]
    return tuple(
        WrongProduct(
            *(layer, design, int(values[0][i]), int(values[1][j]), int(i), int(j)),
            *(int(table[i, j]), int(entries.values[i, j]), int(counts[i, j])),
        )
        for i, j in zip(a[order], b[order], strict=True)
    )
