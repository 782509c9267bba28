"""Layers whose every product is asked of the RTL itself, for designs too wide for a table.

They quantize as the layers with a table do (docs/conventions.md), at the design's width of up to 16
bits, and sum in int64. They are for inference: there is no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.names import unknown_name
from .activation import ActivationQuantizer
from .gradients.columns import Windows
from .live_sums import IntegerOperands
from .multiplying import reborn
from .op_arguments import Geometry
from .quantize import OperandFormat, activation_params, weight_params
from .quantize_ops import refuse_bad_scale, refuse_nan
from .range_finding import run_on_batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from .live_sums import OuterProducts
    from .quantize import AffineParams

M = TypeVar("M", bound=nn.Module)
MAX_LIVE_BITS = 16
"""Wider codes are no longer exact in the float32 arithmetic of quantization."""


@dataclass(frozen=True, slots=True)
class WideOperand(OperandFormat):
    """An operand of up to 16 bits: what an `OperandFormat` is, without engines to suit.

    Raises:
        ConfigError: a width outside 2 to 16.
    """

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_LIVE_BITS:
            raise ConfigError(
                "an operand of unsupported width",
                got=f"{self.bits} bits",
                expected=f"2 to {MAX_LIVE_BITS} bits",
                remedy="choose a design of such operands",
            )

    @property
    def code_dtype(self) -> torch.dtype:
        """The type codes are kept in."""
        return torch.int64


class LiveLayer(nn.Module):
    """A layer whose products come from a running simulation, which it does not own."""

    activation: ActivationQuantizer
    _source: OuterProducts
    _formats: tuple[OperandFormat, OperandFormat]

    def _equip(
        self, source: OuterProducts, formats: tuple[OperandFormat, OperandFormat], device: Any
    ) -> None:
        self._source = source
        self._formats = formats
        self.activation = ActivationQuantizer(device=device)

    def _result(
        self,
        x: Tensor,
        weight: Tensor,
        geometry: Geometry,
    ) -> Tensor:
        """Return the convolution of x [B, C, H, W] with weight, float32, without bias."""
        a, b = self._formats
        if not self.activation.is_calibrated:
            raise ConfigError(
                f"the activation range of this {type(self).__name__} is unknown",
                remedy="show it some images: rtlgrad.nn.live_layers.find_ranges(model, batches)",
            )
        params = activation_params(self.activation.low, self.activation.high, a)
        scales = weight_params(weight.detach().float(), b)
        groups = geometry.groups
        per_output = scales._replace(scale=scales.scale.view(-1, 1, 1, 1))
        windows = Windows((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]), *geometry)
        codes = _codes(x, params, a.activation_limits, a)
        kernels = _codes(weight.detach().float(), per_output, b.weight_limits, b)
        operands = IntegerOperands(
            columns=windows.columns(codes, int(params.zero)).numpy(),
            kernels=kernels.reshape(groups, len(weight) // groups, -1).numpy(),
            a=a,
            b=b,
            x_zero=int(params.zero),
            w_zero=b.weight_zero,
            factors=(params.scale * scales.scale).cpu().numpy().reshape(groups, -1),
        )
        made = torch.from_numpy(operands.rescaled(operands.sums(self._source)))
        by_image = made.view(groups, len(x), windows.output[0] * windows.output[1], -1)
        return by_image.permute(1, 0, 3, 2).reshape(len(x), len(weight), *windows.output)


class LiveConv2d(LiveLayer, nn.Conv2d):
    """`torch.nn.Conv2d` with every product from the RTL; see `ApproxConv2d` for the operands."""

    @classmethod
    def from_exact(
        cls,
        layer: nn.Conv2d,
        source: OuterProducts,
        formats: tuple[OperandFormat, OperandFormat],
    ) -> Self:
        """Return a layer that shares the parameters of an exact one."""
        new = reborn(layer, cls)
        new._equip(source, formats, layer.weight.device)
        return new

    @torch.no_grad()
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, H, W] or [C, H, W], any float dtype."""
        if self.activation.is_observing:
            self.activation.observe(input.float())
            return nn.Conv2d.forward(self, input)
        x = (input if input.ndim == 4 else input.unsqueeze(0)).float()
        left, right, top, bottom = self._reversed_padding_repeated_twice
        padding = (top, bottom, left, right)
        if self.padding_mode != "zeros":
            x = functional.pad(x, (left, right, top, bottom), mode=self.padding_mode)
            padding = (0, 0, 0, 0)
        y = self._result(x, self.weight, Geometry(self.stride, padding, self.dilation, self.groups))
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 4 else y.squeeze(0)


