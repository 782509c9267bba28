"""The characterization of a design: its table or sample, and everything that is known about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ..core.files import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..cosim.cost import Cost
    from ..cosim.interface import Interface, Latency
    from .decomposition import Decomposition
    from .float_metrics import FloatMetrics
    from .mantissa import MantissaTable
    from .metrics import ErrorMetrics
    from .rounding import Rounding
    from .sample import Sample
    from .sampled_float import SampledFloatMetrics
    from .sampled_metrics import SampledMetrics
    from .table import ProductTable

SCHEMA = 2
"""Number of the record's format; docs/record-format.md describes it."""

IDENTITY_SCHEMA = 1
"""Number of the identity's make-up. It changes only if what identifies a design changes: every
id changes with it, and checkpoints refuse the tables of before."""


class RecordKind(StrEnum):
    """What a record holds of a design's products."""

    TABLE = "table"
    """Every product of two integers."""
    SAMPLE = "sample"
    """Products of a sample of operand pairs: there are too many for a table."""
    MANTISSA = "mantissa"
    """Every product of two mantissas of a floating-point format."""


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


@dataclass(frozen=True, kw_only=True)
class Described(ABC):
    """What is known of a design whatever its kind.

    Attributes:
        name: the design's name.
        title: one line for people.
        citation: the publication of the circuit.
        interface: its ports.
        cost: its area, delay and power.
        provenance: where all this comes from.
        warnings: what the user should know (an output too narrow, ...).
        latency: when a clocked design's product appears; None for a combinational one.
    """

    kind: ClassVar[RecordKind]

    name: str
    title: str
    citation: str
    interface: Interface
    cost: Cost
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    latency: Latency | None = None

    @property
    @abstractmethod
    def content(self) -> Content:
        """The products that it holds."""

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes this characterization the one it is: ports, parameters, sources, products."""
        return identity(self.interface, self.provenance.sources, self.content)

    @property
    def id(self) -> str:
        """Hash of the identity, 64 hexadecimal digits."""
        return identity_hash(self.identity)


@dataclass(frozen=True, kw_only=True)
class Characterization(Described):
    """All that is known about a design that was simulated for every operand pair.

    Attributes:
        table: its products; the table's id is this characterization's.
        metrics: its error metrics.
    """

    kind = RecordKind.TABLE

    table: ProductTable
    metrics: ErrorMetrics

    @property
    def content(self) -> ProductTable:
        """Its table."""
        return self.table


@dataclass(frozen=True, kw_only=True)
class SampledCharacterization(Described):
    """All that is known about a design with too many operand pairs for a table.

    Attributes:
        sample: operand pairs and the design's outputs for them.
        metrics: estimates of its error metrics; relative ones for a floating-point format.
        netlist_pairs: operand pairs of the sample for which the mapped netlist was evaluated and
            found equal to the simulation; 0 without a netlist. A sample is no proof.
    """

    kind = RecordKind.SAMPLE

    sample: Sample
    metrics: SampledMetrics | SampledFloatMetrics
    netlist_pairs: int = 0

    @property
    def content(self) -> Sample:
        """Its sample."""
        return self.sample


@dataclass(frozen=True, kw_only=True)
class MantissaCharacterization(Described):
    """All that is known about a floating-point multiplier that has a mantissa table.

    Attributes:
        table: its mantissas and carries; the table's id is this characterization's.
        metrics: relative errors over every pair of mantissas.
        rounding: how its mantissas compare with those of the exact products.
        decomposition: for a multiplier of complete numbers, how it was checked that sign, exponent
            and mantissa are computed apart, and what it does with special operands.
    """

    kind = RecordKind.MANTISSA

    table: MantissaTable
    metrics: FloatMetrics
    rounding: Rounding
    decomposition: Decomposition | None = None

    @property
    def content(self) -> MantissaTable:
        """Its table."""
        return self.table


Content: TypeAlias = "ProductTable | Sample | MantissaTable"
AnyCharacterization: TypeAlias = (
    Characterization | SampledCharacterization | MantissaCharacterization
)


def identity(
    interface: Interface, sources: tuple[SourceHash, ...], content: Content
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
        # "table", "sample" or "mantissa".
        content.identity_key: content.content_hash,
    }


def identity_hash(content: Mapping[str, Any]) -> str:
    """Return the id that belongs to an identity."""
    return sha256_bytes(canonical_json(content).encode())
