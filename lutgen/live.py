"""The RTL behind a stored table, simulated live, and asked for what the table holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ConfigError, DesignError, IdentityError
from ..cosim.design import SUFFIXES, read_design
from ..cosim.float_format import FloatPart
from ..cosim.simulation.live import LiveMultiplier
from .findings import Verdict
from .freshness import source_hashes
from .mantissa import MantissaTable, significand_codes
from .trace import source_findings, source_path, stored_reference

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from ..cosim.design import Design
    from ..cosim.float_format import FloatFormat
    from .findings import Finding
    from .record import AnyCharacterization


def recorded_design(
    made: AnyCharacterization, rtl: Path, *, changed: bool = False
) -> tuple[Design, tuple[Finding, ...]]:
    """Read the design of a characterization from its Verilog file, as the file is now.

    Args:
        made: the characterization.
        rtl: folder in which to look for a source that is not where the record says.
        changed: whether sources that are not those of the record will do.

    Returns:
        The design, and whether each of its files has the content that was recorded.

    Raises:
        ConfigError: there is no source to simulate: it is not at hand, or the table was imported.
        IdentityError: a source or the sidecar is not the recorded one, be it by a comment.
        DesignError: the source cannot be read.
    """
    path = source_path(made, rtl)
    reference = None
    if path is not None and path.suffix in SUFFIXES:
        reference = stored_reference(made, rtl)
    if reference is None:
        sources = ", ".join(source.path for source in made.provenance.sources) or "none"
        raise ConfigError(
            f"the RTL of {made.name} is not at hand",
            got=f"sources of the record: {sources}",
            expected=f"such a file, or one of that name in {rtl}",
            remedy="name the folder of the Verilog files with --rtl",
        )
    findings = tuple(source_findings(made, rtl))
    wrong = [one for one in findings if one.verdict is not Verdict.VERIFIED]
    if wrong and not changed:
        raise IdentityError(
            f"{wrong[0].what} of {made.name} is not the one that its table was made from",
            got=f"sha256 {wrong[0].found or 'of no file'}",
            expected=f"sha256 {wrong[0].expected or 'of no file'}",
            remedy=f"restore it, or characterize the changed design (rtlgrad lut {made.name}) and "
            "train with its table; --changed-rtl audits the old table against the changed source",
        )
    design = read_design(reference)
    same = [one.sha256 for one in made.provenance.sources] == [
        one.sha256 for one in source_hashes(design)
    ]
    if not same and not changed:  # a file more, or one that changed while we looked
        raise IdentityError(
            f"the sources of {made.name} are not those that its table was made from",
            got=", ".join(one.sha256 for one in source_hashes(design)),
            expected=", ".join(one.sha256 for one in made.provenance.sources),
        )
    return design, findings


class LiveTable:
    """A design in a running simulator that answers as its table does.

    Use it as a context manager, or `close` it.

    Args:
        made: the design's characterization.
        rtl: as for `recorded_design`.
        changed: as for `recorded_design`.

    Attributes:
        design: what is simulated.
        findings: what became of its sources.
        asked: operand pairs put through the RTL so far.

    Raises:
        ConfigError, IdentityError, DesignError: as `recorded_design`.
        MissingToolError, SimulationError: it cannot be simulated.
    """

    def __init__(self, made: AnyCharacterization, rtl: Path, *, changed: bool = False) -> None:
        self.name = made.name
        self.id = made.id
        self.design, self.findings = recorded_design(made, rtl, changed=changed)
        # Of a source that changed, the latency may have changed too.
        intact = all(one.verdict is Verdict.VERIFIED for one in self.findings)
        self._form = self.design.interface.format
        self._mantissa_bits = 0
        if isinstance(made.content, MantissaTable):
            self._mantissa_bits = made.content.mantissa_bits
        self._live = LiveMultiplier(self.design, latency=made.latency if intact else None)
        self.asked = 0

    def entries(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what the table should hold for operand codes, pair by pair.

        Args:
            a: rows, int64 [N]: codes of operand a, or of the activation's mantissa.
            b: columns, int64 [N].

        Returns:
            int64 [N]: products as values; of a mantissa table ``carry << m | mantissa``, or -1 where
            the RTL gives a product that has no such code.

        Raises:
            SimulationError: the simulation ended, or does not answer in time.
        """
        self.asked += len(a)
        if not self._mantissa_bits:
            return np.asarray(self._live.multiply_codes(a, b), dtype=np.int64)
        if self._form is not None and self._form.part is FloatPart.MANTISSA:
            return self._live.answer_codes(a.astype(np.uint64), b.astype(np.uint64))[:, 0].astype(
                np.int64
            )
        lead = 1 << self._mantissa_bits
        if self._form is not None and self._form.part is FloatPart.NUMBER:
            return _number_entries(self._live, self._form, a, b)
        return significand_codes(self._live.multiply_codes(a + lead, b + lead), self._mantissa_bits)

    def close(self) -> None:
        """End the simulation."""
        self._live.close()

    def __enter__(self) -> LiveTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _number_entries(
    live: LiveMultiplier, form: FloatFormat, a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Multiply the numbers 1 + i/2^m and 1 + j/2^m; return the product's carry and mantissa."""
    m = form.mantissa_bits
    one = form.bias << m
    answers = live.answer_codes((a + one).astype(np.uint64), (b + one).astype(np.uint64))
    codes = answers[:, 0].astype(np.int64) - one
    # In [1, 4) the exponent's lowest bits are the carry; anything else has a code outside.
    return np.where((codes >= 0) & (codes < 2 << m), codes, -1)


def open_wide(made: AnyCharacterization, rtl: Path, *, changed: bool = False) -> LiveTable:
    """Open a design of integers for products without a table.

    Raises:
        DesignError: it multiplies floating-point numbers.
        ConfigError, IdentityError, MissingToolError, SimulationError: as `LiveTable`.
    """
    if made.interface.format is not None:
        raise DesignError(
            f"{made.name} is no multiplier of integers",
            got=str(made.interface.format),
            expected="integer operands",
            remedy="with mantissas of at most 11 bits it has a table: train with --design",
        )
    return LiveTable(made, rtl, changed=changed)
