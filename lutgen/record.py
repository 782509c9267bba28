"""The characterization of a design: its table, and everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.files import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..cosim.cost import Cost
    from ..cosim.interface import Interface
    from .metrics import ErrorMetrics
    from .table import ProductTable

SCHEMA = 1
"""Number of the record's format; docs/record-format.md describes it."""

IDENTITY_SCHEMA = 1
"""Number of the identity's make-up. It changes only if what identifies a design changes: every
id changes with it, and checkpoints refuse the tables of before."""


@dataclass(frozen=True, slots=True)
class SourceHash:
    """One file that a design was read from.

    Attributes:
        path: as named by the user for the design's own file; relative to that file's folder for
            an included one.
        sha256: hash of its content.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a characterization comes from.

    Attributes:
        sources: the design's own file first, then the included ones.
        sidecar_sha256: hash of the sidecar, empty if there is none.
        testbench_sha256: hash of the testbench that swept it.
        work_key: hash of all that the work depends on besides the sources.
        tools: versions of the tools, by name.
        created_utc: when it was made, ISO 8601.
    """

    sources: tuple[SourceHash, ...]
    sidecar_sha256: str
    testbench_sha256: str
    work_key: str
    tools: Mapping[str, str]
    created_utc: str


@dataclass(frozen=True)
class Characterization:
    """All that is known about one design.

    Attributes:
        name: the design's name.
        title: one line for people.
        citation: the publication of the circuit.
        interface: its ports.
        table: its products; the table's id is this characterization's.
        metrics: its error metrics.
        cost: its area, delay and power.
        provenance: where all this comes from.
        warnings: what the user should know (an output too narrow, ...).
    """

    name: str
    title: str
    citation: str
    interface: Interface
    table: ProductTable
    metrics: ErrorMetrics
    cost: Cost
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes this characterization the one it is: ports, parameters, sources, table."""
        return identity(self.interface, self.provenance.sources, self.table)

    @property
    def id(self) -> str:
        """Hash of the identity, 64 hexadecimal digits."""
        return identity_hash(self.identity)


def identity(
    interface: Interface, sources: tuple[SourceHash, ...], table: ProductTable
) -> dict[str, Any]:
    """Return the identity as plain data: contents count, names of files and designs do not."""
    ports = {
        role: {"name": port.name, "width": port.width, "signed": port.signed}
        for role, port in (("a", interface.a), ("b", interface.b), ("out", interface.out))
    }
    return {
        "schema": IDENTITY_SCHEMA,
        "module": interface.module,
        "ports": ports,
        "parameters": dict(interface.parameters),
        "sources": [source.sha256 for source in sources],
        "table": table.content_hash,
    }


def identity_hash(content: Mapping[str, Any]) -> str:
    """Return the id that belongs to an identity."""
    return sha256_bytes(canonical_json(content).encode())
