"""Layers whose products are those of a floating-point multiplier, in all of training.

Every product of the forward pass, of the input's gradient and of the weight's gradient goes
through the mantissa table (J. Gong et al., ApproxTrain, IEEE TCAD 2023); each of the three can be
exact instead, torch's own in float32. What a product and a sum are stands in
`rtlgrad.nn.engines.mantissa_types`; which operand is the row of the table, in
`rtlgrad.nn.mantissa_ops`. Nothing is quantized and nothing is calibrated.

Inputs and weights are float32 or bfloat16. The latter is a part of the former, so it is only
widened; sums and bias are float32, and the result is rounded to the weight's type.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.names import pick
from .engines import check_engine_name
from .mantissa_ops import mantissa_conv2d, mantissa_linear
from .mantissa_tables import LoadedMantissas, load_mantissas
from .table_layer import reborn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ..lutgen.mantissa import MantissaTable

PRODUCTS: Mapping[str, str] = {
    "forward": "input times weight",
    "input-grad": "the output's gradient times weight, for the gradient of the input",
    "weight-grad": "input times the output's gradient, for the gradient of the weight",
}
"""The three matrix products of training, by name."""
EVERY_PRODUCT = ",".join(PRODUCTS)


def parse_products(text: str) -> tuple[bool, bool, bool]:
    """Read which products are approximate: names of `PRODUCTS`, with commas between.

    Returns:
        Whether (forward, input's gradient, weight's gradient) is.

    Raises:
        UnknownNameError: a name is none of these.
        ConfigError: a name is there twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        pick(PRODUCTS, name, kind="product of training")
    if len(set(names)) != len(names):
        raise ConfigError("products to approximate", got=repr(text), expected="each name once")
    return "forward" in names, "input-grad" in names, "weight-grad" in names


@dataclass(frozen=True, slots=True)
class MantissaOptions:
    """How a layer with a mantissa table computes.

    Attributes:
        engine: an engine's name, or "auto" for the fastest.
        approximate: which products go through the table: names of `PRODUCTS`, with commas between.

    Raises:
        UnknownNameError: no such engine or product.
        ConfigError: a product is named twice.
    """

    engine: str = "auto"
    approximate: str = EVERY_PRODUCT

    def __post_init__(self) -> None:
        check_engine_name(self.engine)
        parse_products(self.approximate)


class MantissaLayer(nn.Module):
    """A layer whose products go through a mantissa table.

    Its state is that of the exact layer: the table is no part of it.
    """

    # The names of `TableLayer`, so that `reborn` leaves all of them behind.
    _loaded: LoadedMantissas
    _products: Tensor
    _options: MantissaOptions

    def _equip(self, table: MantissaTable, options: MantissaOptions) -> None:
        self._options = options
        self._hold(load_mantissas(table))

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

    @property
    def engine(self) -> str:
        """The engine's name as asked for, "auto" included."""
        return self._options.engine

    def set_table(self, table: MantissaTable) -> None:
        """Take products from another table from now on, whatever its mantissas' width."""
        self._hold(load_mantissas(table))

    def set_options(self, **changes: Any) -> None:
        """Compute otherwise from now on.

        Raises:
            UnknownNameError, ConfigError: an option that makes no sense (see `MantissaOptions`).
        """
        self._options = replace(self._options, **changes)

    def set_engine(self, engine: str) -> None:
        """Compute on another engine from now on.

        Raises:
            UnknownNameError: no engine has this name.
        """
        self.set_options(engine=engine)

    def extra_repr(self) -> str:
        """Return torch's description, then the table and the options that are not the default."""
        parts = [super().extra_repr(), f"table={self.table!r}", f"engine={self.engine!r}"]
        if self._options.approximate != EVERY_PRODUCT:
            parts.append(f"approximate={self._options.approximate!r}")
        return ", ".join(part for part in parts if part)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "_products"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._hold(self._loaded)

    def _linear(self, x: Tensor, w: Tensor) -> Tensor:
        """Return ``x [M, K] @ w [O, K].T`` through the table, float32 [M, O]."""
        options = self._options
        products = list(parse_products(options.approximate))
        y: Tensor = mantissa_linear(x, w, self._products, products, options.engine)
        return y

    def _conv2d(
        self,
        x: Tensor,
        w: Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Tensor:
        """Return the convolution of x [B, C, H, W] with w [O, C/groups, kh, kw], float32.

        Padding is (top, bottom, left, right).
        """
        options = self._options
        y: Tensor = mantissa_conv2d(
            *(x, w, self._products, list(parse_products(options.approximate))),
            *(list(stride), list(padding), list(dilation), groups, options.engine),
        )
        return y


class MantissaConv2d(MantissaLayer, nn.Conv2d):
    """`torch.nn.Conv2d` with every product taken from a mantissa table.

    Taps outside the image are products of +0.0. Padding modes other than "zeros" pad the input.

    Args:
        *args: as torch.nn.Conv2d.
        table: the multiplier.
        **kwargs: as torch.nn.Conv2d, and the attributes of `MantissaOptions`.

    Raises:
        UnknownNameError: no such engine or product.
    """

    def __init__(self, *args: Any, table: MantissaTable, **kwargs: Any) -> None:
        options, others = _split(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(cls, layer: nn.Conv2d, table: MantissaTable, **options: str) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, MantissaOptions(**options))
        return new

    def to_exact(self) -> nn.Conv2d:
        """Return a torch.nn.Conv2d that shares this layer's parameters and hooks."""
        return reborn(self, nn.Conv2d)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, H, W] or [C, H, W], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        x = _widened(input, "input")
        x = x if input.ndim == 4 else x.unsqueeze(0)
        left, right, top, bottom = self._reversed_padding_repeated_twice
        padding = [top, bottom, left, right]
        if self.padding_mode != "zeros":
            x = functional.pad(x, (left, right, top, bottom), mode=self.padding_mode)
            padding = [0, 0, 0, 0]
        w = _widened(self.weight, "weight")
        y = self._conv2d(x, w, self.stride, padding, self.dilation, self.groups)
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 4 else y.squeeze(0)


