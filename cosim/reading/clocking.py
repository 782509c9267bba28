"""Finds the clock and the control signals of a clocked multiplier, by sidecar or by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError
from ...core.names import unknown_name
from ..interface import Clocking, ControlInput
from .sidecar_clock import ClockTable, NamedControl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ..frontend.declaration import ModuleDeclaration, PortDeclaration
    from .sidecar import Sidecar

CLOCK_NAMES = ("clk", "clock", "ck", "aclk", "sclk", "clkin", "sysclk", "sys_clk")
RESET_NAMES = (
    *("rst", "reset", "arst", "areset", "srst", "sreset", "async_rst", "async_reset"),
    *("sync_rst", "sync_reset", "sys_rst", "clr", "clear"),
)
ENABLE_NAMES = (
    *("en", "ena", "ce", "enable", "clken", "clk_en", "clk_ena", "clock_enable"),
    *("ready", "out_ready"),
)
START_NAMES = (
    *("start", "go", "valid", "in_valid", "vld", "req", "request"),
    *("input_valid", "begin", "load", "ld"),
)
DONE_NAMES: tuple[tuple[str, ...], ...] = (
    ("done", "finish", "finished", "complete"),
    ("valid", "vld", "out_valid", "output_valid", "result_valid", "data_valid", "product_valid"),
    ("ready", "rdy", "ack", "busy"),
)
"""In three ranks: the first in which an output of one bit is found decides."""

_ALL_DONE_NAMES = tuple(name for rank in DONE_NAMES for name in rank)
_INPUT_AFFIX = re.compile(r"\A(?:i|in|s)_(?=\w)|(?<=\w)_(?:i|in)\Z")
_OUTPUT_AFFIX = re.compile(r"\A(?:o|out|m)_(?=\w)|(?<=\w)_(?:o|out)\Z")
_LOW = (
    re.compile(r"(?P<name>\w+?)_?n\Z"),
    re.compile(r"(?P<name>\w+?)_b\Z"),
    re.compile(r"n_?(?P<name>\w+)\Z"),
)


def find_clocking(module: ModuleDeclaration, sidecar: Sidecar, path: Path) -> Clocking | None:
    """Return a module's clock and controls; None if it has no clock.

    The sidecar's ``[clock]`` decides what it names, well-known names decide the rest. Only
    ports of one bit that the sidecar does not give another role are looked at.

    Raises:
        InterfaceError: several ports could have one role.
        UnknownNameError: the sidecar names a port that does not exist.
    """
    said = sidecar.clock or ClockTable()
    taken = set(sidecar.ports.values()) | _named_ports(said)
    inputs = [port for port in module.ports if port.direction == "input"]
    outputs = [port for port in module.ports if port.direction == "output"]
    free = [port for port in inputs if port.width == 1 and port.name not in taken]
    clock = _clock(said, inputs, free, module, path)
    if clock is None:
        if sidecar.clock is not None:
            raise InterfaceError(
                f"{path}: the sidecar has a table [clock], but no input looks like a clock",
                got=", ".join(port.name for port in inputs) or "no inputs",
                remedy='name it: [clock] clock = "PORT"',
            )
        return None
    done = said.done
    if done is None:
        candidates = [port for port in outputs if port.width == 1 and port.name not in taken]
        done = _done(candidates, path)
    else:
        _declared(done.port, outputs, "output", path)
    return Clocking(
        clock=clock,
        falling=said.falling,
        reset=_control(said.reset, inputs, free, RESET_NAMES, "reset", path),
        start=_control(said.start, inputs, free, START_NAMES, "start", path),
        done=None if done is None else done.port,
        done_active_low=done is not None and _active_low(done, _ALL_DONE_NAMES, output=True),
        enables=_enables(said.enables, inputs, free, path),
        style=said.style,
        cycles=said.cycles,
        decided_from="names" if sidecar.clock is None else "sidecar",
    )


def control_like(names: Iterable[str]) -> list[str]:
    """Return those names of inputs that look like a clock or a control signal."""
    known = (*CLOCK_NAMES, *RESET_NAMES, *ENABLE_NAMES, *START_NAMES)
    return [name for name in names if _matches(name, known) is not None]


def done_like(name: str) -> bool:
    """Return whether an output is called as one that says when the product is there."""
    return _matches(name, (*_ALL_DONE_NAMES, "in_ready"), output=True) is not None


def _named_ports(said: ClockTable) -> set[str]:
    controls = [said.reset, said.start, said.done, *said.enables]
    names = {control.port for control in controls if control is not None}
    return names | ({said.clock} if said.clock is not None else set())


def _clock(
    said: ClockTable,
    inputs: Sequence[PortDeclaration],
    free: Sequence[PortDeclaration],
    module: ModuleDeclaration,
    path: Path,
) -> str | None:
    if said.clock is not None:
        _declared(said.clock, inputs, "input", path)
        return said.clock
    # A number may follow the name: clk0, clk1.
    found = [
        port.name
        for port in free
        if _matches(port.name.rstrip("0123456789"), CLOCK_NAMES) is not None
    ]
    if len(found) > 1:
        raise InterfaceError(
            f"{path}: module {module.name!r} has several clocks",
            got=", ".join(found),
            expected="one clock",
            remedy="wrap the multiplier in a module with one clock input, or, if only one of them "
            'is a clock, say which: [clock] clock = "PORT" in the sidecar',
        )
    return found[0] if found else None


def _control(
    said: NamedControl | None,
    inputs: Sequence[PortDeclaration],
    free: Sequence[PortDeclaration],
    names: Sequence[str],
    role: str,
    path: Path,
) -> ControlInput | None:
    if said is not None:
        _declared(said.port, inputs, "input", path)
        return ControlInput(said.port, _active_low(said, names))
    found = [port.name for port in free if _matches(port.name, names) is not None]
    if len(found) > 1:
        raise InterfaceError(
            f"{path}: several inputs could be the {role}",
            got=", ".join(found),
            expected="one",
            remedy=f'say which it is in the sidecar, [clock] {role} = "PORT", and list inputs '
            "that are to keep one level under enables",
        )
    return ControlInput(found[0], bool(_matches(found[0], names))) if found else None


def _enables(
    said: Sequence[NamedControl],
    inputs: Sequence[PortDeclaration],
    free: Sequence[PortDeclaration],
    path: Path,
) -> tuple[ControlInput, ...]:
    for control in said:
        _declared(control.port, inputs, "input", path)
    found = [port.name for port in free if _matches(port.name, ENABLE_NAMES) is not None]
    return (
        *(ControlInput(item.port, _active_low(item, ENABLE_NAMES)) for item in said),
        *(ControlInput(name, bool(_matches(name, ENABLE_NAMES))) for name in found),
    )


def _done(outputs: Sequence[PortDeclaration], path: Path) -> NamedControl | None:
    for rank in DONE_NAMES:
        found = [
            port.name for port in outputs if _matches(port.name, rank, output=True) is not None
        ]
        if len(found) > 1:
            raise InterfaceError(
                f"{path}: several outputs could say when the product is there",
                got=", ".join(found),
                remedy='say which it is in the sidecar: [clock] done = "PORT"',
            )
        if found:
            return NamedControl(found[0])
    return None


def _active_low(control: NamedControl, names: Sequence[str], *, output: bool = False) -> bool:
    if control.active_low is not None:
        return control.active_low
    return bool(_matches(control.port, names, output=output))


def _matches(name: str, names: Sequence[str], *, output: bool = False) -> bool | None:
    """Return whether a name stands for an active-low signal of these; None if for none."""
    affix = _OUTPUT_AFFIX if output else _INPUT_AFFIX
    bare = name.lower()
    forms = [bare, affix.sub("", bare)]
    for form in forms:
        if form in names:
            return form == "busy"
    for form in forms:
        # lowRISC writes the direction last: rst_ni.
        form = form.removesuffix("i") if form.endswith("_ni") else form
        for pattern in _LOW:
            found = pattern.match(form)
            if found and found["name"] in names:
                return found["name"] != "busy"
    return None


def _declared(
    name: str, ports: Sequence[PortDeclaration], kind: str, path: Path
) -> PortDeclaration:
    for port in ports:
        if port.name == name:
            if port.width != 1:
                raise InterfaceError(
                    f"{path}: the sidecar's [clock] names {name!r}, which is {port.width} bits wide",
                    expected="an input or output of one bit",
                )
            return port
    names = [port.name for port in ports]
    raise unknown_name(name, names, kind=f"{kind} port ([clock] in the sidecar of {path}):")
