"""The range of a layer's activations: learnt in training, found by calibration, then frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from ..core.errors import ConfigError
from .calibrate import get_observer
from .learned import quantize_learned
from .quantize import (
    AffineParams,
    OperandFormat,
    Quantized,
    activation_params,
)
from .quantize_ops import fake_quantize, quantize_codes

if TYPE_CHECKING:
    from torch import Tensor

    from .calibrate import RangeObserver


class ActivationQuantizer(nn.Module):
    """Quantizes a layer's input by a range that it keeps.

    In training mode every forward moves the range by an exponential average of the batch's
    minimum and maximum (the first batch sets it), then quantizes with the range so moved. In
    evaluation mode the range stays. Recomputation under activation checkpointing does not move
    the range a second time.

    Where the scale is learnt, the range that calibration or the first batch gives stays, and with
    it the zero point; the scale begins with it and goes its own way (see `rtlgrad.nn.learned`).

    Args:
        momentum: weight of a new batch in the average, 0 < momentum <= 1.
        device: where the range is kept.
        learned: whether the scale is learnt.

    Attributes:
        low: float32 [] buffer, the range's lower end; NaN while unknown.
        high: float32 [] buffer, its upper end.
        synchronized: whether ranges follow the batches of all processes (see
            `synchronize_ranges`).
        step: float32 [] parameter, the learnt scale, NaN until first used; None unless learnt.

    Raises:
        ConfigError: a momentum outside 0 to 1.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        momentum: float = 0.1,
        device: torch.device | str | None = None,
        *,
        learned: bool = False,
    ) -> None:
        super().__init__()
        if not 0.0 < momentum <= 1.0:
            raise ConfigError(
                "momentum of the activation range", got=momentum, expected="0 < momentum <= 1"
            )
        self.momentum = momentum
        self.synchronized = False
        self._observer: RangeObserver | None = None
        for name in ("low", "high"):
            unknown = torch.full((), float("nan"), dtype=torch.float32, device=device)
            self.register_buffer(name, unknown)
        self.step: nn.Parameter | None = None
        if learned:
            self.step = nn.Parameter(torch.full_like(self.low, float("nan")))

    @property
    def is_calibrated(self) -> bool:
        """Whether the range is known."""
        return not bool(self.low.isnan())

    @property
    def is_observing(self) -> bool:
        """Whether a calibration is under way."""
        return self._observer is not None

    def start_calibration(self, method: str, operand: OperandFormat) -> None:
        """Begin collecting activations; see `OBSERVERS` for the methods.

        Raises:
            UnknownNameError: no such method.
        """
        self._observer = get_observer(method)(operand)

    def observe(self, x: Tensor) -> None:
        """Show a batch to the calibration under way.

        Raises:
            DataError: NaN or infinity in it.
        """
        if self._observer is not None:
            self._observer.observe(x)

    def finish_calibration(self, *, keep: bool = True) -> tuple[float, float] | None:
        """End the calibration and return the range it found, None if it saw no activation.

        Args:
            keep: take over the range; False leaves the old one.
        """
        found = None if self._observer is None else self._observer.range()
        self._observer = None
        if keep and found is not None:
            self.low.fill_(found[0])
            self.high.fill_(found[1])
            self.forget_step()
        return found

    def take_range(self, other: ActivationQuantizer) -> None:
        """Take over another quantizer's range; a learnt scale begins anew with it."""
        self.low.copy_(other.low)
        self.high.copy_(other.high)
        self.forget_step()

    def forget_step(self) -> None:
        """Let a learnt scale begin anew with the range, at the next use."""
        if self.step is not None:
            self.step.data.fill_(float("nan"))

    def forward(self, x: Tensor, operand: OperandFormat, *, codes_only: bool = False) -> Quantized:
        """Quantize ``x`` (float32, any shape) for an operand.

        Args:
            x: the numbers.
            operand: the multiplier's operand a.
            codes_only: no gradient is wanted; see `Quantized`. A learnt scale has one all the same.

        Raises:
            DataError: the range is unknown, or x holds NaN.
        """
        if self.training and x.numel() > 0 and not _is_recomputation():
            self._move(x.detach())
        params = activation_params(self.low, self.high, operand)
        return self._map(x, params, operand.activation_limits, operand, codes_only=codes_only)

    def _map(
        self,
        x: Tensor,
        params: AffineParams,
        limits: tuple[int, int],
        operand: OperandFormat,
        *,
        codes_only: bool,
    ) -> Quantized:
        if self.step is not None:
            return quantize_learned(x, self.step, params, limits, operand)
        if codes_only:
            codes = quantize_codes(x, params.scale, params.zero, *limits, operand.bits)
            return Quantized(x, codes, params)
        x_hat, codes, _ = fake_quantize(x, params.scale, params.zero, *limits, operand.bits)
        return Quantized(x_hat, codes, params)

    def observed_format(self, formats: tuple[OperandFormat, OperandFormat]) -> OperandFormat:
        """Return the format that calibration finds a range for, given those of a and b."""
        return formats[0]

    @torch.no_grad()
    def _move(self, x: Tensor) -> None:
        batch = torch.aminmax(x)
        if self.synchronized:
            distributed.all_reduce(batch[0], distributed.ReduceOp.MIN)
            distributed.all_reduce(batch[1], distributed.ReduceOp.MAX)
        for bound, seen in zip((self.low, self.high), batch, strict=True):
            moved = bound if self.step is not None else torch.lerp(bound, seen, self.momentum)
            bound.copy_(torch.where(bound.isnan(), seen, moved))

    def _apply(self, fn: Any, recurse: bool = True) -> ActivationQuantizer:
        # Ranges follow the model to its device, but keep their type and so their value.
        kept = (self.low, self.high)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if not kept[0].is_meta:
            self.low, self.high = (bound.to(self.low.device) for bound in kept)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # The state of an exact model has no ranges. It loads, and leaves the range unknown
        # rather than keep one that belonged to other weights.
        for name in ("low", "high"):
            state_dict.setdefault(prefix + name, torch.full_like(getattr(self, name), float("nan")))
        if self.step is not None:
            unknown = torch.full_like(self.step.data, float("nan"))
            state_dict.setdefault(prefix + "step", unknown)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def synchronize_ranges(model: nn.Module) -> int:
    """Let activation ranges follow the batches of all processes, as one process would see them.

    For training with `torch.nn.parallel.DistributedDataParallel`: without it each process moves
    its ranges by its own part of a batch, and the first one's are taken over. Every process must
    then run the same layers in the same order.

    Returns:
        How many ranges there are.
    """
    quantizers = [m for m in model.modules() if isinstance(m, ActivationQuantizer)]
    for quantizer in quantizers:
        quantizer.synchronized = True
    return len(quantizers)


