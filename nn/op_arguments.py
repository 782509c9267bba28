"""What the torch ops of layers have in common: operands, geometry and choices, said once.

An op's arguments are listed one by one in its schema, because torch has no structures there. These
tuples are what such a list is made of, in its order: ``approx_conv2d(x_hat, w_hat, *operands,
*geometry, *choices)``. torch leaves trailing arguments out that equal their defaults, so what an op
is given is read by `take`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .engines import Conv2dGeometry
from .quantize import OperandFormat

if TYPE_CHECKING:
    from collections.abc import Sequence


class Operands(NamedTuple):
    """The quantized operands of a product through a table of integer products.

    Attributes:
        x_codes: activation codes, uint8 or int16 [B, C, H, W], or [M, K] of a matrix product.
        w_codes: weight codes, uint8 or int16 [O, C/groups, kh, kw], or [O, K].
        table: int32 [2^wa, 2^wb].
        x_scale: float32 [].
        x_zero: int32 [], the zero point as a value.
        w_scale: float32 [O].
        w_zero: the weights' zero point as a value.
        signed: whether the codes of (activation, weight) are two's complement.
    """

    x_codes: Tensor
    w_codes: Tensor
    table: Tensor
    x_scale: Tensor
    x_zero: Tensor
    w_scale: Tensor
    w_zero: int
    signed: Sequence[bool]

    @property
    def formats(self) -> tuple[OperandFormat, OperandFormat]:
        """The formats of activation and weight."""
        rows, columns = self.table.shape
        return (
            OperandFormat(int(rows).bit_length() - 1, self.signed[0]),
            OperandFormat(int(columns).bit_length() - 1, self.signed[1]),
        )


class Geometry(NamedTuple):
    """The geometry of a convolution.

    Attributes:
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
    """

    stride: Sequence[int] = (1, 1)
    padding: Sequence[int] = (0, 0, 0, 0)
    dilation: Sequence[int] = (1, 1)
    groups: int = 1

    def for_engine(self, pad_code: int = 0) -> Conv2dGeometry:
        """Return it as engines take it, with the code of padded taps."""
        top, bottom, left, right = self.padding
        return Conv2dGeometry(
            stride=(self.stride[0], self.stride[1]),
            padding=(top, bottom, left, right),
            dilation=(self.dilation[0], self.dilation[1]),
            groups=self.groups,
            pad_code=pad_code,
        )

    def output_shape(self, x: Tensor, w: Tensor) -> tuple[int, int, int, int]:
        """Return the shape [B, O, H', W'] of a convolution's output; sizes may be symbolic."""
        top, bottom, left, right = self.padding
        height, width = x.shape[2] + top + bottom, x.shape[3] + left + right
        return (
            x.shape[0],
            w.shape[0],
            (height - self.dilation[0] * (w.shape[2] - 1) - 1) // self.stride[0] + 1,
            (width - self.dilation[1] * (w.shape[3] - 1) - 1) // self.stride[1] + 1,
        )


class Choices(NamedTuple):
    """How a product through a table of integer products is computed and learns.

    Attributes:
        engine: an engine's name, or "auto".
        gradient: how backward estimates the products' gradients; see `rtlgrad.nn.gradients`.
        accumulator: what keeps the sums of products; see `rtlgrad.nn.accumulators`.
    """

    engine: str = "auto"
    gradient: str = "ste"
    accumulator: str = "int32"


OPERANDS = (
    "Tensor x_codes, Tensor w_codes, Tensor table, Tensor x_scale, Tensor x_zero, Tensor w_scale, "
    "SymInt w_zero, bool[] signed"
)
GEOMETRY = "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups"
CHOICES = 'str engine="auto", str gradient="ste", str accumulator="int32"'
ENGINE = 'str engine="auto"'


def take(arguments: Sequence[Any], *kinds: Any) -> list[Any]:
    """Split an op's arguments into tuples of the given kinds, in order.

    The last kind may be short of arguments that have defaults.
    """
    taken, begin = [], 0
    for kind in kinds:
        end = begin + len(kind._fields)
        taken.append(kind(*arguments[begin:end]))
        begin = end
    return taken


def refuse_second_derivative() -> None:
    """Refuse to record a backward pass: an estimated gradient has no derivative of its own.

    Raises:
        NotImplementedError: gradients are being recorded (create_graph=True).
    """
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "an estimated gradient has no derivative of its own (create_graph=True)"
        )
