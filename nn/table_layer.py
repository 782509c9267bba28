"""Layers with a table of integer products: the table, its options, the quantized products.

All quantize input and weight, look up and add in integers, rescale to float32 and add the bias
in float. The result has the weight's dtype; the computation is float32 whatever the input's or
weight's dtype, under autocast too. The table is not part of the state_dict (its identity is, in
checkpoints: see `rtlgrad.nn.table_ids`); `set_table` swaps it, and a compiled model then runs on
without recompiling as long as the operands keep their widths and signedness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..core.errors import ConfigError
from .activation import ActivationQuantizer
from .learned import WeightQuantizer
from .multiplying import DropIn, E, MultiplyingLayer, needs_gradient
from .op_arguments import Choices, Operands
from .ops import approx_conv2d, approx_linear
from .options import LayerOptions
from .tables import load_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .op_arguments import Geometry
    from .quantize import OperandFormat, Quantized
    from .tables import LoadedTable


class TableLayer(MultiplyingLayer):
    """A layer whose products go through a table of integer products.

    Quantizers are submodules; the first of them is called ``activation`` where there is one input.
    """

    options_kind: ClassVar[Any] = LayerOptions

    _loaded: LoadedTable
    _options: LayerOptions
    _formats: tuple[OperandFormat, OperandFormat]

    def _equip(self, table: ProductTable, options: LayerOptions) -> None:
        super()._equip(table, options)
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
        super().set_options(**changes)

    def _load(self, table: ProductTable) -> LoadedTable:
        return load_table(table)

    def _hold(self, loaded: LoadedTable) -> None:
        self._loaded = loaded
        self._products = loaded.new_products()
        self._formats = loaded.new_formats()

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

    def _given(self, a: Quantized, w: Quantized) -> tuple[Any, ...]:
        operands = Operands(
            x_codes=a.codes,
            w_codes=w.codes,
            table=self._products,
            x_scale=a.params.scale,
            x_zero=a.params.zero,
            w_scale=w.params.scale,
            w_zero=self._formats[1].weight_zero,
            signed=[operand.signed for operand in self._formats],
        )
        return a.x_hat, w.x_hat, *operands

    @property
    def _choices(self) -> Choices:
        options = self._options
        return Choices(options.engine, options.gradient, options.accumulator)

    def _linear(self, a: Quantized, w: Quantized) -> Tensor:
        """Return ``a [M, K] @ w [O, K].T`` through the table, float32 [M, O]."""
        y: Tensor = approx_linear(*self._given(a, w), *self._choices)
        return y

    def _conv2d(self, a: Quantized, w: Quantized, geometry: Geometry) -> Tensor:
        """Return the convolution of a [B, C, H, W] with w [O, C/groups, kh, kw], float32."""
        y: Tensor = approx_conv2d(*self._given(a, w), *geometry, *self._choices)
        return y


class WeightedLayer(TableLayer, DropIn[E]):
    """A layer of torch with one input and one weight tensor, through a table of integer products.

    Activations are operand a (row of the table), weights operand b (column), with one scale per
    output channel.

    Args:
        *args: as the layer of torch.
        table: the multiplier.
        **kwargs: as the layer of torch, and the attributes of `LayerOptions`.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an option that makes no sense.
        UnknownNameError: no such engine, calibration method, gradient or quantizer.
    """

    weight: Tensor
    activation: ActivationQuantizer
    weight_quantizer: WeightQuantizer

    def _add_quantizers(self) -> None:
        self.activation = self._new_activation(self.weight.device)
        self.weight_quantizer = self._new_weights(self.weight, self._outputs)

    @property
    def _outputs(self) -> int:
        """How many output channels the weight has."""
        return len(self.weight)

    def _by_output(self) -> Tensor:
        """Return the weight, float32 [O, ...]."""
        return self.weight.float()

    def _input(self, x: Tensor) -> Tensor:
        """Return an input of any float type as it is quantized, in float32."""
        return x.float()

    def _operands(self, x: Tensor) -> tuple[Quantized, Quantized]:
        """Quantize input (float32) and weight."""
        exact = self._by_output()
        weight: Quantized = self.weight_quantizer(
            exact, self._formats[1], codes_only=not needs_gradient(exact)
        )
        return self._quantize(self.activation, x), weight

    def _compute(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """Compute the layer through the table."""
        raise NotImplementedError

    def forward(self, input: Tensor, *others: Any, **named: Any) -> Tensor:  # noqa: A002
        """Compute the layer, with the arguments of torch's own; the input of any float type.

        Raises:
            ConfigError: the activation range is unknown.
            OverflowRiskError: a sum could leave int32.
        """
        if self.is_observing:
            self.activation.observe(input.detach().float())
            exact: Tensor = self._exact.forward(self, input, *others, **named)
            return exact
        return self._compute(input, *others, **named)