class MantissaLinear(MantissaLayer, nn.Linear):
    """`torch.nn.Linear` with every product taken from a mantissa table.

    Args:
        *args: as torch.nn.Linear.
        table: the multiplier.
        **kwargs: as torch.nn.Linear, and the attributes of `MantissaOptions`.

    Raises:
        UnknownNameError: no such engine or product.
    """

    def __init__(self, *args: Any, table: MantissaTable, **kwargs: Any) -> None:
        options, others = _split(kwargs)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(cls, layer: nn.Linear, table: MantissaTable, **options: str) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, MantissaOptions(**options))
        return new

    def to_exact(self) -> nn.Linear:
        """Return a torch.nn.Linear that shares this layer's parameters and hooks."""
        return reborn(self, nn.Linear)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Map ``input`` [..., in_features] to [..., out_features], float32 or bfloat16.

        Raises:
            ConfigError: input or weight is of another type.
        """
        x = _widened(input, "input").reshape(-1, self.in_features)
        y = self._linear(x, _widened(self.weight, "weight"))
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(self.weight.dtype).view(*input.shape[:-1], self.out_features)


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
        if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
            raise ConfigError(
                "inputs of a matrix product do not fit each other",
                got=f"{tuple(left.shape)} and {tuple(right.shape)}",
                expected="[..., M, K] and [..., K, N]",
            )
        # torch.broadcast_shapes has no types.
        leading: torch.Size = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
            left.shape[:-2], right.shape[:-2]
        )
        (M, K), N = left.shape[-2:], right.shape[-1]
        count = leading.numel()
        # Each pair of matrices is a group of channels of one image, K channels of M pixels.
        image = _widened(left, "left input").expand(*leading, M, K).transpose(-2, -1)
        kernel = _widened(right, "right input").expand(*leading, K, N).transpose(-2, -1)
        y = self._conv2d(
            image.reshape(1, count * K, M, 1),
            kernel.reshape(count * N, K, 1, 1),
            *((1, 1), (0, 0, 0, 0), (1, 1)),
            count,
        )
        product = y.view(*leading, N, M).transpose(-2, -1)
        return product.to(torch.promote_types(left.dtype, right.dtype))


MANTISSA_OF: Mapping[type[nn.Module], Any] = {nn.Conv2d: MantissaConv2d, nn.Linear: MantissaLinear}
"""The layer with a mantissa table of each exact type that has one."""


def _split(arguments: Mapping[str, Any]) -> tuple[MantissaOptions, dict[str, Any]]:
    names = {field.name for field in fields(MantissaOptions)}
    mine = {name: value for name, value in arguments.items() if name in names}
    others = {name: value for name, value in arguments.items() if name not in names}
    return MantissaOptions(**mine), others


def _widened(x: Tensor, what: str) -> Tensor:
    if x.dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(
            f"the {what} of a layer with a mantissa table has the wrong type",
            got=x.dtype,
            expected="float32 or bfloat16",
        )
    return x.float()
