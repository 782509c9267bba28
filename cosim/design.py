"""Designs: a Verilog file, a variant of it, and what reading it found out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, DesignError, SidecarError
from ..core.names import unknown_name
from .reading.binding import bind
from .reading.joined import has_two_outputs, joined
from .reading.reader import read_in_child
from .reading.sidecar import Sidecar, read_sidecar
from .reading.sources import Sources, read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .interface import Interface

SUFFIXES = (".v", ".sv")


@dataclass(frozen=True, slots=True)
class DesignReference:
    """Names a design without having parsed it.

    Attributes:
        name: unique name: the variant's, or the file's stem.
        path: the Verilog file.
        overrides: parameter overrides of the variant.
        sidecar: what the file's sidecar says.
    """

    name: str
    path: Path
    overrides: Mapping[str, int]
    sidecar: Sidecar


@dataclass(frozen=True, slots=True)
class Design:
    """A design that was read and whose ports are bound.

    Attributes:
        reference: which one.
        sources: its text and files.
        interface: its ports and their roles.
    """

    reference: DesignReference
    sources: Sources
    interface: Interface

    @property
    def name(self) -> str:
        """The design's unique name."""
        return self.reference.name

    @property
    def path(self) -> Path:
        """The Verilog file."""
        return self.reference.path


def references(path: Path) -> list[DesignReference]:
    """Return the designs of one Verilog file: its variants, or the file itself.

    Raises:
        SidecarError: the sidecar is wrong.
    """
    sidecar = read_sidecar(path)
    if not sidecar.variants:
        return [DesignReference(path.stem, path, {}, sidecar)]
    return [
        DesignReference(name, path, dict(overrides), sidecar)
        for name, overrides in sidecar.variants.items()
    ]


def variant(path: Path, overrides: Mapping[str, int]) -> DesignReference:
    """Return a variant of a Verilog file that its sidecar does not list, called STEM_K6.

    Raises:
        SidecarError: the sidecar is wrong.
    """
    name = "_".join([path.stem, *(f"{key}{value}" for key, value in sorted(overrides.items()))])
    return DesignReference(name, path, dict(overrides), read_sidecar(path))


def verilog_files(folder: Path) -> list[Path]:
    """Return the Verilog files of a folder that are designs, sorted by name.

    Sub-folders hold includes. A file that another one's sidecar lists is a part of that design.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"no folder {folder}",
            expected="a folder with Verilog multipliers",
            remedy="run in a checkout, or name the folder with --rtl",
        )
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    parts = {(folder / name).resolve() for path in files for name in _listed(path)}
    return [path for path in files if path.resolve() not in parts]


def _listed(path: Path) -> tuple[str, ...]:
    try:
        return tuple(name for name in read_sidecar(path).files if (path.parent / name) != path)
    except SidecarError:  # told when the design itself is read
        return ()


def check_unique(designs: Sequence[DesignReference]) -> None:
    """Check that no two designs have one name: each needs a folder of its own.

    Raises:
        DesignError: two have.
    """
    seen: dict[str, DesignReference] = {}
    for design in designs:
        other = seen.setdefault(design.name, design)
        if other is not design:
            raise DesignError(
                f"two designs are called {design.name!r}",
                got=f"{other.path} and {design.path}",
                remedy="rename one file, or one variant in its sidecar",
            )


def pick_design(name: str, designs: Sequence[DesignReference]) -> DesignReference:
    """Return the design of that name.

    Raises:
        UnknownNameError: there is none; a file's stem suggests its variants.
    """
    for design in designs:
        if design.name == name:
            return design
    variants = [design.name for design in designs if design.path.stem == name]
    remedy = f"{name} has variants: {', '.join(variants)}" if variants else None
    raise unknown_name(name, [design.name for design in designs], kind="design", remedy=remedy)


def read_design(reference: DesignReference) -> Design:
    """Read a design's sources and bind its ports.

    Raises:
        DesignError: it cannot be read, or is not a multiplier that can be tabulated.
    """
    return bind_design(reference, read_sources(reference.path, reference.sidecar.files))


def bind_design(reference: DesignReference, sources: Sources) -> Design:
    """Find a design's multiplier in its text and bind its ports; no file is read.

    Raises:
        DesignError: the text cannot be parsed, or is not a multiplier.
    """
    module = read_in_child(
        sources.text,
        reference.path,
        top=reference.sidecar.top,
        overrides=reference.overrides,
        own=sources.own_modules,
    )
    sidecar = reference.sidecar
    if has_two_outputs(sidecar):
        module, sidecar, text = joined(module, sidecar, reference.path)
        sources = replace(sources, text=sources.text + text)
    return Design(reference, sources, bind(module, sidecar, reference.path))
