"""Which operands meet in the layers of a network: exact joint histograms of all products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..lutgen.histogram import OperandHistogram
from ..lutgen.table import ProductTable
from .interception import Interceptor, LayerCall, intercepted
from .kinds import layers_with_table
from .operand_counts import joint_counts
from .range_finding import run_on_batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from .kinds import ApproxLayer


def record_operands(model: nn.Module, batches: Iterable[Any]) -> tuple[OperandHistogram, ...]:
    """Count which pairs of operand codes every approximate layer multiplies.

    The model runs in evaluation mode, without gradient; training flags are restored. The counts
    are exact: one per product, taps in the padding included. Products of two inputs
    (`ApproxMatmul`) are counted like those with a weight. Of layers with a mantissa table the
    codes are those of the mantissas, one count per product of two normal numbers.

    Args:
        model: with approximate layers whose activation ranges are known.
        batches: what the model takes; of a tuple or list the first element is taken.

    Returns:
        One histogram per layer that multiplied, in the order of the layers.

    Raises:
        ConfigError: no approximate layer, no batch, activation ranges that are not known, a
            layer of a kind whose operands are not seen, or more than 2^53 products in a layer.
    """
    counts: dict[str, NDArray[np.int64]] = {}

    def count(call: LayerCall) -> None:
        seen = joint_counts(call)
        counts[call.layer] = counts[call.layer] + seen if call.layer in counts else seen

    with intercepted(model, Interceptor(count)):
        run_on_batches(model, batches)
    if not counts:
        raise ConfigError("no operands were recorded", expected="a layer with a table that ran")
    return tuple(
        histogram_of(name, layer, counts[name])
        for name, layer in layers_with_table(model)
        if name in counts
    )


def histogram_of(name: str, layer: ApproxLayer, counts: NDArray[np.int64]) -> OperandHistogram:
    """Return a layer's counts with what their codes stand for."""
    table = layer.table
    if isinstance(table, ProductTable):
        signs = {"signed_a": table.signed_a, "signed_b": table.signed_b}
        return OperandHistogram(
            name, counts, **signs, design=table.name, characterization_id=table.id
        )
    return OperandHistogram(name, counts, False, False, table.name, table.id, mantissas=True)
