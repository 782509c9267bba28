"""Gathers what the catalogue shows from a store; a damaged record costs only itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from ...core.errors import ConfigError, RecordError, RtlgradError
from ...core.files import sha256_file
from ..float_metrics import mantissa_errors
from ..record import Characterization, MantissaCharacterization
from ..store import RECORD_FILE, load, stored_names
from .figures import Figure, absence, figure_values, figures_of
from .heatmap import HeatMap, error_map, heat_map
from .histogram import Histogram, histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...cosim.cost import Cost
    from ...cosim.interface import Interface
    from ..record import AnyCharacterization, Provenance, SourceHash

SourceState = Literal["unchanged", "changed", "not found"]


@dataclass(frozen=True, slots=True)
class SourceLink:
    """A file that a design was read from, as it is now.

    Attributes:
        source: its path and hash in the record.
        href: its URL relative to the page; empty where it was not found.
        state: whether its content is still what the record's hash says.
    """

    source: SourceHash
    href: str
    state: SourceState


@dataclass(frozen=True)
class Entry:
    """One design of the catalogue: its characterization without the table, and pictures of that.

    Attributes:
        name: as in its record, and so are title, citation, interface, cost, provenance and
            warnings.
        title: one line for people.
        citation: the publication of the circuit.
        interface: its ports.
        cost: its area, delay, power and cells.
        provenance: where the record comes from.
        warnings: what the user should know.
        id: of the characterization.
        table_sha256: content hash of the table.
        folder: name of its folder in the store.
        anchor: id of its section in the page.
        record_href: URL of its record relative to the page.
        sources: its files.
        values: its figures by key; None where one could not be had.
        reasons: for each figure that is None: why.
        heat: its error over (a, b); None for a design that is too wide for a table.
        errors: how often each error occurs; None likewise.
    """

    name: str
    title: str
    citation: str
    interface: Interface
    cost: Cost
    provenance: Provenance
    warnings: tuple[str, ...]
    id: str
    table_sha256: str
    folder: str
    anchor: str
    record_href: str
    sources: tuple[SourceLink, ...]
    values: Mapping[str, float | int | None]
    reasons: Mapping[str, str]
    heat: HeatMap | None
    errors: Histogram | None

    @property
    def kind(self) -> str:
        """Its operands in words; only designs of one kind are compared."""
        return operand_kind(self.interface)

    @property
    def library(self) -> str:
        """SHA-256 of the cell library that its cost is from; empty if there is none."""
        return self.cost.library_sha256

    def axis_value(self, key: str) -> float:
        """Return a figure that it has as the distance from the axis: without a sign."""
        value = self.values[key]
        if value is None:
            raise KeyError(key)
        return abs(value)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that could not be read.

    Attributes:
        name: its folder in the store.
        reason: what is wrong with it.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """All that a page shows.

    Attributes:
        store: the folder that was read, as named by the user.
        entries: the designs, by name of their folders.
        skipped: the records that could not be read.
    """

    store: str
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The figures that any of the designs has."""
        return figures_of(entry.values for entry in self.entries)


def collect(store: Path, page_folder: Path) -> Catalogue:
    """Read every characterization of a store.

    Args:
        store: the folder with the characterizations.
        page_folder: where the page will lie; links are relative to it.

    Raises:
        ConfigError: there is no record in the store.
        RecordError: there are records, and none of them can be read.
    """
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    for name in stored_names(store):
        try:
            made = load(store / name)
        except RtlgradError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        entries.append(_entry(made, store / name, page_folder, len(entries)))
    if not entries and not skipped:
        raise ConfigError(
            f"there is no characterized design in {store}",
            expected="folders with a record.json, as rtlgrad lut makes them",
            remedy="characterize designs first (rtlgrad lut), or name another folder with --store",
        )
    if not entries:
        raise RecordError(
            f"none of the {len(skipped)} records in {store} can be read",
            got=skipped[0].reason,
            remedy="make them again: rtlgrad lut --force",
        )
    return Catalogue(str(store), tuple(entries), tuple(skipped))


def operand_kind(interface: Interface) -> str:
    """Say widths and signs of the operands: "8x8 unsigned", "8x4, a signed, b unsigned"."""
    if interface.format is not None:
        return str(interface.format)
    a, b = interface.a, interface.b
    words = {True: "signed", False: "unsigned"}
    if a.signed == b.signed:
        return f"{a.width}x{b.width} {words[a.signed]}"
    return f"{a.width}x{b.width}, a {words[a.signed]}, b {words[b.signed]}"


def relative_url(target: Path, page_folder: Path) -> str:
    """Return the URL of a file relative to the page's folder, with every odd character coded."""
    path = os.path.relpath(target.resolve(), page_folder.resolve())
    return quote(Path(path).as_posix(), safe="/")


def _entry(made: AnyCharacterization, folder: Path, page_folder: Path, index: int) -> Entry:
    values = figure_values(made)
    heat, errors = _pictures(made)
    return Entry(
        name=made.name,
        title=made.title,
        citation=made.citation,
        interface=made.interface,
        cost=made.cost,
        provenance=made.provenance,
        warnings=made.warnings,
        id=made.id,
        table_sha256=made.content.content_hash,
        folder=folder.name,
        anchor=_anchor(folder.name, index),
        record_href=relative_url(folder / RECORD_FILE, page_folder),
        sources=_source_links(made.provenance, page_folder),
        values=values,
        reasons={key: absence(made, key) for key, value in values.items() if value is None},
        heat=heat,
        errors=errors,
    )


def _pictures(made: AnyCharacterization) -> tuple[HeatMap | None, Histogram | None]:
    if isinstance(made, Characterization):
        return heat_map(made.table), histogram(made.table.error)
    if isinstance(made, MantissaCharacterization):
        error = mantissa_errors(made.table)
        return error_map(error), histogram(error)
    return None, None


def _anchor(name: str, index: int) -> str:
    # An id may hold no space, and a link to it should need no coding.
    return f"design-{name}" if re.fullmatch(r"[\w.-]+", name, re.ASCII) else f"number-{index + 1}"


def _source_links(provenance: Provenance, page_folder: Path) -> tuple[SourceLink, ...]:
    links = []
    own = Path()
    for index, source in enumerate(provenance.sources):
        # Included files are named relative to the folder of the design's own file.
        path = Path(source.path) if index == 0 else own.parent / source.path
        own = path if index == 0 else own
        state = _state(path, source)
        href = "" if state == "not found" else relative_url(path, page_folder)
        links.append(SourceLink(source, href, state))
    return tuple(links)


def _state(path: Path, source: SourceHash) -> SourceState:
    try:
        return "unchanged" if sha256_file(path) == source.sha256 else "changed"
    except OSError:
        return "not found"
