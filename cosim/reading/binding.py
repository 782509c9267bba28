"""Gives each port of a module its role: operand a, operand b, or the product."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError
from ...core.names import unknown_name
from ..float_format import MAX_TABLE_MANTISSA_BITS, FloatFormat, FloatPart
from ..interface import (
    MAX_OPERAND_BITS,
    MAX_TABLE_OPERAND_BITS,
    MIN_OPERAND_BITS,
    Interface,
    OrderRule,
    Port,
    SignRule,
)
from .clocking import control_like, done_like, find_clocking

if TYPE_CHECKING:
    from pathlib import Path

    from ..frontend.declaration import ModuleDeclaration, PortDeclaration
    from ..frontend.read import ReadModule
    from ..interface import Clocking
    from .sidecar import Sidecar

MAX_OUTPUT_BITS = 128
MAX_TABLE_OUTPUT_BITS = 64

OPERAND_NAMES = (
    ("a", "b"),
    ("x", "y"),
    ("in1", "in2"),
    ("in_a", "in_b"),
    ("ina", "inb"),
    ("i_a", "i_b"),
    ("a_i", "b_i"),
    ("a_in", "b_in"),
    ("op1", "op2"),
    ("op_a", "op_b"),
    ("opa", "opb"),
    ("operand_a", "operand_b"),
    ("multiplicand", "multiplier"),
    ("activation", "weight"),
    ("in0", "in1"),
    ("i0", "i1"),
    ("a0", "a1"),
)
"""Pairs of port names (in lower case) that tell operand a from operand b."""

_SIGN = re.compile(r"[su](?:_|\Z)")


def bind(read: ReadModule, sidecar: Sidecar, path: Path) -> Interface:
    """Bind the ports of a module to the roles a, b and out.

    Operand order: sidecar, else well-known pairs of names, else order of declaration.
    Signedness: sidecar, else the ``signed`` keyword, else a name like mul8s_... or mul8u_..., else
    unsigned; an output that none of these decides is signed where an operand is, since the
    product of signed operands is often declared as a plain vector.

    Args:
        read: the module as a front end found it.
        sidecar: what the file's sidecar says.
        path: the file, for messages and for its name.

    Raises:
        InterfaceError: the ports are not those of a two-operand multiplier, are too wide, or do
            not carry the floating-point format that the sidecar names.
        UnknownNameError: the sidecar names a port that does not exist.
    """
    module = read.declaration
    _check_directions(module, path)
    clocking = find_clocking(module, sidecar, path)
    output = _output(module, sidecar, clocking, path)
    first, second, rule = _operands(module, sidecar, clocking, path)
    _check_widths(first, second, output, sidecar, path)
    form = _format(first, second, output, sidecar, path)
    named = _sign_from_name(path.stem, module.name)
    a, b = _port(first, "a", sidecar, named), _port(second, "b", sidecar, named)
    out = _port(output, "out", sidecar, named)
    if out.signed_from is SignRule.UNSIGNED and (a.signed or b.signed):
        out = Port(out.name, out.width, True, SignRule.OPERANDS)
    return Interface(
        module=module.name,
        a=a,
        b=b,
        out=out,
        order_from=rule,
        parameters=dict(module.parameters),
        front_end=read.front_end,
        clocking=clocking,
        format=form,
    )


def _check_directions(module: ModuleDeclaration, path: Path) -> None:
    for port in module.ports:
        if port.direction == "inout":
            raise InterfaceError(
                f"{path}: port {port.name!r} of module {module.name!r} is an inout",
                expected="inputs for the operands and an output for the product",
                remedy="wrap the multiplier in a module with plain inputs and outputs",
            )


def _output(
    module: ModuleDeclaration, sidecar: Sidecar, clocking: Clocking | None, path: Path
) -> PortDeclaration:
    outputs = [port for port in module.ports if port.direction == "output"]
    if "out" in sidecar.ports:
        return _named(outputs, sidecar.ports["out"], "output", path)
    if clocking is not None:
        # What says whether there is a product is not the product; it stays open if it is not done.
        outputs = [
            port
            for port in outputs
            if port.name != clocking.done and not (port.width == 1 and done_like(port.name))
        ]
    if len(outputs) != 1:
        raise InterfaceError(
            f"{path}: module {module.name!r} has {'no output' if not outputs else 'several outputs'}",
            got=_listed(outputs) or "no output port",
            expected="one output that carries the product",
            remedy='add the output, or say which it is in the sidecar: [ports] out = "NAME"',
        )
    return outputs[0]


def _operands(
    module: ModuleDeclaration, sidecar: Sidecar, clocking: Clocking | None, path: Path
) -> tuple[PortDeclaration, PortDeclaration, OrderRule]:
    controls = () if clocking is None else clocking.inputs
    inputs = [
        port for port in module.ports if port.direction == "input" and port.name not in controls
    ]
    given = {role: sidecar.ports[role] for role in ("a", "b") if role in sidecar.ports}
    if len(inputs) != 2:
        raise _wrong_inputs(module, inputs, clocking, path)
    if given:
        chosen = {role: _named(inputs, name, "input", path) for role, name in given.items()}
        for role, other in (("a", "b"), ("b", "a")):
            if role not in chosen:
                chosen[role] = next(port for port in inputs if port is not chosen[other])
        if chosen["a"] is chosen["b"]:
            raise InterfaceError(
                f"{path}: the sidecar gives both operands the same port {given['a']!r}",
                expected="two different inputs",
            )
        return chosen["a"], chosen["b"], OrderRule.SIDECAR
    by_name = {port.name.lower(): port for port in inputs}
    for first, second in OPERAND_NAMES:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second], OrderRule.NAMES
    return inputs[0], inputs[1], OrderRule.DECLARATION


def _wrong_inputs(
    module: ModuleDeclaration,
    inputs: list[PortDeclaration],
    clocking: Clocking | None,
    path: Path,
) -> InterfaceError:
    if len(inputs) > 2 and clocking is not None:
        remedy = (
            f"the clock is {clocking.clock!r}; say in the sidecar's [clock] which of these are "
            'reset and start, and list inputs that keep one level: enables = ["PORT"], or '
            '{port = "PORT", active = "low"} for one that stays 0'
        )
    elif len(inputs) > 2 and (controls := control_like(port.name for port in inputs)):
        remedy = (
            f"{', '.join(controls)} looks like a control input; if one of these is a clock, say "
            'so in the sidecar: [clock] clock = "PORT"'
        )
    else:
        remedy = (
            "wrap the multiplier in a module with two inputs, tying any further input to a constant"
        )
    return InterfaceError(
        f"{path}: module {module.name!r} does not have two operands",
        got=_listed(inputs) or "no input port",
        expected="two inputs, one for each operand"
        + (" (besides clock and controls)" if clocking is not None else ""),
        remedy=remedy,
    )


def _check_widths(
    first: PortDeclaration,
    second: PortDeclaration,
    output: PortDeclaration,
    sidecar: Sidecar,
    path: Path,
) -> None:
    least = 1 if sidecar.format is not None else MIN_OPERAND_BITS
    for port in (first, second):
        if not least <= port.width <= MAX_OPERAND_BITS:
            raise InterfaceError(
                f"{path}: operand {port.name!r} is {port.width} bits wide",
                got=f"{first.width} x {second.width} bits",
                expected=f"{least} to {MAX_OPERAND_BITS} bits for each operand",
                remedy="build a variant of another width (a parameter in [variants])",
            )
    wide = max(first.width, second.width) > MAX_TABLE_OPERAND_BITS
    most = MAX_OUTPUT_BITS if wide else MAX_TABLE_OUTPUT_BITS
    if output.width > most:
        raise InterfaceError(
            f"{path}: output {output.name!r} is {output.width} bits wide",
            expected=f"at most {most} bits",
        )


def _format(
    first: PortDeclaration,
    second: PortDeclaration,
    output: PortDeclaration,
    sidecar: Sidecar,
    path: Path,
) -> FloatFormat | None:
    """Return the floating-point format of the ports, checked against their widths."""
    said = sidecar.format
    if said is None:
        return None
    if said.part is FloatPart.NUMBER:
        form, out = said, {said.width}
    else:
        mantissa = first.width - (said.part is FloatPart.SIGNIFICAND)
        form = FloatFormat(said.part, mantissa)
        out = {mantissa + 1} if said.part is FloatPart.MANTISSA else {output.width}
    widths = (first.width, second.width)
    if form.mantissa_bits < 1 or widths != (form.width, form.width) or output.width not in out:
        raise InterfaceError(
            f"{path}: the ports do not fit the sidecar's format, {said.part}",
            got=f"operands of {widths[0]} and {widths[1]} bits, output of {output.width}",
            expected=f"operands of {form.width} bits each, output of {', '.join(map(str, out))}",
        )
    if said.part is not FloatPart.NUMBER and not form.tabulable:
        raise InterfaceError(
            f"{path}: mantissas of {form.mantissa_bits} bits are too wide for a table",
            expected=f"at most {MAX_TABLE_MANTISSA_BITS} bits",
            remedy="leave format out of the sidecar: a wide integer multiplier is sampled",
        )
    return form


def _port(port: PortDeclaration, role: str, sidecar: Sidecar, named: bool | None) -> Port:
    if sidecar.format is not None:
        return Port(port.name, port.width, False, SignRule.SIDECAR)
    if role in sidecar.signed:
        return Port(port.name, port.width, sidecar.signed[role], SignRule.SIDECAR)
    if port.signed:
        return Port(port.name, port.width, True, SignRule.KEYWORD)
    if named is not None:
        return Port(port.name, port.width, named, SignRule.NAME)
    return Port(port.name, port.width, False, SignRule.UNSIGNED)


def _sign_from_name(*names: str) -> bool | None:
    """Read the field's naming scheme: mul8s_... is signed, mul8u_... unsigned, else unknown."""
    for name in names:
        rest = name.lower().removeprefix("mul")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789x"))]
        if rest != name.lower() and digits and _SIGN.match(rest, len(digits)):
            return rest[len(digits)] == "s"
    return None


def _named(ports: list[PortDeclaration], name: str, kind: str, path: Path) -> PortDeclaration:
    for port in ports:
        if port.name == name:
            return port
    raise unknown_name(
        name, [port.name for port in ports], kind=f"{kind} port (sidecar of {path}):"
    )


def _listed(ports: list[PortDeclaration]) -> str:
    return ", ".join(f"{port.name}[{port.width}]" for port in ports)
