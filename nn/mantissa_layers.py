"""Layers whose products are those of a floating-point multiplier, in all of training.

Every product of the forward pass, of the input's gradient and of the weight's gradient goes
through the mantissa table (J. Gong et al., ApproxTrain, IEEE TCAD 2023); each of the three can be
exact instead, torch's own in float32. What a product and a sum are stands in
`rtlgrad.nn.engines.mantissa_types`; which operand is the row of the table, in
`rtlgrad.nn.mantissa_ops`; which products a layer has, in `rtlgrad.nn.convolutions`. Nothing is
quantized and nothing is calibrated.

Inputs and weights are float32 or bfloat16. The latter is a part of the former, so it is only
widened; sums and bias are float32, and the result is rounded to the weight's type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import nn

from ..core.errors import ConfigError
from .convolutions import (
    check_matmul,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose2d,
    linear,
    matmul,
    transposed_by_output,
    with_bias,
)
from .mantissa_ops import mantissa_conv2d, mantissa_linear
from .mantissa_options import MantissaOptions, parse_products
from .mantissa_tables import LoadedMantissas, load_mantissas
from .multiplying import DropIn, E, MultiplyingLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from ..lutgen.mantissa import MantissaTable
    from .op_arguments import Geometry


class Numbers(NamedTuple):
    """An operand that is nothing but float32 numbers."""

    values: Tensor

    def reshaped(
        self,
        change: Callable[[Tensor], Tensor],
        scales: Callable[[Tensor], Tensor] | None = None,
    ) -> Numbers:
        """Return it rearranged; there are no scales."""
        del scales
        return Numbers(change(self.values))


class MantissaLayer(MultiplyingLayer):
    """A layer whose products go through a mantissa table.

    Its state is that of the exact layer: the table is no part of it.
    """

    options_kind: ClassVar[Any] = MantissaOptions

    _loaded: LoadedMantissas
    _options: MantissaOptions

    def _load(self, table: MantissaTable) -> LoadedMantissas:
        return load_mantissas(table)

    def _hold(self, loaded: LoadedMantissas) -> None:
        self._loaded = loaded
        self._products = loaded.new_codes()

    @property
    def table(self) -> MantissaTable:
        """The table that products are taken from."""
        return self._loaded.table

    @property
    def options(self) -> MantissaOptions:
        """How the layer computes."""
        return self._options

    def set_table(self, table: MantissaTable) -> None:
        """Take products from another table from now on, whatever its mantissas' width."""
        self._hold(load_mantissas(table))

    def _linear(self, x: Numbers, w: Numbers) -> Tensor:
        """Return ``x [M, K] @ w [O, K].T`` through the table, float32 [M, O]."""
        options = self._options
        products = list(parse_products(options.approximate))
        y: Tensor = mantissa_linear(x.values, w.values, self._products, products, options.engine)
        return y

    def _conv2d(self, x: Numbers, w: Numbers, geometry: Geometry) -> Tensor:
        """Return the convolution of x [B, C, H, W] with w [O, C/groups, kh, kw], float32."""
        options = self._options
        products = list(parse_products(options.approximate))
        y: Tensor = mantissa_conv2d(
            *(x.values, w.values, self._products, products, *geometry, options.engine)
        )
        return y


class MantissaWeightedLayer(MantissaLayer, DropIn[E]):
    """A layer of torch with one input and one weight tensor, through a mantissa table.

    Args:
        *args: as the layer of torch.
        table: the multiplier.
        **kwargs: as the layer of torch, and the attributes of `MantissaOptions`.

    Raises:
        UnknownNameError: no such engine or product.
    """

    weight: Tensor

    def _by_output(self) -> Tensor:
        """Return the weight [O, ...]."""
        return self.weight

    def _input(self, x: Tensor) -> Tensor:
        """Return an input in float32.

        Raises:
            ConfigError: it is neither float32 nor bfloat16.
        """
        return _widened(x, "input")

    def _operands(self, x: Tensor) -> tuple[Numbers, Numbers]:
        return Numbers(x), Numbers(_widened(self._by_output(), "weight"))


