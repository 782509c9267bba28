"""Which operands meet in the layers of a network: exact joint histograms of all products."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ..core.errors import ConfigError
from ..lutgen.histogram import OperandHistogram
from .kinds import approx_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from .table_layer import TableLayer as ApproxLayer

_EXACT = 1 << 53
"""Up to here float64 counts without error."""


@dataclass(eq=False)
class _Taps:
    """Histograms of one layer's operands for each tap, that is, each (channel, kernel position).

    A product pairs an activation and a weight of one tap, and every activation of a tap meets
    every weight of it. So the joint histogram is the sum over taps of the outer products.

    Attributes:
        weights: int64 [taps, 2^wb], weight codes of each tap over the output channels.
        activations: int64 [taps, 2^wa], activation codes of each tap over all positions so far.
        weight_codes: what ``weights`` was counted from.
    """

    weights: NDArray[np.int64]
    activations: NDArray[np.int64]
    weight_codes: Tensor

    def joint(self, layer: str) -> NDArray[np.int64]:
        """Return int64 [2^wa, 2^wb]: how often each pair of codes was multiplied.

        Raises:
            ConfigError: more than 2^53 products, which could not be counted exactly.
        """
        products = int(np.sum(self.activations.sum(1) * self.weights.sum(1)))
        if products >= _EXACT:
            raise ConfigError(
                f"layer {layer!r} multiplies too often to be counted exactly",
                got=f"{products} products",
                expected="less than 2^53",
                remedy="record fewer images",
            )
        # BLAS multiplies floats alone; integers below 2^53 are exact in them, sums included.
        found = self.activations.T.astype(np.float64) @ self.weights.astype(np.float64)
        return np.rint(found).astype(np.int64)


class OperandRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operands that reach the table's ops while a model runs.

    Operands are taken where the ops take them, padding included, so that what is counted is what
    is multiplied.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taps: dict[str, _Taps] = {}
        self.layer: str | None = None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an op; if it is one of a layer's that is being recorded, count its operands."""
        del types
        name = func._schema.name
        if self.layer is not None and name in ("rtlgrad::approx_conv2d", "rtlgrad::approx_linear"):
            names = [argument.name for argument in func._schema.arguments]
            given = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
            self._count(name, given)
        return func(*args, **(kwargs or {}))

    def _count(self, op: str, given: dict[str, Any]) -> None:
        assert self.layer is not None
        rows, columns = given["table"].shape
        x, w = given["x_codes"], given["w_codes"]
        if op == "rtlgrad::approx_linear":
            seen = _tap_counts(x.t(), rows)
            groups = 1
        else:
            seen = _conv_counts(given, rows)
            groups = given["groups"]
        known = self.taps.get(self.layer)
        if known is None:
            self.taps[self.layer] = _Taps(_weight_counts(w, groups, columns), seen, w.clone())
        elif not torch.equal(known.weight_codes, w):
            raise ConfigError(f"the weights of layer {self.layer!r} changed while recording")
        else:
            known.activations += seen


def record_operands(model: nn.Module, batches: Iterable[Any]) -> tuple[OperandHistogram, ...]:
    """Count which pairs of operand codes every approximate layer multiplies.

    The model runs in evaluation mode, without gradient; training flags are restored. The counts
    are exact: one per product, taps in the padding included.

    Args:
        model: with approximate layers whose activation ranges are known.
        batches: what the model takes; of a tuple or list the first element is taken.

    Returns:
        One histogram per layer that multiplied, in the order of the layers.

    Raises:
        ConfigError: no approximate layer, no batch, activation ranges that are not known, or a
            layer of a kind whose operands are not recorded.
    """
    layers = dict(approx_layers(model))
    if not layers:
        raise ConfigError(
            "no operands to record: the model has no approximate layer of integer operands",
            remedy="run approximate(model, table) first, or name a run with a design",
        )
    recorder = OperandRecorder()
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), _named(layers, recorder), recorder:
            for batch in batches:
                model(batch[0] if isinstance(batch, list | tuple) else batch)
    finally:
        for module, training in modes:
            module.training = training
    if not recorder.taps:
        raise ConfigError("no operands were recorded", got="no batch", expected="at least one")
    return tuple(
        _histogram(name, layer, recorder.taps[name])
        for name, layer in layers.items()
        if name in recorder.taps
    )


def _histogram(name: str, layer: ApproxLayer, taps: _Taps) -> OperandHistogram:
    a, b = layer.operands
    return OperandHistogram(
        name, taps.joint(name), a.signed, b.signed, layer.table.name, layer.table.id
    )


@contextmanager
def _named(layers: dict[str, ApproxLayer], recorder: OperandRecorder) -> Iterator[None]:
    """Tell the recorder which layer is running."""
    handles = []
    for name, layer in layers.items():

        def enter(module: Any, inputs: Any, name: str = name) -> None:
            del module, inputs
            recorder.layer = name

        def leave(module: Any, inputs: Any, output: Any, name: str = name) -> None:
            del inputs, output
            recorder.layer = None
            if name not in recorder.taps:
                raise ConfigError(
                    f"the operands of layer {name!r} cannot be recorded",
                    got=type(module).__name__,
                    expected="a layer that multiplies as Conv2d or Linear do",
                )

        handles.append(layer.register_forward_pre_hook(enter))
        handles.append(layer.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _weight_counts(codes: Tensor, groups: int, bins: int) -> NDArray[np.int64]:
    """Count weight codes [O, K...] per tap: int64 [groups * K, bins]."""
    outputs = codes.shape[0]
    per_tap = codes.reshape(groups, outputs // groups, -1).transpose(1, 2)
    return _tap_counts(per_tap.reshape(-1, outputs // groups), bins)


def _conv_counts(given: dict[str, Any], bins: int) -> NDArray[np.int64]:
    """Count activation codes per tap: int64 [C * kh * kw, bins]; C runs through all groups."""
    x, w = given["x_codes"], given["w_codes"]
    top, bottom, left, right = given["padding"]
    # In two's complement the zero point is 0, so its value is its code in every format.
    padded = functional.pad(x, (left, right, top, bottom), value=int(given["x_zero"]))
    (down, across), (step_y, step_x) = given["dilation"], given["stride"]
    height, width = padded.shape[2:]
    rows, columns = w.shape[2:]
    counts = []
    for y, x0 in itertools.product(range(0, rows * down, down), range(0, columns * across, across)):
        below, beyond = y + height - (rows - 1) * down, x0 + width - (columns - 1) * across
        tap = padded[:, :, y:below:step_y, x0:beyond:step_x]
        counts.append(_tap_counts(tap.transpose(0, 1).flatten(1), bins))
    return np.stack(counts, axis=1).reshape(-1, bins)


def _tap_counts(codes: Tensor, bins: int) -> NDArray[np.int64]:
    """Count the codes in each row of [taps, N]: int64 [taps, bins]."""
    taps = codes.shape[0]
    rows = torch.arange(taps, device=codes.device).unsqueeze(1) * bins
    flat = (codes.to(torch.int64) + rows).flatten()
    counts = torch.bincount(flat, minlength=taps * bins).view(taps, bins)
    return counts.cpu().numpy().astype(np.int64)
