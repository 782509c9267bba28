"""``rtlgrad doctor``: what is installed, where, and what to do about what is not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import MissingToolError
from ..core.files import cache_folder
from ..cosim.programs.process import run as run_program
from ..cosim.programs.tools import find_verilator, package_version, require_libpython
from .console import err, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Finding:
    """One tool.

    Attributes:
        tool: its name.
        needed: whether the main job needs it ("yes"), or what it is for.
        version: as it says itself; empty if it is missing.
        where: path or package folder; empty if it is missing.
        remedy: what to do; empty if all is well.
    """

    tool: str
    needed: str
    version: str
    where: str
    remedy: str

    @property
    def wanting(self) -> bool:
        """Whether the main job cannot be done without mending this."""
        return self.needed == "yes" and bool(self.remedy)


def run(*, as_json: bool) -> int:
    """Print all findings; return 1 if something that is needed is missing."""
    findings = list(examine())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        headings = ("tool", "needed", "version", "where", "what to do")
        rows = [[str(value) for value in asdict(finding).values()] for finding in findings]
        print_table(headings, rows, left=len(headings))
        wanting = [finding.tool for finding in findings if finding.wanting]
        verdict = f"missing: {', '.join(wanting)}" if wanting else "all that is needed is here"
        err().print(verdict, style="red" if wanting else "green")
    return int(any(finding.wanting for finding in findings))


def examine() -> Iterator[Finding]:
    """Look for every tool."""
    yield Finding("python", "yes", sys.version.split()[0], sys.executable, "")
    yield _libpython()
    yield _verilator()
    compiler = os.environ.get("CXX") or "g++"
    yield _program(compiler, "yes", "g++", "-dumpfullversion")
    yield _program("make", "yes", "make", "--version")
    yield _program("perl", "yes", "perl", "-e", "print $^V")
    yield _program("ccache", "for speed", "ccache", "--version")
    yield _program("iverilog", "second simulator", "iverilog", "-V")
    for name in ("cocotb", "pyverilog", "pyslang", "pyosys", "numpy", "torch", "typer", "rich"):
        yield _package(name, name, "yes", "pip install 'rtlgrad[hdl,cli]'")
    yield _package("sklearn", "scikit-learn", "for the digits data", "pip install 'rtlgrad[data]'")
    yield _package("PIL", "pillow", "for image folders", "pip install 'rtlgrad[data]'")
    yield _cupy()
    yield _data_folder()
    yield Finding("cache", "yes", "", str(cache_folder()), "")


def _program(name: str, needed: str, apt: str, *arguments: str) -> Finding:
    found = shutil.which(name)
    if found is None:
        return Finding(name, needed, "", "", f"apt-get install {apt}")
    done = run_program([found, *arguments], limit_s=20.0)
    lines = done.output.strip().splitlines()
    return Finding(name, needed, lines[0][:40] if lines else "?", found, "")


def _package(module: str, distribution: str, needed: str, remedy: str) -> Finding:
    spec = importlib.util.find_spec(module)
    if spec is None:
        return Finding(distribution, needed, "", "", remedy)
    place = str(Path(spec.origin).parent) if spec.origin else ""
    return Finding(distribution, needed, package_version(distribution) or "?", place, "")


def _verilator() -> Finding:
    try:
        found = find_verilator()
    except MissingToolError as error:
        return Finding("verilator", "yes", "", "", str(error.remedy))
    return Finding("verilator", "yes", found.version, str(found.program), "")


def _libpython() -> Finding:
    try:
        return Finding("libpython", "yes", "", require_libpython(), "")
    except MissingToolError as error:
        return Finding("libpython", "yes", "", "", str(error.remedy))


def _cupy() -> Finding:
    for distribution in ("cupy-cuda12x", "cupy-cuda13x", "cupy"):
        if version := package_version(distribution):
            return Finding(distribution, "for NVIDIA GPUs", version, "", "")
    return Finding("cupy", "for NVIDIA GPUs", "", "", "pip install 'rtlgrad[cuda12]' or [cuda13]")


def _data_folder() -> Finding:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if folder.is_dir():
        return Finding("fashion-mnist", "for the demo", "", str(folder), "")
    return Finding("fashion-mnist", "for the demo", "", "", "apt-get install dataset-fashion-mnist")
