"""The products of a model's layers, seen or replaced as they are computed.

Every layer with a table computes by one of four ops, whatever its kind; operands are taken where
these ops take them, padding and layout included, so that what is seen is what is multiplied.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import TorchDispatchMode

from ..core.errors import ConfigError
from .gradients.columns import Windows
from .kinds import layers_with_table
from .op_arguments import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from .kinds import ApproxLayer

INTEGER_OPS = ("rtlgrad::approx_conv2d", "rtlgrad::approx_linear")
MANTISSA_OPS = ("rtlgrad::mantissa_conv2d", "rtlgrad::mantissa_linear")


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One forward pass of a layer's products.

    Attributes:
        layer: the layer's name in the model.
        op: the op's name.
        given: the op's arguments by name.
        result: what it returned, float32.
    """

    layer: str
    op: str
    given: Mapping[str, Any]
    result: Tensor

    @property
    def is_integer(self) -> bool:
        """Whether operands are codes of integers, rather than float32 numbers."""
        return self.op in INTEGER_OPS

    @property
    def is_linear(self) -> bool:
        """Whether it is a matrix product, which is a convolution of 1x1 images."""
        return self.op.endswith("_linear")

    @property
    def operands(self) -> tuple[Tensor, Tensor]:
        """Activations [B, C, H, W] and weights [O, C/groups, kh, kw]: codes, or float32."""
        names = ("x_codes", "w_codes") if self.is_integer else ("x", "w")
        x, w = (self.given[name] for name in names)
        return (x[:, :, None, None], w[:, :, None, None]) if self.is_linear else (x, w)

    @property
    def output(self) -> Tensor:
        """The result as that of a convolution, [B, O, H', W']."""
        return self.result[:, :, None, None] if self.is_linear else self.result

    @property
    def geometry(self) -> Geometry:
        """The geometry of the convolution."""
        if self.is_linear:
            return Geometry()
        return Geometry(*(self.given[name] for name in Geometry._fields))

    @property
    def windows(self) -> Windows:
        """Which taps each output has."""
        x, w = self.operands
        return Windows((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), *self.geometry)


class Interceptor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each layer's products to a handler while a model runs.

    Args:
        handler: called with each call, after it; a tensor that it returns takes the result's place.
    """

    def __init__(self, handler: Callable[[LayerCall], Tensor | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.handler = handler
        self.layer: str | None = None
        self.seen = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an op; if it is one of a layer's products, hand it over."""
        del types
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if self.layer is None or name not in (*INTEGER_OPS, *MANTISSA_OPS):
            return result
        self.seen += 1
        names = [argument.name for argument in func._schema.arguments]
        defaults = {
            argument.name: argument.default_value
            for argument in func._schema.arguments
            if argument.has_default_value()
        }
        given = {**defaults, **dict(zip(names, args, strict=False)), **(kwargs or {})}
        replaced = self.handler(LayerCall(self.layer, name, given, result))
        return result if replaced is None else replaced


@contextmanager
def intercepted(
    model: nn.Module,
    interceptor: Interceptor,
    left: Callable[[str, ApproxLayer, tuple[Any, ...], dict[str, Any], Any], None] | None = None,
) -> Iterator[None]:
    """Let an interceptor see the products of all layers with a table, for the block.

    Args:
        model: the model, which must not be compiled.
        interceptor: sees the products.
        left: called after each layer with its name, itself, its arguments and its output.

    Raises:
        ConfigError: no layer has a table; or, while the model runs, a layer computes otherwise.
    """
    layers = dict(layers_with_table(model))
    if not layers:
        raise ConfigError(
            "no products to look at: the model has no approximate layer",
            remedy="run approximate(model, table) first, or name a run with a design",
        )
    handles = []
    for name, layer in layers.items():

        def enter(module: Any, inputs: Any, name: str = name) -> None:
            del module, inputs
            interceptor.layer = name
            interceptor.seen = 0

        def leave(module: Any, inputs: Any, named: Any, output: Any, name: str = name) -> None:
            interceptor.layer = None
            if not interceptor.seen:
                raise ConfigError(
                    f"the products of layer {name!r} cannot be seen",
                    got=type(module).__name__,
                    expected="a layer that multiplies as Conv2d or Linear do",
                )
            if left is not None:
                left(name, module, inputs, named, output)

        handles.append(layer.register_forward_pre_hook(enter))
        handles.append(layer.register_forward_hook(leave, with_kwargs=True))
    try:
        with interceptor:
            yield
    finally:
        interceptor.layer = None
        for handle in handles:
            handle.remove()
