"""The range of a layer's activations: learnt in training, found by calibration, then frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.errors import ConfigError
from .calibrate import get_observer
from .quantize import Quantized, activation_params, quantize_activation

if TYPE_CHECKING:
    from torch import Tensor

    from .calibrate import RangeObserver
    from .quantize import OperandFormat


class ActivationQuantizer(nn.Module):
    """Quantizes a layer's input by a range that it keeps.

    In training mode every forward moves the range by an exponential average of the batch's
    minimum and maximum (the first batch sets it), then quantizes with the range so moved. In
    evaluation mode the range stays. Recomputation under activation checkpointing does not move
    the range a second time.

    Args:
        momentum: weight of a new batch in the average, 0 < momentum <= 1.
        device: where the range is kept.

    Attributes:
        low: float32 [] buffer, the range's lower end; NaN while unknown.
        high: float32 [] buffer, its upper end.

    Raises:
        ConfigError: a momentum outside 0 to 1.
    """

    low: Tensor
    high: Tensor

    def __init__(self, momentum: float = 0.1, device: torch.device | str | None = None) -> None:
        super().__init__()
        if not 0.0 < momentum <= 1.0:
            raise ConfigError(
                "momentum of the activation range", got=momentum, expected="0 < momentum <= 1"
            )
        self.momentum = momentum
        self._observer: RangeObserver | None = None
        for name in ("low", "high"):
            unknown = torch.full((), float("nan"), dtype=torch.float32, device=device)
            self.register_buffer(name, unknown)

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
        return found

    def forward(self, x: Tensor, operand: OperandFormat) -> Quantized:
        """Quantize ``x`` (float32, any shape) for an operand.

        Raises:
            DataError: the range is unknown, or x holds NaN.
        """
        if self.training and x.numel() > 0 and not _is_recomputation():
            self._move(x.detach())
        return quantize_activation(x, activation_params(self.low, self.high, operand), operand)

    @torch.no_grad()
    def _move(self, x: Tensor) -> None:
        for bound, seen in zip((self.low, self.high), torch.aminmax(x), strict=True):
            moved = torch.lerp(bound, seen, self.momentum)
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
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _is_recomputation() -> bool:
    # A forward inside the autograd engine is activation checkpointing running again.
    if torch.compiler.is_compiling():
        return False
    return bool(torch._C._current_graph_task_id() != -1)
