"""The first front end: pyverilog, for Verilog-2001."""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InterfaceError, RtlgradError
from ...core.files import cache_folder, write_atomic
from ..programs.tools import missing_package, package_version
from ..reading.sources import LINE_MARKER
from .constants import evaluate
from .declaration import CannotReadError, ModuleDeclaration, PortDeclaration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TABLES = "parsetab.py"
_DIRECTIONS = {"Input": "input", "Output": "output", "Inout": "inout"}


class PyverilogUnit:
    """A source text parsed by pyverilog."""

    front_end = "pyverilog"

    def __init__(self, text: str) -> None:
        """Parse preprocessed Verilog; pyverilog does not know `line markers.

        Raises:
            CannotReadError: pyverilog does not accept the text.
        """
        self._modules = {
            _unescaped(node.name): node
            for node in _parse(LINE_MARKER.sub("", text))
            if _kind(node) == "ModuleDef"
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """All modules of the text, in order of declaration."""
        return tuple(self._modules)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Modules that no other module of the text instantiates."""
        used = {
            _unescaped(node.module)
            for definition in self._modules.values()
            for node in _walk(definition)
            if _kind(node) == "InstanceList"
        }
        return tuple(name for name in self._modules if name not in used)

    def declare(self, module: str, overrides: Mapping[str, int]) -> ModuleDeclaration:
        """Resolve one module; see `SourceUnit.declare`."""
        definition = self._modules[module]
        parameters, values = _parameters(definition, overrides)
        return ModuleDeclaration(module, tuple(_ports(definition, values)), parameters)


@cache
def _parser() -> Any:
    # Building the parser's tables takes most of a second: they are kept in the user's cache.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version file open
            from pyverilog.vparser.parser import VerilogParser
    except ImportError as error:
        raise missing_package("pyverilog") from error
    kept = cache_folder() / f"pyverilog-{package_version('pyverilog')}"
    with tempfile.TemporaryDirectory() as folder, _quiet():
        try:
            with _importable(kept):
                parser = VerilogParser(outputdir=folder, debug=False)
        except Exception:  # whatever a damaged table file may raise when it is imported
            parser = VerilogParser(outputdir=folder, debug=False)
        made = Path(folder) / _TABLES
        if made.exists():
            with contextlib.suppress(RtlgradError):  # a cache that cannot be written is no cache
                write_atomic(kept / _TABLES, made.read_bytes())
    return parser


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    # The parser generator looks for its tables as a module in the parser's own package.
    import pyverilog.vparser as package

    package.__path__.append(str(folder))
    try:
        yield
    finally:
        package.__path__.remove(str(folder))
        sys.modules.pop("pyverilog.vparser.parsetab", None)


def _parse(text: str) -> tuple[Any, ...]:
    parser = _parser()
    from pyverilog.vparser.parser import ParseError

    try:
        with _quiet():
            source = parser.parse(text)
    except ParseError as error:
        raise CannotReadError("pyverilog: syntax error") from error
    except Exception as error:
        # On text that it half knows it fails in many ways, an AttributeError among them.
        raise CannotReadError(f"pyverilog: {type(error).__name__}") from error
    return tuple(source.description.definitions)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # PLY announces its tables and conflicts on both streams.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _unescaped(name: str) -> str:
    # The backslash marks an escaped identifier; it is no part of the name.
    return name.removeprefix("\\")


def _kind(node: Any) -> str:
    return type(node).__name__


def _walk(node: Any) -> Iterator[Any]:
    # Not by recursion: a sum of a thousand terms is a thousand levels deep.
    pending = list(node.children())
    while pending:
        child = pending.pop()
        yield child
        pending += child.children()


def _parameters(
    definition: Any, overrides: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the overridable parameters, and these together with the local ones."""
    overridable: dict[str, int] = {}
    values: dict[str, int] = {}
    in_head = set(_flat(definition.paramlist.params)) if definition.paramlist is not None else set()
    for node in _declarations(definition):
        if _kind(node) not in ("Parameter", "Localparam"):
            continue
        # Where the head lists parameters, those of the body cannot be overridden.
        may_override = _kind(node) == "Parameter" and (not in_head or node in in_head)
        if may_override and node.name in overrides:
            values[node.name] = _fitting(overrides[node.name], node, values)
        else:
            with contextlib.suppress(CannotReadError):  # a parameter that no port depends on
                values[node.name] = _fitting(evaluate(node.value, values), node, values)
        if may_override and node.name in values:
            overridable[node.name] = values[node.name]
    unknown = sorted(set(overrides) - set(overridable))
    if unknown:
        raise InterfaceError(
            f"module {definition.name!r} has no parameter {unknown[0]!r}",
            expected=f"one of {', '.join(overridable)}" if overridable else "it has no parameters",
        )
    return overridable, values


def _fitting(value: int, node: Any, values: Mapping[str, int]) -> int:
    """Return the value of a parameter if its range holds it; else Verilog would cut it."""
    if node.width is None:
        return value
    bits = _width(node.width, values)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if node.signed else (0, 1 << bits)
    if not low <= value < high:
        raise CannotReadError(f"pyverilog: parameter {node.name} is too narrow for {value}")
    return value


def _declarations(definition: Any) -> Iterator[Any]:
    """Yield parameter, port and net declarations: those of the header, then of the body."""
    if definition.paramlist is not None:
        yield from _flat(definition.paramlist.params)
    if definition.portlist is not None:
        yield from definition.portlist.ports
    yield from _flat(definition.items or ())


def _flat(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        if _kind(node) == "Decl":
            yield from _flat(node.list)
        else:
            yield node


def _ports(definition: Any, values: Mapping[str, int]) -> Iterator[PortDeclaration]:
    declared: dict[str, Any] = {}
    signed: set[str] = set()
    for node in _declarations(definition):
        if _kind(node) == "Ioport":
            declared[node.first.name] = node.first
            if getattr(node.second, "signed", False):
                signed.add(node.first.name)
        elif _kind(node) in _DIRECTIONS:
            declared[node.name] = node
        elif _kind(node) in ("Reg", "Wire", "Logic") and node.signed:
            signed.add(node.name)
    ports = definition.portlist.ports if definition.portlist is not None else ()
    signed |= _carried_on(ports, signed)
    for port in ports:
        name = port.first.name if _kind(port) == "Ioport" else port.name
        if name not in declared:
            raise CannotReadError(f"pyverilog: port {name} has no direction")
        node = declared[name]
        if getattr(node, "dimensions", None) is not None:
            raise CannotReadError(f"pyverilog: port {name} is an array")
        yield PortDeclaration(
            name=_unescaped(name),
            direction=_DIRECTIONS[_kind(node)],
            width=_width(node.width, values),
            signed=bool(node.signed) or name in signed,
        )


def _carried_on(ports: Sequence[Any], signed: set[str]) -> set[str]:
    """Return the names that are signed because the name before is: ``input signed [3:0] A, B``.

    pyverilog gives B the direction and the very range of A, but forgets the keyword; after
    ``output wire`` it forgets the direction too.
    """
    found: set[str] = set()
    for before, port in itertools.pairwise(ports):
        if before is None or port is None:
            raise CannotReadError("pyverilog: a port without direction")
        if _kind(port) != "Ioport" or _kind(before) != "Ioport" or port.second is not None:
            continue
        is_signed = before.first.signed or before.first.name in signed | found
        if port.first.width is None and is_signed and not port.first.signed:
            raise CannotReadError("pyverilog: whether a port is signed is lost")
        if port.first.width is not None:
            sharing = [one for one in ports if one.first.width is port.first.width]
            if port is not sharing[0] and before not in sharing:
                raise CannotReadError("pyverilog: the direction of a port is lost")
            if port is not sharing[0] and is_signed:
                found.add(port.first.name)
    return found


def _width(node: Any, values: Mapping[str, int]) -> int:
    if node is None:
        return 1
    return abs(evaluate(node.msb, values) - evaluate(node.lsb, values)) + 1
