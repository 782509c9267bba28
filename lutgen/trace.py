"""Follows a stored characterization back to the files that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError
from ..core.files import sha256_bytes, sha256_file
from ..cosim.design import pick_design, references, variant
from ..cosim.programs.scratch import scratch_folder
from ..cosim.programs.tools import table_tool_versions
from ..cosim.simulation.lanes import testbench_hash
from .characterize import Settings, characterize
from .findings import Finding, Verdict, compared, unknown
from .store import load, stored_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..cosim.design import DesignReference
    from .record import AnyCharacterization


def find_by_id(root: Path, identity: str) -> AnyCharacterization | None:
    """Return the stored characterization of that id, whatever its name; None if there is none.

    A record that is damaged is passed over: it is not known to be the one.
    """
    for name in stored_names(root):
        try:
            made = load(root / name)
        except RtlgradError:
            continue
        if made.id == identity:
            return made
    return None


def trace_record(made: AnyCharacterization, rtl: Path) -> Iterator[Finding]:
    """Check a characterization, loaded and so consistent in itself, against files and tools.

    Args:
        made: the characterization.
        rtl: folder in which to look for a source that is not where the record says.
    """
    yield Finding(f"table and record of {made.name}", Verdict.VERIFIED, made.id, made.id)
    yield from source_findings(made, rtl)
    yield compared("testbench", made.provenance.testbench_sha256, testbench_hash())
    installed = table_tool_versions()
    for tool, version in sorted(made.provenance.tools.items()):
        yield compared(f"version of {tool}", version, installed.get(tool, "not installed"))


def source_findings(made: AnyCharacterization, rtl: Path) -> Iterator[Finding]:
    """Check the sources and the sidecar of a characterization against the files as they are now.

    Args:
        made: the characterization.
        rtl: folder in which to look for a source that is not where the record says.
    """
    own = source_path(made, rtl)
    for index, source in enumerate(made.provenance.sources):
        what = f"source {source.path}"
        if own is None:
            yield unknown(what, "no such file", source.sha256)
            continue
        path = own if index == 0 else own.parent / source.path
        if path.is_file():
            yield compared(what, source.sha256, sha256_file(path))
        else:
            yield unknown(what, f"no file {path}", source.sha256)
    if own is not None:
        sidecar = own.with_suffix(".toml")
        found = sha256_bytes(sidecar.read_bytes()) if sidecar.is_file() else ""
        yield compared(f"sidecar {sidecar}", made.provenance.sidecar_sha256, found)


def source_path(made: AnyCharacterization, rtl: Path) -> Path | None:
    """Return where a design's own file is: as recorded, or of that name in ``rtl``; else None."""
    if not made.provenance.sources:
        return None
    recorded = Path(made.provenance.sources[0].path)
    for path in (recorded, rtl / recorded.name):
        if path.is_file():
            return path
    return None


def resimulate(made: AnyCharacterization, rtl: Path) -> Finding:
    """Simulate the design's RTL again, from its file as it is now, and compare ids.

    An id covers ports, parameters, the content of the sources, and every product.
    """
    what = f"table of {made.name}, simulated again"
    try:
        reference = stored_reference(made, rtl)
        if reference is None:
            return unknown(what, "its source is not at hand", made.id)
        with scratch_folder("trace") as scratch:
            (outcome,) = characterize([reference], Settings(scratch, force=True))
    except RtlgradError as error:
        return unknown(what, str(error), made.id)
    if outcome.characterization is None:
        return Finding(what, Verdict.DIFFERS, made.id, str(outcome.error))
    return compared(what, made.id, outcome.characterization.id)


def stored_reference(made: AnyCharacterization, rtl: Path) -> DesignReference | None:
    """Return the design that a characterization was made from; None if its file is not at hand.

    Args:
        made: the characterization.
        rtl: folder in which to look for a source that is not where the record says.

    Raises:
        DesignError: the file holds no such design any more.
    """
    path = source_path(made, rtl)
    if path is None:
        return None
    known = references(path)
    if any(reference.name == made.name for reference in known):
        return pick_design(made.name, known)
    overrides = dict(made.interface.parameters)
    return variant(path, overrides) if overrides else known[0]
