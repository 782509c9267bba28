"""The table ``[clock]`` of a sidecar: which ports of a clocked multiplier control it.

Every key is optional; what is left out is found by name::

    [clock]
    clock = "clk"
    edge = "rising"              # or "falling"
    reset = "rst_n"
    reset_active = "low"         # or "high"; by the name where it is left out
    start = "go"
    start_active = "high"
    done = "busy"
    done_active = "low"
    enables = ["ce", {port = "cs", active = "low"}]
    style = "handshake"          # or "pipelined", "held": checked in simulation
    cycles = 9                   # the latency: checked in simulation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import SidecarError
from ...core.names import nearest
from ..interface import ClockStyle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEYS = (
    "clock",
    "edge",
    "reset",
    "reset_active",
    "start",
    "start_active",
    "done",
    "done_active",
    "enables",
    "style",
    "cycles",
)
_EDGES = ("rising", "falling")
_LEVELS = ("high", "low")


@dataclass(frozen=True, slots=True)
class NamedControl:
    """A control port as a sidecar names it.

    Attributes:
        port: its name in the Verilog.
        active_low: whether 0 asserts it; None if the name is to decide.
    """

    port: str
    active_low: bool | None = None


@dataclass(frozen=True, slots=True)
class ClockTable:
    """What a sidecar says about a design's clock; None and () where it says nothing.

    Attributes:
        clock: name of the clock input.
        falling: whether the falling edge is the active one.
        reset: the reset input.
        start: the input that begins an operation.
        done: the output that marks a product.
        enables: inputs that stay asserted.
        style: how operations follow each other.
        cycles: the latency in clock cycles.
    """

    clock: str | None = None
    falling: bool = False
    reset: NamedControl | None = None
    start: NamedControl | None = None
    done: NamedControl | None = None
    enables: tuple[NamedControl, ...] = ()
    style: ClockStyle | None = None
    cycles: int | None = None


def read_clock_table(path: Path, value: Any) -> ClockTable | None:
    """Return the content of the table ``[clock]``; None if the sidecar has none.

    Args:
        path: the sidecar or its design, for messages.
        value: what TOML made of the table, None if there is none.

    Raises:
        SidecarError: a key or value makes no sense.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong(path, "clock", value, "a table [clock]")
    for key in value:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            raise SidecarError(
                f"{path}: unknown key {'clock.' + key!r}",
                expected=f"one of {', '.join(_KEYS)}",
                remedy=f"did you mean {near!r}?" if near else None,
            )
    cycles = value.get("cycles")
    if cycles is not None and (type(cycles) is not int or cycles < 0):
        raise _wrong(path, "clock.cycles", cycles, "a number of clock cycles, 0 or more")
    style = _word(path, value, "style", tuple(ClockStyle))
    return ClockTable(
        clock=_text(path, value, "clock"),
        falling=_word(path, value, "edge", _EDGES) == "falling",
        reset=_control(path, value, "reset"),
        start=_control(path, value, "start"),
        done=_control(path, value, "done"),
        enables=_enables(path, value.get("enables", [])),
        style=None if style is None else ClockStyle(style),
        cycles=cycles,
    )


def _control(path: Path, table: Mapping[str, Any], key: str) -> NamedControl | None:
    name = _text(path, table, key)
    level = _word(path, table, f"{key}_active", _LEVELS)
    if name is None:
        if level is not None:
            raise SidecarError(
                f"{path}: clock.{key}_active is given, but not which port it is about",
                remedy=f'add {key} = "PORT"',
            )
        return None
    return NamedControl(name, None if level is None else level == "low")


def _enables(path: Path, value: Any) -> tuple[NamedControl, ...]:
    found = []
    for item in value if isinstance(value, list) else [None]:
        entry = {"port": item} if isinstance(item, str) else item
        if not isinstance(entry, dict) or not {"port"} <= set(entry) <= {"port", "active"}:
            raise _wrong(
                path, "clock.enables", value, 'a list of "PORT" or {port = "PORT", active = "low"}'
            )
        level = _word(path, entry, "active", _LEVELS)
        name = _text(path, entry, "port")
        assert name is not None
        found.append(NamedControl(name, None if level is None else level == "low"))
    return tuple(found)


def _text(path: Path, table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(path, f"clock.{key}", value, "the name of a port")
    return value


def _word(path: Path, table: Mapping[str, Any], key: str, legal: tuple[str, ...]) -> str | None:
    value = table.get(key)
    if value is not None and value not in legal:
        raise _wrong(path, f"clock.{key}", value, " or ".join(f'"{word}"' for word in legal))
    return value


def _wrong(path: Path, key: str, value: object, expected: str) -> SidecarError:
    return SidecarError(f"{path}: {key} makes no sense", got=repr(value), expected=expected)
