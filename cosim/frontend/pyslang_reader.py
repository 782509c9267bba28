"""The second front end: pyslang, for SystemVerilog and all that pyverilog does not parse."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...core.errors import InterfaceError
from ..programs.tools import missing_package
from .declaration import CannotReadError, ModuleDeclaration, PortDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTIONS = {"In": "input", "Out": "output", "InOut": "inout"}


class PyslangUnit:
    """A source text parsed by pyslang."""

    front_end = "pyslang"

    def __init__(self, text: str) -> None:
        """Parse preprocessed SystemVerilog; its `line markers tell where an error is.

        Raises:
            CannotReadError: pyslang does not accept the text.
        """
        try:
            from pyslang import syntax
        except ImportError as error:
            raise missing_package("pyslang") from error
        self._tree = syntax.SyntaxTree.fromText(text, "design.sv")
        for item in self._tree.diagnostics:
            if item.isError():
                raise CannotReadError(f"pyslang: {_described(self._tree.sourceManager, item)}")

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """All modules of the text, in order of declaration."""
        return tuple(
            node.header.name.valueText
            for node in self._members
            if node.kind.name == "ModuleDeclaration"
        )

    @property
    def candidates(self) -> tuple[str, ...]:
        """Modules that no other module of the text instantiates."""
        tops = {instance.name for instance in self._elaborate(None, {}).topInstances}
        return tuple(name for name in self.modules if name in tops)

    def declare(self, module: str, overrides: Mapping[str, int]) -> ModuleDeclaration:
        """Resolve one module; see `SourceUnit.declare`."""
        tops = self._elaborate(module, overrides).topInstances
        if not tops:
            raise CannotReadError(f"pyslang: {module} cannot be elaborated on its own")
        body = tops[0].body
        parameters = _overridable(body)
        unknown = sorted(set(overrides) - set(parameters))
        if unknown:
            raise InterfaceError(
                f"module {module!r} has no parameter {unknown[0]!r}",
                expected=f"one of {', '.join(parameters)}"
                if parameters
                else "it has no parameters",
            )
        return ModuleDeclaration(module, tuple(_port(port) for port in body.portList), parameters)

    @property
    def _members(self) -> list[Any]:
        root: Any = self._tree.root
        return list(root.members) if root.kind.name == "CompilationUnit" else [root]

    def _elaborate(self, module: str | None, overrides: Mapping[str, int]) -> Any:
        import pyslang
        from pyslang import ast

        options = ast.CompilationOptions()
        if module is not None:
            options.topModules = {module}
        options.paramOverrides = [f"{name}={value}" for name, value in overrides.items()]
        compilation = ast.Compilation(pyslang.Bag([options]))
        compilation.addSyntaxTree(self._tree)
        return compilation.getRoot()


def _described(manager: Any, item: Any) -> str:
    import pyslang

    report = pyslang.DiagnosticEngine.reportAll(manager, [item]).splitlines()
    message = report[0].split(" error: ", 1)[-1] if report else "syntax error"
    # The manager shortens paths in its report, as seen from the current folder.
    place = f"{manager.getFileName(item.location)}:{manager.getLineNumber(item.location)}"
    return f"{place}: {message}"


def _overridable(body: Any) -> dict[str, int]:
    values: dict[str, int] = {}
    for parameter in body.parameters:
        value = getattr(parameter, "value", None)
        if parameter.isLocalParam or value is None:
            continue
        if type(value.value).__name__ == "SVInt" and not value.value.hasUnknown:
            values[parameter.name] = int(value.value)
    return values


def _port(port: Any) -> PortDeclaration:
    kind = getattr(port, "type", None)
    if kind is None or not kind.isIntegral or port.direction.name not in _DIRECTIONS:
        raise InterfaceError(
            f"port {port.name!r} is not a vector of bits",
            got=str(kind),
            expected="input or output ports of integral type",
            remedy="wrap the multiplier in a module with plain vector ports",
        )
    return PortDeclaration(
        name=port.name,
        direction=_DIRECTIONS[port.direction.name],
        width=int(kind.bitWidth),
        signed=bool(kind.isSigned),
    )