class LiveLinear(LiveLayer, nn.Linear):
    """`torch.nn.Linear` with every product from the RTL; see `ApproxLinear` for the operands."""

    @classmethod
    def from_exact(
        cls,
        layer: nn.Linear,
        source: OuterProducts,
        formats: tuple[OperandFormat, OperandFormat],
    ) -> Self:
        """Return a layer that shares the parameters of an exact one."""
        new = reborn(layer, cls)
        new._equip(source, formats, layer.weight.device)
        return new

    @torch.no_grad()
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Map ``input`` [..., in_features] to [..., out_features], any float dtype."""
        if self.activation.is_observing:
            self.activation.observe(input.float())
            return nn.Linear.forward(self, input)
        x = input.reshape(-1, self.in_features, 1, 1).float()
        y = self._result(x, self.weight[:, :, None, None], Geometry()).flatten(1)
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(self.weight.dtype).view(*input.shape[:-1], self.out_features)


_LIVE_OF: dict[type[nn.Module], Any] = {nn.Conv2d: LiveConv2d, nn.Linear: LiveLinear}


def make_live(
    model: nn.Module,
    source: OuterProducts,
    formats: tuple[OperandFormat, OperandFormat],
    pattern: str = "*",
) -> tuple[str, ...]:
    """Let the Conv2d and Linear layers of a model take their products from the RTL, in place.

    Args:
        model: in fp32; not itself such a layer.
        source: multiplies codes.
        formats: of activations and weights.
        pattern: name pattern (fnmatch) of the layers.

    Returns:
        The layers' names; all other layers stay exact.

    Raises:
        UnknownNameError: no such layer matches the pattern.
    """
    found = [(name, child) for name, child in model.named_modules() if type(child) in _LIVE_OF]
    chosen = [(name, child) for name, child in found if name and fnmatchcase(name, pattern)]
    if not chosen:
        names = [name for name, _ in found]
        raise unknown_name(pattern, names, kind="layer (no Conv2d or Linear matches this pattern)")
    for name, child in chosen:
        holder, _, own = name.rpartition(".")
        new = _LIVE_OF[type(child)].from_exact(child, source, formats)
        setattr(model.get_submodule(holder), own, new)
    return tuple(name for name, _ in chosen)


def find_ranges(model: nn.Module, batches: Iterable[Any], method: str = "minmax") -> None:
    """Find the activation range of every live layer; they compute exactly meanwhile.

    Args:
        model: from `make_live`.
        batches: as for `rtlgrad.nn.calibrate`.
        method: a calibration method's name.

    Raises:
        ConfigError: there is no batch.
        UnknownNameError: no such method.
    """
    layers = [module for module in model.modules() if isinstance(module, LiveLayer)]
    for layer in layers:
        layer.activation.start_calibration(method, layer._formats[0])
    try:
        run_on_batches(model, batches)
    finally:
        for layer in layers:
            layer.activation.finish_calibration()


class DistinctProducts:
    """Products of codes by a function of pairs, asked once for each distinct pair of a request.

    Args:
        multiply: int64 codes [N] and [N] to int64 products [N].

    Attributes:
        products: how many were asked for, repetitions included.
        asked: how many the function was called for.
    """

    def __init__(self, multiply: Any) -> None:
        self._multiply = multiply
        self.products = 0
        self.asked = 0

    def outer(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the products of codes [P] and [O]: int64 [P, O]."""
        rows, row = np.unique(a, return_inverse=True)
        columns, column = np.unique(b, return_inverse=True)
        self.products += len(a) * len(b)
        self.asked += len(rows) * len(columns)
        made = self._multiply(np.repeat(rows, len(columns)), np.tile(columns, len(rows)))
        answers: NDArray[np.int64] = made.reshape(len(rows), len(columns))
        return answers[row][:, column]


def _codes(
    x: Tensor, params: AffineParams, limits: tuple[int, int], operand: OperandFormat
) -> Tensor:
    """Quantize by the formula of `rtlgrad.nn.quantize`; codes as int64."""
    refuse_bad_scale(params.scale)
    if bool(x.isnan().any()):
        refuse_nan(x)
    values = torch.div(x, params.scale).round_().add_(params.zero).clamp_(*limits)
    codes: Tensor = values.to(torch.int64).bitwise_and_((1 << operand.bits) - 1).cpu()
    return codes
