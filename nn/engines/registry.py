"""Which engines there are, and which one ``auto`` takes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import EngineError
from ...core.names import pick, unknown_name
from . import cuda
from .native import NativeEngine
from .reference import NumpyEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .types import Availability, Engine

AUTO = "auto"


class EngineFallbackWarning(UserWarning):
    """``auto`` could not take a faster engine and took a slower one."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """A registered engine.

    Attributes:
        device: the kind of memory that its arrays live in, as torch names it.
        availability: whether it can run here, and why not.
        load: makes it, or None where this release has no code for it.
    """

    device: str
    availability: Callable[[], Availability]
    load: Callable[[], Engine] | None


def _entry(engine: Engine) -> EngineEntry:
    return EngineEntry(engine.device, engine.availability, lambda: engine)


ENGINES: Mapping[str, EngineEntry] = {
    "cupy": EngineEntry("cuda", cuda.availability, cuda.load_engine),
    "native": _entry(NativeEngine()),
    "numpy": _entry(NumpyEngine()),
}
"""Every engine by name, fastest first on each device: the order in which ``auto`` tries them."""

_warned: set[str] = set()


def engine_names() -> tuple[str, ...]:
    """Return the names that `resolve_engine` takes, ``auto`` first."""
    return (AUTO, *ENGINES)


def check_engine_name(name: str) -> str:
    """Return ``name`` if it is registered or ``auto``.

    Raises:
        UnknownNameError: it is neither; lists the legal names.
    """
    if name not in engine_names():
        raise unknown_name(name, engine_names(), kind="engine")
    return name


def get_engine(name: str) -> Engine:
    """Return the engine of that name; never another one.

    Raises:
        UnknownNameError: no engine has this name.
        EngineError: it cannot run here; the message says why.
    """
    entry = pick(ENGINES, name, kind="engine", remedy=f"or {AUTO!r} for the fastest usable one")
    status = entry.availability()
    if entry.load is None or not status.usable:
        raise EngineError(
            f"the engine {name!r} cannot run here",
            got=status.reason,
            remedy=f"mend what is named above, or choose another engine ({', '.join(ENGINES)})",
        )
    return entry.load()


def resolve_engine(name: str = AUTO, *, device: str = "cpu") -> Engine:
    """Return an engine for arrays on a device.

    ``auto`` takes the fastest usable one; where that is not the fastest registered for the
    device, an `EngineFallbackWarning` says so once, with the reason. The engine's ``name`` tells
    which it took.

    Args:
        name: an engine's name, or "auto".
        device: where the operands are, as torch names it ("cpu", "cuda").

    Raises:
        UnknownNameError: no engine has this name.
        EngineError: the engine cannot run here, or does not compute on this device.
    """
    if name == AUTO:
        return _fastest(device)
    engine = get_engine(name)
    if engine.device != device:
        raise EngineError(
            f"the engine {name!r} does not compute on {device}",
            expected=f"operands on {engine.device}",
            remedy=f"move the model and its inputs to {engine.device}",
        )
    return engine


def _fastest(device: str) -> Engine:
    passed_over: list[str] = []
    for name, entry in ENGINES.items():
        if entry.device != device:
            continue
        status = entry.availability()
        if entry.load is not None and status.usable:
            _warn_once(name, passed_over)
            return entry.load()
        passed_over.append(f"{name}: {status.reason}")
    raise EngineError(
        f"no engine computes on {device} here",
        got="; ".join(passed_over) or "none is registered for it",
        remedy="move the model and its inputs to the CPU",
    )


def _warn_once(taken: str, passed_over: list[str]) -> None:
    if not passed_over:
        return
    message = f"engine {taken!r} taken; passed over: " + "; ".join(passed_over)
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, EngineFallbackWarning, stacklevel=4)
