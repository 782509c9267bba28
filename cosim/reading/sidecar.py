"""The sidecar ``<stem>.toml``: what a Verilog file cannot say about itself.

Every key is optional::

    title = "Truncated array multiplier"
    citation = "who published it, where, when"
    top = "mul8u_trunc"            # which module is the multiplier
    files = ["pkg.sv", "adder.v"]  # further files of the design, packages first
    signed = true                  # all three ports; or a table [signed] with a, b, out
    format = "bfloat16"            # a floating-point multiplier: what its ports carry
    [ports]                        # which port plays which role
    a = "A"
    b = "B"
    out = "O"
    [clock]                        # a clocked multiplier: see sidecar_clock.py
    clock = "clk"
    [variants.mul8u_trunc6]        # a design of its own: name, then parameter overrides
    K = 6
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.errors import SidecarError
from ...core.files import sha256_bytes
from ...core.names import nearest
from ..float_format import (
    KNOWN_FORMATS,
    MAX_EXPONENT_BITS,
    MAX_FORMAT_MANTISSA_BITS,
    MIN_EXPONENT_BITS,
    FloatFormat,
    FloatPart,
    number_format,
)
from .sidecar_clock import ClockTable, read_clock_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROLES = ("a", "b", "out")
CARRY = "carry"
"""The further output of a multiplier of mantissas, where the carry has a port of its own."""
_KEYS = ("title", "citation", "top", "files", "signed", "format", "ports", "clock", "variants")
_DESIGN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a sidecar; an absent sidecar is an empty one.

    Attributes:
        title: one line for people.
        citation: the publication of the circuit.
        top: name of the top module, or None to find it.
        files: further source files, relative to the sidecar's folder, in the order to read them.
        signed: role -> whether two's complement, for the roles it names.
        format: what the ports of a floating-point multiplier carry; None for integers.
        ports: role -> port name, for the roles it names; "carry" among them where a multiplier
            of mantissas has an output for it.
        clock: what the table [clock] says; None if there is none.
        variants: design name -> parameter overrides; empty for a file that is one design.
        sha256: hash of the file's text, empty if there is none.
    """

    title: str = ""
    citation: str = ""
    top: str | None = None
    signed: Mapping[str, bool] = field(default_factory=dict)
    format: FloatFormat | None = None
    ports: Mapping[str, str] = field(default_factory=dict)
    clock: ClockTable | None = None
    variants: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sha256: str = ""
    files: tuple[str, ...] = ()


def read_sidecar(verilog: Path) -> Sidecar:
    """Read the sidecar of a Verilog file, if it has one.

    Raises:
        SidecarError: it is not TOML, or has a key or value that makes no sense.
    """
    path = verilog.with_suffix(".toml")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Sidecar()
    except OSError as error:
        raise SidecarError(f"cannot read {path}", got=error.strerror) from error
    try:
        content = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SidecarError(f"{path} is not valid TOML", got=error) from error
    _check_keys(path, content, _KEYS, "")
    form = _format(path, content)
    return Sidecar(
        title=_typed(path, content, "title", str, ""),
        citation=_typed(path, content, "citation", str, ""),
        top=_typed(path, content, "top", str, None),
        signed=_signed(path, content.get("signed", {})),
        format=form,
        ports=_ports(path, content.get("ports", {}), form),
        clock=read_clock_table(path, content.get("clock")),
        variants=_variants(path, content.get("variants", {})),
        sha256=sha256_bytes(data),
        files=_files(path, content.get("files", [])),
    )


def _check_keys(path: Path, table: Mapping[str, Any], legal: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in legal:
            near = nearest(key, legal)
            raise SidecarError(
                f"{path}: unknown key {where + key!r}",
                expected=f"one of {', '.join(legal)}",
                remedy=f"did you mean {near!r}?" if near else None,
            )


def _typed(path: Path, table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if value is not default and type(value) is not kind:
        raise SidecarError(
            f"{path}: {key} is of the wrong type", got=repr(value), expected=kind.__name__
        )
    return value


def _files(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(type(name) is str and name for name in value):
        raise SidecarError(
            f"{path}: files is of the wrong type",
            got=repr(value),
            expected='a list of file names, for example files = ["pkg.sv", "adder.v"]',
        )
    return tuple(dict.fromkeys(value))


def _signed(path: Path, value: Any) -> dict[str, bool]:
    if isinstance(value, bool):
        return dict.fromkeys(ROLES, value)
    if not isinstance(value, dict) or not all(isinstance(sign, bool) for sign in value.values()):
        raise SidecarError(
            f"{path}: signed is of the wrong type",
            got=repr(value),
            expected="true, false, or a table with a, b and out",
        )
    _check_keys(path, value, ROLES, "signed.")
    return value


def _format(path: Path, content: Mapping[str, Any]) -> FloatFormat | None:
    value = content.get("format")
    if value is None:
        return None
    if content.get("signed"):
        raise SidecarError(
            f"{path}: format and signed do not go together",
            expected="bit patterns: the format says what is a sign",
            remedy="leave signed out",
        )
    if isinstance(value, str):
        if value in (FloatPart.SIGNIFICAND, FloatPart.MANTISSA):
            return FloatFormat(FloatPart(value))
        if value in KNOWN_FORMATS:
            return number_format(*KNOWN_FORMATS[value])
    if isinstance(value, dict) and all(type(bits) is int for bits in value.values()):
        legal = ("exponent", "mantissa")
        _check_keys(path, value, legal, "format.")
        exponent, mantissa = (value.get(key, 0) for key in legal)
        if (
            MIN_EXPONENT_BITS <= exponent <= MAX_EXPONENT_BITS
            and 1 <= mantissa <= MAX_FORMAT_MANTISSA_BITS
        ):
            return number_format(exponent, mantissa)
    raise SidecarError(
        f"{path}: format is not one that is known",
        got=repr(value),
        expected=f"{FloatPart.SIGNIFICAND}, {FloatPart.MANTISSA}, {', '.join(KNOWN_FORMATS)}, or "
        f"{{exponent = {MIN_EXPONENT_BITS} to {MAX_EXPONENT_BITS}, mantissa = 1 to "
        f"{MAX_FORMAT_MANTISSA_BITS}}}",
    )


def _ports(path: Path, value: Any, form: FloatFormat | None) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise SidecarError(
            f"{path}: ports is of the wrong type",
            got=repr(value),
            expected="a table of role = port name, with roles a, b, out",
        )
    of_mantissas = form is not None and form.part is FloatPart.MANTISSA
    _check_keys(path, value, (*ROLES, CARRY) if of_mantissas else ROLES, "ports.")
    if CARRY in value and "out" not in value:
        raise SidecarError(
            f"{path}: ports names the carry but not the mantissa", remedy='add out = "PORT"'
        )
    return value


def _variants(path: Path, value: Any) -> dict[str, dict[str, int]]:
    if not isinstance(value, dict):
        raise SidecarError(
            f"{path}: variants is of the wrong type",
            got=repr(value),
            expected="tables [variants.NAME]",
        )
    for name, parameters in value.items():
        if not _DESIGN_NAME.match(name):
            raise SidecarError(
                f"{path}: {name!r} cannot name a design",
                expected="a letter, then letters, digits, '_', '.' or '-'",
            )
        if not isinstance(parameters, dict) or not all(type(v) is int for v in parameters.values()):
            raise SidecarError(
                f"{path}: variant {name!r} is of the wrong type",
                got=repr(parameters),
                expected="parameter = integer",
            )
    return value