class RightQuantizer(ActivationQuantizer):
    """Quantizes the second input of a product of two inputs, for operand b.

    It is mapped as weights are, symmetrically, but with one scale per tensor from a range.
    """

    def forward(self, x: Tensor, operand: OperandFormat, *, codes_only: bool = False) -> Quantized:
        """Quantize ``x`` (float32, any shape) for operand b; see `ActivationQuantizer.forward`.

        Raises:
            DataError: the range is unknown, or x holds NaN.
        """
        if self.training and x.numel() > 0 and not _is_recomputation():
            self._move(x.detach())
        symmetric = activation_params(self.low, self.high, OperandFormat(operand.bits, True))
        zero = torch.full_like(symmetric.zero, operand.weight_zero)
        params = AffineParams(symmetric.scale, zero)
        return self._map(x, params, operand.weight_limits, operand, codes_only=codes_only)

    def observed_format(self, formats: tuple[OperandFormat, OperandFormat]) -> OperandFormat:
        """Return a signed format as wide as b: its mapping is the same but for the zero point."""
        return OperandFormat(formats[1].bits, True)


def _is_recomputation() -> bool:
    # A forward inside the autograd engine is activation checkpointing running again.
    if torch.compiler.is_compiling():
        return False
    return bool(torch._C._current_graph_task_id() != -1)
