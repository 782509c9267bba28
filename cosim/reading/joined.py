"""Joins the two outputs of a multiplier of mantissas, carry and mantissa, to one product.

Every later stage knows one output. So a module is put around such a multiplier, in the text that
all tools read, whose output is {carry, mantissa}; all other ports are passed on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError
from ...core.names import unknown_name
from ..frontend.declaration import ModuleDeclaration, PortDeclaration
from .sidecar import CARRY

if TYPE_CHECKING:
    from pathlib import Path

    from ..frontend.read import ReadModule
    from .sidecar import Sidecar


def has_two_outputs(sidecar: Sidecar) -> bool:
    """Return whether a sidecar names an output for the carry."""
    return CARRY in sidecar.ports


def joined(read: ReadModule, sidecar: Sidecar, path: Path) -> tuple[ReadModule, Sidecar, str]:
    """Put a module around a multiplier whose carry has a port of its own.

    Args:
        read: the multiplier as a front end found it.
        sidecar: names the outputs: ``out`` the mantissa, ``carry`` the carry.
        path: the file, for messages.

    Returns:
        The module around it, what the sidecar would say of that, and its text.

    Raises:
        UnknownNameError: an output does not exist.
        InterfaceError: the carry is not one bit.
    """
    inner = read.declaration
    outputs = {port.name: port for port in inner.ports if port.direction == "output"}
    for role in ("out", CARRY):
        if sidecar.ports[role] not in outputs:
            kind = f"output port (sidecar of {path}):"
            raise unknown_name(sidecar.ports[role], list(outputs), kind=kind)
    mantissa, carry = outputs[sidecar.ports["out"]], outputs[sidecar.ports[CARRY]]
    if carry.width != 1 or carry is mantissa:
        raise InterfaceError(
            f"{path}: output {carry.name!r} cannot be the carry",
            got=f"{carry.width} bits, mantissa in {mantissa.name!r}",
            expected="an output of one bit beside that of the mantissa",
        )
    kept = [port for port in inner.ports if port not in (mantissa, carry)]
    name = _new_name(f"{carry.name}_{mantissa.name}", [port.name for port in kept])
    product = PortDeclaration(name, "output", mantissa.width + 1, signed=False)
    outer = ModuleDeclaration(f"rtlgrad_{inner.name}", (*kept, product), inner.parameters)
    ports = {role: port for role, port in sidecar.ports.items() if role != CARRY} | {"out": name}
    text = _text(inner, outer, mantissa, carry)
    return replace(read, declaration=outer), replace(sidecar, ports=ports), text


def _text(
    inner: ModuleDeclaration,
    outer: ModuleDeclaration,
    mantissa: PortDeclaration,
    carry: PortDeclaration,
) -> str:
    product = outer.ports[-1]
    declared = ",\n".join(
        f"    {port.direction} wire {'signed ' * port.signed}[{port.width - 1}:0] {_escaped(port.name)}"
        for port in outer.ports
    )
    connected = [f".{_escaped(port.name)}({_escaped(port.name)})" for port in outer.ports[:-1]]
    top = mantissa.width
    connected.append(f".{_escaped(mantissa.name)}({_escaped(product.name)}[{top - 1}:0])")
    connected.append(f".{_escaped(carry.name)}({_escaped(product.name)}[{top}])")
    names = sorted(inner.parameters)
    parameters = ", ".join(f"parameter {_escaped(key)}= {inner.parameters[key]}" for key in names)
    passed = ", ".join(f".{_escaped(key)}({_escaped(key)})" for key in names)
    return (
        f"\nmodule {_escaped(outer.name)}{f'#({parameters}) ' if names else ''}(\n{declared}\n);\n"
        f"  {_escaped(inner.name)}{f'#({passed}) ' if names else ''}inner (\n    "
        + ",\n    ".join(connected)
        + "\n  );\nendmodule\n"
    )


def _escaped(name: str) -> str:
    return f"\\{name} "


def _new_name(wanted: str, taken: list[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted
