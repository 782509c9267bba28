"""Matrix products that a module computes by function calls, made approximate where they are called.

Attention in models that we did not write multiplies by `torch.matmul`, `torch.bmm` or
`scaled_dot_product_attention`, inside modules of any class. While such a module runs, these calls
are taken over (`torch.overrides.TorchFunctionMode`) and go through an `ApproxMatmul` each, kept
in the module as ``table_products`` in the order of the calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..core.errors import ConfigError
from ..lutgen.mantissa import MantissaTable
from .attention import approx_attention
from .convert import check_options, device_of
from .mantissa_options import EVERY_PRODUCT, MantissaOptions
from .parts import MATMULS, matmul_by
from .range_finding import run_on_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from .multipliers import MultiplierTable
    from .options import OptionArguments

_ATTENTION = "scaled_dot_product_attention"
_COUNT = {"matmul": 1, "bmm": 1, _ATTENTION: 2}
"""How many products of two matrices each function takes."""
_NAME = "table_products"


@dataclass(frozen=True, slots=True)
class MatmulSite:
    """A module whose matrix products were made approximate.

    Attributes:
        name: the module's name in the model.
        kind: its class.
        calls: the functions that it calls, in order.
    """

    name: str
    kind: str
    calls: tuple[str, ...]


def approximate_matmuls(
    model: nn.Module,
    table: MultiplierTable,
    example: Any,
    *,
    pattern: str = "*",
    forward: Callable[[nn.Module, Any], object] | None = None,
    approximate: str = EVERY_PRODUCT,
    **options: Unpack[OptionArguments],
) -> tuple[MatmulSite, ...]:
    """Find the matrix products of two inputs in a model and make them approximate, in place.

    The model runs once on ``example``, in evaluation mode. Every call of `torch.matmul` (the
    operator @ included), `torch.bmm` or `scaled_dot_product_attention` belongs to the innermost
    module that was running. A module must make the same calls each time. Other ways to multiply,
    `torch.einsum` among them, are not seen. With a table of integer products, calibrate afterwards.

    Args:
        model: any module tree.
        table: the multiplier.
        example: a batch, as `calibrate` takes them.
        pattern: name pattern (fnmatch) of the modules to change.
        forward: runs the model on the example, where `calibrate`'s way does not suit.
        approximate: with a mantissa table, which products go through it (see `MantissaMatmul`).
        **options: the attributes of `LayerOptions`.

    Returns:
        The modules changed. Their state gains the ranges of ``table_products``.

    Raises:
        ConfigError: no such call was made in a module that the pattern names, or an option
            does not concern such a table.
    """
    floating = MantissaOptions(options.get("engine", "auto"), approximate)
    check_options([table], options, floating)
    names = {module: name for name, module in model.named_modules()}
    found = _calls_found(model, example, forward)

    def make() -> nn.Module:
        if isinstance(table, MantissaTable):
            return matmul_by(table, None, engine=floating.engine, approximate=approximate)
        return matmul_by(table, device_of(model), **options)

    sites = []
    for module, calls in found.items():
        if fnmatchcase(names[module], pattern) and not hasattr(module, _NAME):
            _equip(module, calls, make)
            sites.append(MatmulSite(names[module], type(module).__name__, tuple(calls)))
    if not sites:
        raise ConfigError(
            "no matrix product of two inputs was found",
            got=f"calls in {sorted(names[module] for module in found) or 'no module'}",
            expected=f"calls of {', '.join(_COUNT)} in modules that match {pattern!r}",
        )
    return tuple(sites)


def _calls_found(
    model: nn.Module, example: Any, forward: Callable[[nn.Module, Any], object] | None
) -> dict[nn.Module, list[str]]:
    """Run a model once; return the products that each module calls, in order."""
    found: dict[nn.Module, list[str]] = {}
    finder = _Finder(found)
    handles = [
        handle
        for module in model.modules()
        if not isinstance(module, MATMULS)
        for handle in (
            module.register_forward_pre_hook(finder.enter),
            module.register_forward_hook(finder.leave, always_call=True),
        )
    ]
    try:
        with finder:
            run_on_batches(model, [example], forward)
    finally:
        for handle in handles:
            handle.remove()
    return found


class _Finder(TorchFunctionMode):
    """Notes which module calls which product."""

    def __init__(self, found: dict[nn.Module, list[str]]) -> None:
        super().__init__()
        self._found = found
        self._running: list[nn.Module] = []

    def enter(self, module: nn.Module, inputs: Any) -> None:
        del inputs
        self._running.append(module)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs, output
        self._running.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        call = _product_called(func)
        inside_own = any(isinstance(module, MATMULS) for module in self._running)
        if call is not None and self._running and not inside_own:
            self._found.setdefault(self._running[-1], []).append(call)
        return func(*args, **(kwargs or {}))


class _Takeover(TorchFunctionMode):
    """Sends the products of one call of a module through its ``table_products``."""

    def __init__(self, products: Any, calls: tuple[str, ...]) -> None:
        super().__init__()
        self.products = products
        self.calls = calls
        self.done = 0
        self.paused = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        call = None if self.paused else _product_called(func)
        given = kwargs or {}
        if call is None:
            return func(*args, **given)
        if self.done >= len(self.calls) or self.calls[self.done] != call:
            raise ConfigError(
                "a module makes other matrix products than when its products were found",
                got=f"call {self.done + 1}: {call}",
                expected=", ".join(self.calls),
                remedy="give approximate_matmuls an example that takes the same path",
            )
        first = sum(_COUNT[before] for before in self.calls[: self.done])
        products = self.products[first : first + _COUNT[call]]
        self.done += 1
        if call == _ATTENTION:
            return _attention(products, *args, **given)
        left, *right = args
        return products[0](left, right[0] if right else next(iter(given.values())))


class _Switch:
    """Hooks that take over while a module runs, but not while one inside it does.

    A plain object, so that a deep copy of the model has switches of its own.
    """

    def __init__(self, calls: tuple[str, ...]) -> None:
        self._calls = calls
        self._active: list[_Takeover] = []

    def enter(self, module: nn.Module, inputs: Any) -> None:
        del inputs
        mode = _Takeover(getattr(module, _NAME), self._calls)
        mode.__enter__()  # type: ignore[no-untyped-call]
        self._active.append(mode)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs, output
        self._active.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def pause(self, module: nn.Module, inputs: Any) -> None:
        del module, inputs
        if self._active:
            self._active[-1].paused += 1

    def resume(self, module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs, output
        if self._active:
            self._active[-1].paused -= 1


def _equip(module: nn.Module, calls: list[str], make: Callable[[], nn.Module]) -> None:
    switch = _Switch(tuple(calls))
    for child in module.children():
        child.register_forward_pre_hook(switch.pause)
        child.register_forward_hook(switch.resume, always_call=True)
    count = sum(_COUNT[call] for call in calls)
    products = [make() for _ in range(count)]
    module.add_module(_NAME, nn.ModuleList(products).train(module.training))
    module.register_forward_pre_hook(switch.enter)
    module.register_forward_hook(switch.leave, always_call=True)


def _product_called(func: Any) -> str | None:
    if func is functional.scaled_dot_product_attention:
        return _ATTENTION
    if func in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__):
        return "matmul"
    return "bmm" if func in (torch.bmm, torch.Tensor.bmm) else None


def _attention(
    products: Any,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **named: Any,
) -> Any:
    """Take the arguments of scaled_dot_product_attention, by position or name."""
    options = {"attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal, **named}
    return approx_attention(query, key, value, products[0], products[1], **options)
