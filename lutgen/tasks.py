"""What runs on the workers: functions from values that can be pickled to such values.

They read none of the host's files: texts travel with them, and so does a cell library that the
worker does not have.
"""

from __future__ import annotations

import gzip
import platform
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..core.errors import MissingToolError, ToolFailedError
from ..core.files import cache_folder, sha256_bytes, sha256_file, write_atomic
from ..cosim.cost import SHIPPED_LIBRARY, CellLibrary
from ..cosim.design import bind_design
from ..cosim.simulation.lint import LINT_LIMIT_S, lint
from ..cosim.synthesis.synthesize import SYNTHESIS_LIMIT_S, synthesize
from .freshness import work_key
from .kinds import kind_of
from .work import Examined

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..cosim.design import DesignReference
    from ..cosim.reading.sources import Sources
    from ..cosim.synthesis.synthesize import Synthesis
    from .record import AnyCharacterization
    from .work import Limits, Measured

FIRST_LIMIT_S = 20.0
"""What lint and synthesis may take at first. Those that need longer get their full time once all
other designs are done, so that a few that never end do not hold up the rest."""


@dataclass(frozen=True, slots=True)
class SentLibrary:
    """A cell library, as a worker gets it.

    Attributes:
        library: its name and hash, and where it is on the host.
        content: the Liberty file, gzipped; None if the worker has it: it reads the host's files,
            or the library is the one that the project ships.
    """

    library: CellLibrary
    content: bytes | None = None


def send_library(library: CellLibrary) -> SentLibrary:
    """Return a library for workers that do not see the host's files."""
    if library.path == SHIPPED_LIBRARY:
        return SentLibrary(library)
    return SentLibrary(library, gzip.compress(library.path.read_bytes(), mtime=0))


def examine(
    reference: DesignReference, sources: Sources, library: CellLibrary, key: str, *, last: bool
) -> Examined | None:
    """Read a design's ports and lint it.

    Args:
        reference: the design.
        sources: its text.
        library: the cell library of this run.
        key: the host's work key for this design.
        last: whether it has its full time, rather than `FIRST_LIMIT_S`.

    Returns:
        The design, or None if that time was not enough.

    Raises:
        DesignError: it cannot be read, or is not a multiplier.
        MissingToolError: this worker would not do the same work as the host.
    """
    if work_key(reference, library) != key:
        raise MissingToolError(
            f"the worker on {platform.node()} has another version of rtlgrad or of its tools",
            expected="the same versions on all workers and on the host, also of the sources",
            remedy="install what `rtlgrad doctor` lists on the host, and restart the worker",
        )
    started = time.monotonic()
    limit_s = LINT_LIMIT_S if last else FIRST_LIMIT_S
    try:
        design = bind_design(reference, sources)
        return Examined(design, lint(design, limit_s=limit_s))
    except Exception:
        if not last and time.monotonic() - started >= limit_s:
            return None
        raise


def synthesize_for(design: Any, sent: SentLibrary, *, last: bool) -> Synthesis | None:
    """Synthesize a design; see `rtlgrad.cosim.synthesis.synthesize.synthesize`.

    Returns:
        What was found, or None if this was not the last attempt and its time was not enough.
    """
    started = time.monotonic()
    limit_s = SYNTHESIS_LIMIT_S if last else FIRST_LIMIT_S
    found = synthesize(design, at_hand(sent), limit_s=limit_s)
    # Without cells there is no netlist, and that may be for lack of time.
    unfinished = found.codes is None and not found.cost.cells
    if unfinished and not last and time.monotonic() - started >= limit_s:
        return None
    return found


def measure(batch: Sequence[Examined], proven: Collection[str], limits: Limits) -> Measured:
    """Simulate a batch of designs of one kind; see `rtlgrad.lutgen.work.Measure`."""
    return kind_of(batch[0].design).measure(batch, proven, limits)


def conclude(
    examined: Examined, measured: Any, synthesis: Synthesis, library: CellLibrary
) -> AnyCharacterization:
    """Make the characterization of one design; see `rtlgrad.lutgen.work.Conclude`."""
    return kind_of(examined.design).conclude(examined, measured, synthesis, library)


def at_hand(sent: SentLibrary) -> CellLibrary:
    """Return a library whose file is on this machine, from the content that was sent."""
    library = sent.library
    if sent.content is not None:
        return _unpacked(library, sent.content)
    if library.path.name == SHIPPED_LIBRARY.name and not library.path.exists():
        return replace(library, path=SHIPPED_LIBRARY)
    return library


@lru_cache(maxsize=4)
def _unpacked(library: CellLibrary, content: bytes) -> CellLibrary:
    suffixes = "".join(library.path.suffixes[-2:])
    path = cache_folder() / "liberty" / f"{library.sha256}{suffixes}"
    if not path.exists() or sha256_file(path) != library.sha256:
        data = gzip.decompress(content)
        if sha256_bytes(data) != library.sha256:
            raise ToolFailedError(f"the cell library {library.name} was damaged on its way")
        write_atomic(path, data)
    return replace(library, path=path)