class MantissaConv1d(MantissaWeightedLayer[nn.Conv1d], nn.Conv1d):
    """`torch.nn.Conv1d` with every product taken from a mantissa table; see `MantissaConv2d`."""

    _exact = nn.Conv1d

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, L] or [C, L], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        return conv1d(self, input)


class MantissaConv2d(MantissaWeightedLayer[nn.Conv2d], nn.Conv2d):
    """`torch.nn.Conv2d` with every product taken from a mantissa table.

    Taps outside the image are products of +0.0. Padding modes other than "zeros" pad the input.
    """

    _exact = nn.Conv2d

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, H, W] or [C, H, W], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        return conv2d(self, input)


class MantissaConv3d(MantissaWeightedLayer[nn.Conv3d], nn.Conv3d):
    """`torch.nn.Conv3d` with every product taken from a mantissa table; see `MantissaConv2d`."""

    _exact = nn.Conv3d

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, D, H, W] or [C, D, H, W], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        return conv3d(self, input)


class MantissaConvTranspose2d(MantissaWeightedLayer[nn.ConvTranspose2d], nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with every product taken from a mantissa table.

    Only products of an input value and a weight are computed; outputs that no input reaches are
    the bias. In backward, the gradients of an output's taps are the gradient of that output.
    """

    _exact = nn.ConvTranspose2d

    def _by_output(self) -> Tensor:
        return transposed_by_output(self)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """Convolve ``input`` [B, C, H, W] or [C, H, W], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        return conv_transpose2d(self, input, output_size)


class MantissaLinear(MantissaWeightedLayer[nn.Linear], nn.Linear):
    """`torch.nn.Linear` with every product taken from a mantissa table."""

    _exact = nn.Linear

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Map ``input`` [..., in_features] to [..., out_features], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        return linear(self, input)


class MantissaMatmul(MantissaLayer):
    """`torch.matmul` of two inputs with every product taken from a mantissa table.

    The left input is in the activation's role (row of the table), the right one in the weight's.

    Args:
        table: the multiplier.
        **options: the attributes of `MantissaOptions`; "input-grad" is the gradient of the left
            input, "weight-grad" that of the right one.

    Raises:
        UnknownNameError: no such engine or product.
    """

    def __init__(self, table: MantissaTable, **options: str) -> None:
        super().__init__()
        self._equip(table, MantissaOptions(**options))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return ``left [..., M, K] @ right [..., K, N]``; leading axes are broadcast.

        Raises:
            ConfigError: an input has fewer than two axes or another type than float32 and
                bfloat16, or K differs.
        """
        check_matmul(left, right)
        operands = Numbers(_widened(left, "left input")), Numbers(_widened(right, "right input"))
        product = matmul(self, *operands, (left.shape, right.shape))
        return product.to(torch.promote_types(left.dtype, right.dtype))


class MantissaProjection(MantissaLayer):
    """`torch.nn.functional.linear` with every product taken from a mantissa table.

    For modules that keep several weights of their own.

    Args:
        table: the multiplier.
        **options: the attributes of `MantissaOptions`.

    Raises:
        UnknownNameError: no such engine or product.
    """

    def __init__(self, table: MantissaTable, **options: str) -> None:
        super().__init__()
        self._equip(table, MantissaOptions(**options))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map ``x`` [..., K] by ``weight`` [O, K] to [..., O], in the weight's dtype.

        Raises:
            ConfigError: input or weight is neither float32 nor bfloat16.
        """
        rows = Numbers(_widened(x, "input").reshape(-1, x.shape[-1]))
        y = with_bias(self._linear(rows, Numbers(_widened(weight, "weight"))), bias)
        return y.to(weight.dtype).view(*x.shape[:-1], len(weight))


MANTISSA_OF: Mapping[type[nn.Module], Any] = {
    nn.Conv1d: MantissaConv1d,
    nn.Conv2d: MantissaConv2d,
    nn.Conv3d: MantissaConv3d,
    nn.ConvTranspose2d: MantissaConvTranspose2d,
    nn.Linear: MantissaLinear,
}
"""The layer with a mantissa table of each exact type that has one of its own."""


def _widened(x: Tensor, what: str) -> Tensor:
    if x.dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(
            f"the {what} of a layer with a mantissa table has the wrong type",
            got=x.dtype,
            expected="float32 or bfloat16",
        )
    return x.float()
