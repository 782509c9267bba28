"""Drop-in layers whose every product goes through a table.

Both quantize input and weight, look up and add in integers, rescale to float32 and add the bias
in float. The result has the weight's dtype; the computation is float32 whatever the input's or
weight's dtype, under autocast too. The table is not part of the state_dict (its identity is, in
checkpoints: see `rtlgrad.nn.table_ids`); `set_table` swaps it, and a compiled model then runs on
without recompiling as long as the operands keep their widths and signedness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from .activation import ActivationQuantizer
from .calibrate import get_observer
from .engines import check_engine_name
from .ops import approx_conv2d, approx_linear
from .quantize import quantize_weight
from .tables import load_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ..lutgen.table import ProductTable
    from .quantize import OperandFormat, Quantized
    from .tables import LoadedTable

M = TypeVar("M", bound=nn.Module)

_OWN_ATTRIBUTES = ("_loaded", "_products", "_formats", "_engine", "calibration")


class _TableLayer(nn.Module):
    """What the approximate layers have in common: a table, an engine, an activation range."""

    weight: Tensor
    activation: ActivationQuantizer
    calibration: str
    _loaded: LoadedTable
    _products: Tensor
    _formats: tuple[OperandFormat, OperandFormat]
    _engine: str

    def _equip(
        self, table: ProductTable, *, engine: str, calibration: str, momentum: float
    ) -> None:
        get_observer(calibration)
        self.set_table(table)
        self._engine = check_engine_name(engine)
        self.calibration = calibration
        self.activation = ActivationQuantizer(momentum, self.weight.device)
        self.activation.train(self.training)

    @property
    def table(self) -> ProductTable:
        """The table that products are taken from."""
        return self._loaded.table

    @property
    def engine(self) -> str:
        """The engine's name as asked for, "auto" included."""
        return self._engine

    def set_table(self, table: ProductTable) -> None:
        """Take products from another table from now on; the activation range stays.

        Raises:
            ConfigError: an operand narrower than 2 or wider than 12 bits.
        """
        self._hold(load_table(table))

    def set_engine(self, engine: str) -> None:
        """Compute on another engine from now on.

        Raises:
            UnknownNameError: no engine has this name.
        """
        self._engine = check_engine_name(engine)

    def extra_repr(self) -> str:
        """Return torch's description, then the table and the engine."""
        return f"{super().extra_repr()}, table={self.table!r}, engine={self._engine!r}"

    @property
    def operands(self) -> tuple[OperandFormat, OperandFormat]:
        """The formats of activation and weight."""
        return self._formats

    def _hold(self, loaded: LoadedTable) -> None:
        self._loaded = loaded
        self._products = loaded.new_products()
        self._formats = loaded.new_formats()

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes its tensor from the table again, instead of copying up to 64 MiB.
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "_products"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._hold(self._loaded)

    def _operands(self, x: Tensor) -> tuple[Quantized, Quantized]:
        if not (self.training or torch.compiler.is_compiling() or self.activation.is_calibrated):
            raise ConfigError(
                f"the activation range of this {type(self).__name__} is unknown",
                got="evaluation before any calibration or training step",
                expected="a range found by calibration or in training",
                remedy="run rtlgrad.nn.calibrate(model, batches), train first, or load the state "
                "of a calibrated model",
            )
        a, b = self._formats
        return self.activation(x, a), quantize_weight(self.weight.float(), b)


