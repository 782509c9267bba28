"""What a front end finds in a source text: modules and their ports, before any role is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PortDeclaration:
    """One port as declared.

    Attributes:
        name: its name.
        direction: "input", "output" or "inout".
        width: bits, with the parameters resolved.
        signed: whether it carries the ``signed`` keyword (or a signed type).
    """

    name: str
    direction: str
    width: int
    signed: bool


@dataclass(frozen=True, slots=True)
class ModuleDeclaration:
    """A module with its parameters resolved.

    Attributes:
        name: its name.
        ports: in order of declaration.
        parameters: the overridable ones with the values that they take here.
    """

    name: str
    ports: tuple[PortDeclaration, ...]
    parameters: Mapping[str, int]


class SourceUnit(Protocol):
    """A parsed source text."""

    @property
    def front_end(self) -> str:
        """Name of the parser."""
        ...

    @property
    def candidates(self) -> tuple[str, ...]:
        """Modules that no other module of the text instantiates, in order of declaration."""
        ...

    @property
    def modules(self) -> tuple[str, ...]:
        """All modules of the text, in order of declaration."""
        ...

    def declare(self, module: str, overrides: Mapping[str, int]) -> ModuleDeclaration:
        """Resolve one module under parameter overrides.

        Raises:
            CannotReadError: the text is beyond this front end.
            InterfaceError: an override names a parameter that the module does not have.
        """
        ...


class CannotReadError(Exception):
    """A front end does not understand the text; another one may."""
