"""Drop-in layers whose every product goes through a table.

All quantize input and weight, look up and add in integers, rescale to float32 and add the bias
in float. The result has the weight's dtype; the computation is float32 whatever the input's or
weight's dtype, under autocast too. The table is not part of the state_dict (its identity is, in
checkpoints: see `rtlgrad.nn.table_ids`); `set_table` swaps it, and a compiled model then runs on
without recompiling as long as the operands keep their widths and signedness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn import functional

from .options import LayerOptions, split_options
from .table_layer import TableLayer, needs_gradient, reborn

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .activation import ActivationQuantizer
    from .learned import WeightQuantizer
    from .options import OptionArguments
    from .quantize import Quantized


class WeightedLayer(TableLayer):
    """A layer of one input and one weight tensor whose first axis is the output channel."""

    weight: Tensor
    activation: ActivationQuantizer
    weight_quantizer: WeightQuantizer

    def _add_quantizers(self) -> None:
        self.activation = self._new_activation(self.weight.device)
        self.weight_quantizer = self._new_weights(self.weight, len(self.weight))

    def _operands(self, x: Tensor) -> tuple[Quantized, Quantized]:
        """Quantize input (float32) and weight."""
        exact = self.weight.float()
        weight: Quantized = self.weight_quantizer(
            exact, self._formats[1], codes_only=not needs_gradient(exact)
        )
        return self._quantize(self.activation, x), weight

    def _observe(self, x: Tensor) -> None:
        self.activation.observe(x.detach().float())


class ApproxConv2d(WeightedLayer, nn.Conv2d):
    """`torch.nn.Conv2d` with every product taken from a table.

    Activations are operand a (row of the table), weights operand b (column). Taps outside the
    image hold the code of 0.0 and are looked up like all others. Padding modes other than
    "zeros" pad the input before it is quantized.

    Args:
        *args: as torch.nn.Conv2d.
        table: the multiplier.
        **kwargs: as torch.nn.Conv2d, and the attributes of `LayerOptions`.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an option that makes no sense.
        UnknownNameError: no such engine, calibration method, gradient or quantizer.
    """

    def __init__(self, *args: Any, table: ProductTable, **kwargs: Any) -> None:
        options, others = split_options(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(
        cls, layer: nn.Conv2d, table: ProductTable, **options: Unpack[OptionArguments]
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, LayerOptions(**options))
        return new

    def to_exact(self) -> nn.Conv2d:
        """Return a torch.nn.Conv2d that shares this layer's parameters and hooks."""
        return reborn(self, nn.Conv2d)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, H, W] or [C, H, W], any float dtype."""
        if self.is_observing:
            self._observe(input)
            return nn.Conv2d.forward(self, input)
        x = (input if input.ndim == 4 else input.unsqueeze(0)).float()
        left, right, top, bottom = self._reversed_padding_repeated_twice
        padding = [top, bottom, left, right]
        if self.padding_mode != "zeros":
            x = functional.pad(x, (left, right, top, bottom), mode=self.padding_mode)
            padding = [0, 0, 0, 0]
        y = self._conv2d(*self._operands(x), self.stride, padding, self.dilation, self.groups)
        y = _biased(y, self.bias)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 4 else y.squeeze(0)


class ApproxLinear(WeightedLayer, nn.Linear):
    """`torch.nn.Linear` with every product taken from a table.

    Activations are operand a (row of the table), weights operand b (column), as in
    `ApproxConv2d`.

    Args:
        *args: as torch.nn.Linear.
        table: the multiplier.
        **kwargs: as torch.nn.Linear, and the attributes of `LayerOptions`.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an option that makes no sense.
        UnknownNameError: no such engine, calibration method, gradient or quantizer.
    """

    def __init__(self, *args: Any, table: ProductTable, **kwargs: Any) -> None:
        options, others = split_options(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(
        cls, layer: nn.Linear, table: ProductTable, **options: Unpack[OptionArguments]
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, LayerOptions(**options))
        return new

    def to_exact(self) -> nn.Linear:
        """Return a torch.nn.Linear that shares this layer's parameters and hooks."""
        return reborn(self, nn.Linear)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Map ``input`` [..., in_features] to [..., out_features], any float dtype."""
        if self.is_observing:
            self._observe(input)
            return nn.Linear.forward(self, input)
        y = self._linear(*self._operands(input.reshape(-1, self.in_features).float()))
        y = _biased(y, self.bias)
        return y.to(self.weight.dtype).view(*input.shape[:-1], self.out_features)


def _biased(y: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias [O] to outputs [B, O, ...]."""
    if bias is None:
        return y
    added = bias.float().view(-1, *[1] * (y.ndim - 2))
    # In place, no fresh memory is touched; autograd wants what an op returned unchanged.
    return y + added if torch.is_grad_enabled() else y.add_(added)
