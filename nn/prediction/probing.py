"""What each layer multiplied on a batch, and how the network's outputs answer to its products."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ...core.errors import ConfigError
from ...lutgen.table import ProductTable
from ..kinds import approx_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from ..table_layer import TableLayer

_OPS = ("rtlgrad::approx_conv2d", "rtlgrad::approx_linear")


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer: its operands and a handle on its output.

    Attributes:
        layer: the layer's name.
        activations: activation codes [N, C, H, W], padding included; H = W = 1 for linear layers.
        weights: weight codes [O, C / groups, kh, kw].
        scales: float32 [O], what one unit of a product is worth in the output.
        geometry: ((stride y, x), (dilation y, x), groups).
        probe: float32 zeros that were added to the output; a gradient with respect to them is
            one with respect to the output.
    """

    layer: str
    activations: Tensor
    weights: Tensor
    scales: Tensor
    geometry: tuple[tuple[int, int], tuple[int, int], int]
    probe: Tensor

    def taps(self) -> Iterator[tuple[Tensor, Tensor, slice]]:
        """Yield the products of each tap, that is, each (input channel, kernel position).

        Yields:
            (codes int64 [N * P] of the activations at all positions, weight codes int64 [Og] that
            each of them meets, the output channels that those weights belong to).
        """
        (step_y, step_x), (down, across), groups = self.geometry
        outputs, per_group, rows, columns = self.weights.shape
        height, width = self.activations.shape[2:]
        for i, j in itertools.product(range(rows), range(columns)):
            y, x = i * down, j * across
            below, beyond = y + height - (rows - 1) * down, x + width - (columns - 1) * across
            seen = self.activations[:, :, y:below:step_y, x:beyond:step_x]
            by_channel = seen.transpose(0, 1).flatten(1).to(torch.int64)
            for channel, codes in enumerate(by_channel):
                group, inner = divmod(channel, per_group)
                mine = slice(group * outputs // groups, (group + 1) * outputs // groups)
                yield codes, self.weights[mine, inner, i, j].to(torch.int64), mine


@dataclass(eq=False)
class _Tracer(TorchDispatchMode):
    """Notes the operands of each layer's op, where the op takes them."""

    calls: list[LayerCall] = field(default_factory=list)
    layer: str | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        if self.layer is not None and func._schema.name in _OPS:
            names = [argument.name for argument in func._schema.arguments]
            self.seen.append({**dict(zip(names, args, strict=False)), **(kwargs or {})})
        return func(*args, **(kwargs or {}))

    def enter(self, name: str) -> None:
        """Begin with a layer."""
        self.layer, self.seen = name, []

    def leave(self, module: nn.Module, output: Tensor) -> Tensor:
        """End with a layer: return its output plus a probe."""
        name, seen = self.layer, self.seen
        self.layer = None
        assert name is not None
        if len(seen) != 1:
            raise _not_probed(name, module)
        given = seen[0]
        x, w = given["x_codes"], given["w_codes"]
        if "padding" in given:
            top, bottom, left, right = given["padding"]
            # In two's complement the zero point is 0, so its value is its code in every format.
            zero = int(given["x_zero"])
            x = functional.pad(x, (left, right, top, bottom), value=zero)
            geometry = (tuple(given["stride"]), tuple(given["dilation"]), int(given["groups"]))
        else:
            x, w = x[:, :, None, None], w[:, :, None, None]
            geometry = ((1, 1), (1, 1), 1)
        probe = torch.zeros_like(output, dtype=torch.float32).requires_grad_()
        call = LayerCall(name, x, w, given["x_scale"] * given["w_scale"], geometry, probe)
        if output.ndim not in (2, 4) or output.shape[:2] != (len(x), len(w)):
            raise _not_probed(name, module)
        self.calls.append(call)
        return output + probe.to(output.dtype)


def probe(model: nn.Module, images: Tensor) -> tuple[Tensor, list[LayerCall]]:
    """Run a model with exact products, and note what each of its layers multiplied.

    Tables and gradients of the layers are the exact ones for this run alone; it is in evaluation
    mode. Nothing of the model is changed afterwards.

    Args:
        model: with approximate layers whose activation ranges are known.
        images: what the model takes, [N, ...].

    Returns:
        The outputs [N, classes], attached to the graph of the probes, and the calls in order.

    Raises:
        ConfigError: no approximate layer, ranges that are not known, a layer of a kind that is
            not probed, or outputs that are not [N, classes].
    """
    layers = dict(approx_layers(model))
    if not layers:
        raise ConfigError(
            "nothing to predict: the model has no approximate layer of integer operands",
            remedy="run approximate(model, table) first",
        )
    tracer = _Tracer()
    with _exactly(model, layers), _hooked(layers, tracer), torch.enable_grad(), tracer:
        outputs = model(images)
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != len(images):
        raise ConfigError(
            "the model's outputs are not one row of logits for each image",
            got=tuple(getattr(outputs, "shape", ())) or type(outputs).__name__,
            expected=f"({len(images)}, classes)",
        )
    return outputs, tracer.calls


def exact_like(table: ProductTable) -> ProductTable:
    """Return the exact table with the operands of another."""
    return ProductTable(table.exact, table.signed_a, table.signed_b, name="exact")


@contextmanager
def _exactly(model: nn.Module, layers: dict[str, TableLayer]) -> Iterator[None]:
    """Let a model compute exactly, in evaluation mode, with straight-through gradients."""
    modes = [(module, module.training) for module in model.modules()]
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [(layer, layer.table, layer.options) for layer in layers.values()]
    try:
        model.eval()
        for parameter in learning:
            parameter.requires_grad_(False)
        for layer, table, _ in before:
            layer.set_table(exact_like(table))
            layer.set_options(gradient="ste", accumulator="int32")
        yield
    finally:
        for layer, table, options in before:
            layer.set_table(table)
            layer.set_options(gradient=options.gradient, accumulator=options.accumulator)
        for parameter in learning:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training


@contextmanager
def _hooked(layers: dict[str, TableLayer], tracer: _Tracer) -> Iterator[None]:
    handles: list[Any] = []
    for name, layer in layers.items():

        def enter(module: Any, inputs: Any, name: str = name) -> None:
            del module, inputs
            tracer.enter(name)

        def leave(module: Any, inputs: Any, output: Any) -> Any:
            del inputs
            return tracer.leave(module, output)

        handles.append(layer.register_forward_pre_hook(enter))
        handles.append(layer.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradients(outputs: Tensor, calls: Sequence[LayerCall], directions: Tensor) -> list[Tensor]:
    """Return what the mean over images of each direction's output gains by each layer output.

    Args:
        outputs: [N, classes], of `probe`.
        calls: of `probe`.
        directions: float32 [R, classes].

    Returns:
        For each call float32 [R, N, O, P]: d(mean_n(direction . output_n)) / d(output of the layer).
    """
    rows: list[list[Tensor]] = [[] for _ in calls]
    probes = [call.probe for call in calls]
    for direction in directions:
        weights = (direction / len(outputs)).expand_as(outputs)
        found = torch.autograd.grad(outputs, probes, weights, retain_graph=True, allow_unused=True)
        for row, call, gradient in zip(rows, calls, found, strict=True):
            known = torch.zeros_like(call.probe) if gradient is None else gradient
            row.append(known.reshape(*known.shape[:2], -1))
    return [torch.stack(row) for row in rows]


def _not_probed(name: str, module: nn.Module) -> ConfigError:
    return ConfigError(
        f"the products of layer {name!r} cannot be weighed",
        got=type(module).__name__,
        expected="a layer that multiplies as Conv2d or Linear do, on a batch",
        remedy="leave this layer exact",
    )
