"""What all layers that multiply through a table have in common, whatever kind of table it is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import nn

from .activation import ActivationQuantizer
from .learned import WeightQuantizer

if TYPE_CHECKING:
    from torch import Tensor

E = TypeVar("E", bound=nn.Module)
M = TypeVar("M", bound=nn.Module)


class MultiplyingLayer(nn.Module):
    """A layer that holds a table, and the options of how it multiplies through it."""

    options_kind: ClassVar[Any]
    """The dataclass of the layer's options."""

    _loaded: Any
    _products: Tensor
    _options: Any

    def _equip(self, table: Any, options: Any) -> None:
        """Take a table and options for the first time."""
        self._options = options
        self._hold(self._load(table))

    def _load(self, table: Any) -> Any:
        """Return a table made ready for torch."""
        raise NotImplementedError

    def _hold(self, loaded: Any) -> None:
        """Take products from a loaded table from now on."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """The engine's name as asked for, "auto" included."""
        engine: str = self._options.engine
        return engine

    def set_options(self, **changes: Any) -> None:
        """Compute or learn otherwise from now on.

        Raises:
            UnknownNameError, ConfigError: an option that makes no sense.
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
        mine, default = self._options, self.options_kind()
        parts = [super().extra_repr(), f"table={self._loaded.table!r}", f"engine={mine.engine!r}"]
        parts += [
            f"{field.name}={getattr(mine, field.name)!r}"
            for field in fields(mine)
            if field.name != "engine" and getattr(mine, field.name) != getattr(default, field.name)
        ]
        return ", ".join(part for part in parts if part)

    def __getstate__(self) -> dict[str, Any]:
        # A copy takes its tensor from the table again, instead of copying up to 64 MiB.
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "_products"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._hold(self._loaded)


class DropIn(MultiplyingLayer, Generic[E]):
    """A layer that takes the place of one of torch's, with its parameters.

    Args:
        *args: as the layer of torch.
        table: the multiplier.
        **kwargs: as the layer of torch, and the attributes of the layer's options.

    Raises:
        ConfigError: operands that the layer cannot have, or an option that makes no sense.
        UnknownNameError: an option names nothing known.
    """

    _exact: type[E]

    def __init__(self, *args: Any, table: Any, **kwargs: Any) -> None:
        names = {field.name for field in fields(self.options_kind)}
        mine = {name: value for name, value in kwargs.items() if name in names}
        others = {name: value for name, value in kwargs.items() if name not in names}
        options = self.options_kind(**mine)
        super().__init__(*args, **others)
        self._equip(table, options)

    @classmethod
    def from_exact(cls, layer: E, table: Any, **options: Any) -> Self:
        """Return a layer that shares the parameters and hooks of an exact one."""
        new = reborn(layer, cls)
        new._equip(table, cls.options_kind(**options))
        return new

    def to_exact(self) -> E:
        """Return torch's own layer, sharing this one's parameters and hooks."""
        return reborn(self, self._exact)


def needs_gradient(x: Tensor) -> bool:
    """Say whether a gradient is to flow to a tensor."""
    return torch.is_grad_enabled() and x.requires_grad


def reborn(layer: nn.Module, kind: type[M]) -> M:
    """Return a module of another class with the layer's parameters, hooks and flags.

    The registries of parameters, buffers and submodules are copied, as the new module gains or
    loses some; hook registries are shared, so that handles to them go on working.
    """
    new = kind.__new__(kind)
    state = dict(layer.__dict__)
    for registry in ("_parameters", "_buffers", "_modules"):
        state[registry] = state[registry].copy()
    for name in ("_loaded", "_products", "_options", "_formats"):
        state.pop(name, None)
    for name, child in layer._modules.items():
        if isinstance(child, ActivationQuantizer | WeightQuantizer):
            state["_modules"].pop(name)
    new.__dict__.update(state)
    return new
