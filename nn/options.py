"""How a layer with a table computes and learns, besides the table itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from ..core.errors import ConfigError
from ..core.names import pick
from .accumulators import parse_accumulator
from .calibrate import get_observer
from .engines import check_engine_name
from .gradients import parse_gradient

if TYPE_CHECKING:
    from collections.abc import Mapping

QUANTIZERS: Mapping[str, str] = {
    "range": "scales from ranges: of the weights at hand, and moving averages of activations",
    "lsq": "scales learnt by gradient (learned step size quantization)",
}
"""How scales are found, by name."""


class OptionArguments(TypedDict, total=False):
    """The keyword arguments that become `LayerOptions`, for signatures."""

    engine: str
    calibration: str
    momentum: float
    gradient: str
    quantizer: str
    accumulator: str


@dataclass(frozen=True, slots=True)
class LayerOptions:
    """How a layer with a table computes and learns.

    Attributes:
        engine: an engine's name, or "auto" for the fastest.
        calibration: the method that `calibrate` uses unless told another (see `OBSERVERS`).
        momentum: weight of a new batch in the moving activation range, in training.
        gradient: how backward estimates the products' gradients (see `rtlgrad.nn.gradients`).
        quantizer: how scales are found, a key of `QUANTIZERS`.
        accumulator: how wide sums of products are (see `rtlgrad.nn.accumulators`).

    Raises:
        UnknownNameError: no such engine, calibration method, gradient or quantizer.
        ConfigError: another option that makes no sense.
    """

    engine: str = "auto"
    calibration: str = "minmax"
    momentum: float = 0.1
    gradient: str = "ste"
    quantizer: str = "range"
    accumulator: str = "int32"

    def __post_init__(self) -> None:
        check_engine_name(self.engine)
        get_observer(self.calibration)
        parse_gradient(self.gradient)
        parse_accumulator(self.accumulator)
        pick(QUANTIZERS, self.quantizer, kind="quantizer")
        if not 0.0 < self.momentum <= 1.0:
            raise ConfigError(
                "momentum of the activation range", got=self.momentum, expected="0 < momentum <= 1"
            )