class ApproxConv2d(_TableLayer, nn.Conv2d):
    """`torch.nn.Conv2d` with every product taken from a table.

    Activations are operand a (row of the table), weights operand b (column). Taps outside the
    image hold the code of 0.0 and are looked up like all others. Padding modes other than
    "zeros" pad the input before it is quantized.

    Args:
        *args: as torch.nn.Conv2d.
        table: the multiplier.
        engine: an engine's name, or "auto" for the fastest.
        calibration: the method that `calibrate` uses unless told another (see `OBSERVERS`).
        momentum: weight of a new batch in the moving activation range, in training.
        **kwargs: as torch.nn.Conv2d.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an impossible momentum.
        UnknownNameError: no such engine or calibration method.
    """

    def __init__(
        self,
        *args: Any,
        table: ProductTable,
        engine: str = "auto",
        calibration: str = "minmax",
        momentum: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._equip(table, engine=engine, calibration=calibration, momentum=momentum)

    @classmethod
    def from_exact(
        cls,
        layer: nn.Conv2d,
        table: ProductTable,
        *,
        engine: str = "auto",
        calibration: str = "minmax",
        momentum: float = 0.1,
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = _reborn(layer, cls)
        new._equip(table, engine=engine, calibration=calibration, momentum=momentum)
        return new

    def to_exact(self) -> nn.Conv2d:
        """Return a torch.nn.Conv2d that shares this layer's parameters and hooks."""
        return _reborn(self, nn.Conv2d)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Convolve ``input`` [B, C, H, W] or [C, H, W], any float dtype."""
        if self.activation.is_observing:
            self.activation.observe(input.detach().float())
            return super().forward(input)
        x = (input if input.ndim == 4 else input.unsqueeze(0)).float()
        left, right, top, bottom = self._reversed_padding_repeated_twice
        padding = [top, bottom, left, right]
        if self.padding_mode != "zeros":
            x = functional.pad(x, (left, right, top, bottom), mode=self.padding_mode)
            padding = [0, 0, 0, 0]
        a, w = self._operands(x)
        y: Tensor = approx_conv2d(
            a.x_hat,
            w.x_hat,
            a.codes,
            w.codes,
            self._products,
            a.params.scale,
            a.params.zero,
            w.params.scale,
            self._formats[1].weight_zero,
            [operand.signed for operand in self._formats],
            list(self.stride),
            padding,
            list(self.dilation),
            self.groups,
            self._engine,
        )
        if self.bias is not None:
            y = y + self.bias.float().view(1, -1, 1, 1)
        y = y.to(self.weight.dtype)
        return y if input.ndim == 4 else y.squeeze(0)


class ApproxLinear(_TableLayer, nn.Linear):
    """`torch.nn.Linear` with every product taken from a table.

    Activations are operand a (row of the table), weights operand b (column), as in
    `ApproxConv2d`.

    Args:
        *args: as torch.nn.Linear.
        table: the multiplier.
        engine: an engine's name, or "auto" for the fastest.
        calibration: the method that `calibrate` uses unless told another (see `OBSERVERS`).
        momentum: weight of a new batch in the moving activation range, in training.
        **kwargs: as torch.nn.Linear.

    Raises:
        ConfigError: operands outside 2 to 12 bits, or an impossible momentum.
        UnknownNameError: no such engine or calibration method.
    """

    def __init__(
        self,
        *args: Any,
        table: ProductTable,
        engine: str = "auto",
        calibration: str = "minmax",
        momentum: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._equip(table, engine=engine, calibration=calibration, momentum=momentum)

    @classmethod
    def from_exact(
        cls,
        layer: nn.Linear,
        table: ProductTable,
        *,
        engine: str = "auto",
        calibration: str = "minmax",
        momentum: float = 0.1,
    ) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = _reborn(layer, cls)
        new._equip(table, engine=engine, calibration=calibration, momentum=momentum)
        return new

    def to_exact(self) -> nn.Linear:
        """Return a torch.nn.Linear that shares this layer's parameters and hooks."""
        return _reborn(self, nn.Linear)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Map ``input`` [..., in_features] to [..., out_features], any float dtype."""
        if self.activation.is_observing:
            self.activation.observe(input.detach().float())
            return super().forward(input)
        a, w = self._operands(input.reshape(-1, self.in_features).float())
        y: Tensor = approx_linear(
            a.x_hat,
            w.x_hat,
            a.codes,
            w.codes,
            self._products,
            a.params.scale,
            a.params.zero,
            w.params.scale,
            self._formats[1].weight_zero,
            [operand.signed for operand in self._formats],
            self._engine,
        )
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(self.weight.dtype).view(*input.shape[:-1], self.out_features)


ApproxLayer: TypeAlias = ApproxConv2d | ApproxLinear
APPROX_OF: Mapping[type[nn.Module], type[ApproxConv2d] | type[ApproxLinear]] = {
    nn.Conv2d: ApproxConv2d,
    nn.Linear: ApproxLinear,
}
"""The approximate layer of each exact type that has one."""


def _reborn(layer: nn.Module, kind: type[M]) -> M:
    """Return a module of another class with the layer's parameters, hooks and flags.

    The registries of parameters, buffers and submodules are copied, as the new module gains or
    loses some; hook registries are shared, so that handles to them go on working.
    """
    new = kind.__new__(kind)
    state = dict(layer.__dict__)
    for registry in ("_parameters", "_buffers", "_modules"):
        state[registry] = state[registry].copy()
    for name in _OWN_ATTRIBUTES:
        state.pop(name, None)
    state["_modules"].pop("activation", None)
    new.__dict__.update(state)
    return new
