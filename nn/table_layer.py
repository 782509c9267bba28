"""What all layers with a table have in common: the table, its options, the quantized products."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from ..core.errors import ConfigError
from .activation import ActivationQuantizer
from .learned import WeightQuantizer
from .ops import approx_conv2d, approx_linear
from .options import LayerOptions
from .tables import load_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .quantize import OperandFormat, Quantized
    from .tables import LoadedTable

M = TypeVar("M", bound=nn.Module)


class TableLayer(nn.Module):
    """A layer whose products go through a table.

    Quantizers are submodules; the first of them is called ``activation`` where there is one input.
    """

    _loaded: LoadedTable
    _products: Tensor
    _formats: tuple[OperandFormat, OperandFormat]
    _options: LayerOptions

    def _equip(self, table: ProductTable, options: LayerOptions) -> None:
        self._options = options
        self._hold(load_table(table))
        self._add_quantizers()
        for quantizer in self.quantizers():
            quantizer.train(self.training)

    def _add_quantizers(self) -> None:
        """Register the quantizers that the layer needs."""
        raise NotImplementedError

    def _new_activation(self, device: torch.device | str | None) -> ActivationQuantizer:
        options = self._options
        learned = options.quantizer == "lsq"
        return ActivationQuantizer(options.momentum, device, learned=learned)

    def _new_weights(self, weight: Tensor, channels: int) -> WeightQuantizer:
        learned = self._options.quantizer == "lsq"
        return WeightQuantizer(learned=learned, channels=channels, device=weight.device)

    @property
    def table(self) -> ProductTable:
        """The table that products are taken from."""
        return self._loaded.table

    @property
    def options(self) -> LayerOptions:
        """How the layer computes and learns."""
        return self._options

    @property
    def engine(self) -> str:
        """The engine's name as asked for, "auto" included."""
        return self._options.engine

    @property
    def calibration(self) -> str:
        """The method that `calibrate` uses unless told another."""
        return self._options.calibration

    @property
    def operands(self) -> tuple[OperandFormat, OperandFormat]:
        """The formats of activation and weight."""
        return self._formats

    def activations(self) -> Iterator[tuple[str, ActivationQuantizer]]:
        """Yield the quantizers of the layer's inputs with their names."""
        for name, child in self.named_children():
            if isinstance(child, ActivationQuantizer):
                yield name, child

    def quantizers(self) -> Iterator[ActivationQuantizer | WeightQuantizer]:
        """Yield all quantizers of the layer."""
        for child in self.children():
            if isinstance(child, ActivationQuantizer | WeightQuantizer):
                yield child

    @property
    def is_observing(self) -> bool:
        """Whether a calibration is under way."""
        return any(quantizer.is_observing for _, quantizer in self.activations())

    def set_table(self, table: ProductTable) -> None:
        """Take products from another table from now on.

        Ranges stay. Learnt scales begin anew if the operands' formats differ.

        Raises:
            ConfigError: an operand narrower than 2 or wider than 12 bits.
        """
        before = self._formats
        self._hold(load_table(table))
        if self._formats != before:
            for quantizer in self.quantizers():
                quantizer.forget_step()

    def set_options(self, **changes: Any) -> None:
        """Compute or learn otherwise from now on: engine, gradient, calibration or accumulator.

        Raises:
            UnknownNameError, ConfigError: an option that makes no sense (see `LayerOptions`).
            ConfigError: a change of ``quantizer`` or ``momentum``, which belong to the layer's state.
        """
        for fixed in ("quantizer", "momentum"):
            if changes.get(fixed, getattr(self._options, fixed)) != getattr(self._options, fixed):
                raise ConfigError(
                    f"the option {fixed} of a layer cannot be changed in place",
                    got=changes[fixed],
                    expected=getattr(self._options, fixed),
                    remedy="use approximate(model, table, ...), which makes the layers anew",
                )
        self._options = replace(self._options, **changes)

    def set_engine(self, engine: str) -> None:
        """Compute on another engine from now on.

        Raises:
            UnknownNameError: no engine has this name.
        """
        self.set_options(engine=engine)

    def extra_repr(self) -> str:
        """Return torch's description, then the table and the options that are not the default."""
        default, mine = LayerOptions(), self._options
        parts = [super().extra_repr(), f"table={self.table!r}", f"engine={mine.engine!r}"]
        parts += [
            f"{name}={getattr(mine, name)!r}"
            for name in ("gradient", "quantizer", "accumulator")
            if getattr(mine, name) != getattr(default, name)
        ]
        return ", ".join(part for part in parts if part)

    def _hold(self, loaded: LoadedTable) -> None:
        self._loaded = loaded
        self._products = loaded.new_products()
        self._formats = loaded.new_formats()

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes its tensor from the table again, instead of copying up to 64 MiB.
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "_products"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._hold(self._loaded)

    def _quantize(
        self, activation: ActivationQuantizer, x: Tensor, operand: OperandFormat | None = None
    ) -> Quantized:
        if not (activation.training or torch.compiler.is_compiling() or activation.is_calibrated):
            raise ConfigError(
                f"the activation range of this {type(self).__name__} is unknown",
                got="evaluation before any calibration or training step",
                expected="a range found by calibration or in training",
                remedy="run rtlgrad.nn.calibrate(model, batches), train first, or load the state "
                "of a calibrated model",
            )
        wanted = operand or self._formats[0]
        quantized: Quantized = activation(x, wanted, codes_only=not needs_gradient(x))
        return quantized

    def _linear(self, a: Quantized, w: Quantized) -> Tensor:
        """Return ``a [M, K] @ w [O, K].T`` through the table, float32 [M, O]."""
        options = self._options
        y: Tensor = approx_linear(
            *(a.x_hat, w.x_hat, a.codes, w.codes, self._products),
            *(a.params.scale, a.params.zero, w.params.scale, self._formats[1].weight_zero),
            [operand.signed for operand in self._formats],
            *(options.engine, options.gradient, options.accumulator),
        )
        return y

    def _conv2d(
        self,
        a: Quantized,
        w: Quantized,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Tensor:
        """Return the convolution of a [B, C, H, W] with w [O, C/groups, kh, kw], float32.

        Padding is (top, bottom, left, right).
        """
        options = self._options
        y: Tensor = approx_conv2d(
            *(a.x_hat, w.x_hat, a.codes, w.codes, self._products),
            *(a.params.scale, a.params.zero, w.params.scale, self._formats[1].weight_zero),
            [operand.signed for operand in self._formats],
            *(list(stride), list(padding), list(dilation), groups),
            *(options.engine, options.gradient, options.accumulator),
        )
        return y


def needs_gradient(x: Tensor) -> bool:
    """Say whether a gradient is to flow to a tensor."""
    return torch.is_grad_enabled() and x.requires_grad


def reborn(layer: nn.Module, kind: type[M]) -> M:
    """Return a module of another class with the layer's parameters, hooks and flags.

    The registries of parameters, buffers and submodules are copied, as the new module gains or
    loses some; hook registries are shared, so that handles to them go on working.
    """
    new = kind.__new__(kind)
    state = dict(layer.__dict__)
    for registry in ("_parameters", "_buffers", "_modules"):
        state[registry] = state[registry].copy()
    for name in TableLayer.__annotations__:
        state.pop(name, None)
    for name, child in layer._modules.items():
        if isinstance(child, ActivationQuantizer | WeightQuantizer):
            state["_modules"].pop(name)
    new.__dict__.update(state)
    return new
