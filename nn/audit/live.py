"""Inference in which every product of a model with tables is the live RTL's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...lutgen.table import ProductTable
from ..interception import Interceptor, LayerCall, intercepted
from ..kinds import layers_with_table
from ..operand_counts import joint_counts
from .entries import KnownEntries
from .outputs import live_mantissas, live_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from .entries import Simulators


@contextmanager
def live_products(
    model: nn.Module,
    simulators: Simulators,
    progress: Callable[[str, int], None] | None = None,
) -> Iterator[Mapping[str, KnownEntries]]:
    """Let every layer with a table take its products from the RTL, for the block.

    Each distinct pair is asked once; sums, corrections and scales are computed apart from the
    engines. In evaluation mode alone.

    Args:
        model: with approximate layers whose activation ranges are known.
        simulators: gives the RTL of a table.
        progress: called after each call of a layer with its name and its products.

    Yields:
        The RTL's answers by table id; they grow while the model runs.

    Raises:
        ConfigError: no layer has a table, or a layer's forward products are exact.
        RtlgradError: a table has no RTL that can be simulated.
    """
    layers = dict(layers_with_table(model))
    known: dict[str, KnownEntries] = {}
    for layer in layers.values():
        table = layer.table
        if table.id not in known:
            codes = table.products if isinstance(table, ProductTable) else table.codes
            known[table.id] = KnownEntries(simulators(table), (codes.shape[0], codes.shape[1]))

    def compute(call: LayerCall) -> Tensor:
        if not call.is_integer and not call.given["approximate"][0]:
            raise ConfigError(
                f"layer {call.layer!r} multiplies exactly in its forward pass",
                expected="a layer whose forward products go through its table",
            )
        entries = known[layers[call.layer].table.id]
        counts = joint_counts(call)
        entries.learn(counts > 0)
        if progress is not None:
            progress(call.layer, int(counts.sum()))
        if call.is_integer:
            return live_result(call, entries)
        return live_mantissas(call, entries).reshape(call.result.shape)

    with intercepted(model, Interceptor(compute)):
        yield known
