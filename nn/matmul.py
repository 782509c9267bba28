"""Products of two inputs, and of an input and a weight kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .activation import ActivationQuantizer, RightQuantizer
from .convolutions import check_matmul, matmul, with_bias
from .options import LayerOptions
from .table_layer import TableLayer

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .learned import WeightQuantizer
    from .options import OptionArguments
    from .quantize import Quantized


class ApproxMatmul(TableLayer):
    """`torch.matmul` of two inputs with every product taken from a table.

    The left input is operand a (quantized as activations are), the right one operand b (mapped as
    weights are, with one scale per tensor and a range kept like that of an activation).

    Args:
        table: the multiplier.
        device: where the ranges are kept.
        **options: the attributes of `LayerOptions`.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an option that makes no sense.
    """

    activation: ActivationQuantizer
    right: RightQuantizer

    def __init__(
        self,
        table: ProductTable,
        *,
        device: torch.device | str | None = None,
        **options: Unpack[OptionArguments],
    ) -> None:
        super().__init__()
        self._device = device
        self._equip(table, LayerOptions(**options))

    def _add_quantizers(self) -> None:
        options = self._options
        learned = options.quantizer == "lsq"
        self.activation = ActivationQuantizer(options.momentum, self._device, learned=learned)
        self.right = RightQuantizer(options.momentum, self._device, learned=learned)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``left [..., M, K] @ right [..., K, N]``; leading axes are broadcast.

        Raises:
            ConfigError: an input has fewer than two axes, or K differs.
        """
        check_matmul(left, right)
        if self.is_observing:
            self.activation.observe(left.detach().float())
            self.right.observe(right.detach().float())
            return torch.matmul(left, right)
        a = self._quantize(self.activation, left.float())
        b = self._quantize(self.right, right.float(), self._formats[1])
        product = matmul(self, a, b, (left.shape, right.shape))
        return product.to(torch.promote_types(left.dtype, right.dtype))


class ApproxProjection(TableLayer):
    """`torch.nn.functional.linear` with every product taken from a table.

    For modules that keep several weights of their own. The input is operand a, the weight
    operand b.

    Args:
        table: the multiplier.
        like: the weight, or one of the same number of rows on the same device.
        **options: the attributes of `LayerOptions`.
    """

    activation: ActivationQuantizer
    weight_quantizer: WeightQuantizer

    def __init__(
        self, table: ProductTable, like: Tensor, **options: Unpack[OptionArguments]
    ) -> None:
        super().__init__()
        self._like: Any = like
        self._equip(table, LayerOptions(**options))
        del self._like

    def _add_quantizers(self) -> None:
        self.activation = self._new_activation(self._like.device)
        self.weight_quantizer = self._new_weights(self._like, len(self._like))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map ``x`` [..., K] by ``weight`` [O, K] to [..., O], in the weight's dtype."""
        if self.is_observing:
            self.activation.observe(x.detach().float())
            return functional.linear(x, weight, bias)
        a = self._quantize(self.activation, x.reshape(-1, x.shape[-1]).float())
        w: Quantized = self.weight_quantizer(weight.float(), self._formats[1])
        y = with_bias(self._linear(a, w), bias)
        return y.to(weight.dtype).view(*x.shape[:-1], len(weight))
