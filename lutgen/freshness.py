"""Decides whether a stored characterization still holds, without parsing anything."""

from __future__ import annotations

import importlib.resources
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import RtlgradError
from ..core.files import canonical_json, sha256_bytes, sha256_file
from ..cosim.programs.tools import table_tool_versions
from ..cosim.simulation.lanes import testbench_hash
from ..cosim.synthesis.mapping import scripts_hash
from .record import SCHEMA, AnyCharacterization, SourceHash
from .store import load

if TYPE_CHECKING:
    from ..cosim.cost import CellLibrary
    from ..cosim.design import Design, DesignReference


def work_key(reference: DesignReference, library: CellLibrary) -> str:
    """Hash all that a characterization depends on besides the design's sources.

    That is the file's stem, the parameters, the sidecar, the testbench, the cell library, the
    synthesis scripts, the versions of every tool, and our own code: a mistake mended in it must
    not live on in stored tables.
    """
    content = {
        "schema": SCHEMA,
        "code": code_hash(),
        # The name of the file may decide the top module and the signedness.
        "stem": reference.path.stem,
        "overrides": dict(reference.overrides),
        "sidecar": reference.sidecar.sha256,
        "testbench": testbench_hash(),
        "library": library.sha256,
        "scripts": scripts_hash(),
        "tools": table_tool_versions(),
    }
    return sha256_bytes(canonical_json(content).encode())


@cache
def code_hash() -> str:
    """Hash the Python sources that turn a Verilog file into a record."""
    packages = ("rtlgrad.cosim", "rtlgrad.lutgen", "rtlgrad.testbenches")
    folders = [Path(str(importlib.resources.files(package))) for package in packages]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return sha256_bytes("\n".join(sha256_file(file) for file in files).encode())


def fresh(
    reference: DesignReference, library: CellLibrary, root: Path
) -> AnyCharacterization | None:
    """Return the stored characterization of a design if it still holds, else None.

    A damaged record does not hold: it is made again.
    """
    try:
        stored = load(root / reference.name)
    except RtlgradError:
        return None
    if stored.name != reference.name:
        return None
    if stored.provenance.work_key != work_key(reference, library):
        return None
    for index, source in enumerate(stored.provenance.sources):
        path = reference.path if index == 0 else reference.path.parent / source.path
        if not path.is_file() or sha256_file(path) != source.sha256:
            return None
    return stored


def source_hashes(design: Design) -> tuple[SourceHash, ...]:
    """Return a design's files as its record keeps them."""
    own, *included = design.sources.files
    return (
        SourceHash(design.path.as_posix(), own.sha256),
        *(SourceHash(_relative(file.path, design.path.parent), file.sha256) for file in included),
    )


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
