"""Liberty files: any standard-cell library becomes a :class:`Library`."""

from __future__ import annotations

import gzip
import importlib
import zlib
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, MissingToolError
from ...core.files import sha256_bytes
from .functions import Function, pins_of, truth_table
from .liberty_cells import CellReader, SkippedCell
from .liberty_groups import attribute, cell_name, read_units, templates
from .library import GateCell, Library
from .library_cache import load_cached, store_cached

if TYPE_CHECKING:
    from pathlib import Path

_GZIP_MAGIC = b"\x1f\x8b"


def read_library(path: Path) -> Library:
    """Read the combinational cells and the flip-flops of a Liberty file, plain or gzipped.

    Latches, tri-state cells and cells without a function are left out, with the reason.
    Parsing takes seconds for a large library; the result is kept in the user's cache, by content.

    Raises:
        ConfigError: the file is missing, is no Liberty library, or cannot serve: no units, no
            supply voltage, no inverter, no two-input gate. Names the file and the reason.
        MissingToolError: the package liberty-parser is not installed.
    """
    data = _read(path)
    digest = sha256_bytes(data)
    cached = load_cached(path, digest)
    if cached is not None:
        return cached
    library = parse_library(_unpacked(data, path), path, digest)
    store_cached(library)
    return library


def liberty_text(path: Path) -> str:
    """Return the text of a Liberty file, plain or gzipped.

    Raises:
        ConfigError: it is missing, or damaged.
    """
    return _unpacked(_read(path), path)


def parse_library(text: str, path: Path, digest: str) -> Library:
    """Build a library from a Liberty file's text; see :func:`read_library`."""
    group = _parse(text, path)
    if group.group_name != "library":
        raise _unusable(path, f"its outermost group is {group.group_name!r}, not a library")
    units = read_units(group, path)
    reader = CellReader(units, templates(group), attribute(group, "default_cell_leakage_power"))
    found: list[GateCell] = []
    skipped: dict[str, str] = {}
    for cell in group.get_groups("cell"):
        try:
            found.append(reader.read(cell))
        except SkippedCell as reason:
            skipped[cell_name(cell)] = str(reason)
        except (ConfigError, ValueError) as error:
            raise _unusable(path, f"cell {cell_name(cell)}: {error}") from error
    cells = [cell for cell in found if cell.register is None]
    _check_usable(path, cells, skipped)
    registers = tuple(cell for cell in found if cell.register is not None)
    return Library(
        cell_name(group), path, digest, units.voltage_v, tuple(cells), skipped, registers
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the cell library {path}",
            got=error.strerror,
            expected="a Liberty file (.lib or .lib.gz)",
            remedy="check the path given by LIBERTY= or --liberty",
        ) from error


def _unpacked(data: bytes, path: Path) -> str:
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise _unusable(path, f"it is a damaged gzip file ({error})") from error
    return data.decode(errors="replace")


def _parse(text: str, path: Path) -> Any:
    try:
        parser = importlib.import_module("liberty.parser")
    except ImportError as error:
        raise MissingToolError(
            "the Python package liberty-parser is not installed",
            remedy="run `make setup`, or pip install 'rtlgrad[hdl]'",
        ) from error
    try:
        # The package answers bad input with whatever exception it stumbles into.
        return parser.parse_liberty(text)
    except Exception as error:
        raise _unusable(path, f"it does not parse as Liberty: {error}") from error


def _check_usable(path: Path, cells: list[GateCell], skipped: dict[str, str]) -> None:
    if not cells:
        example = next((f"{name}: {why}" for name, why in skipped.items()), "no cell at all")
        raise _unusable(path, f"it has no combinational cell with a function ({example})")
    kinds = {
        _kind(cell.outputs[0].function)
        for cell in cells
        if len(cell.outputs) == 1 and len(cell.inputs) <= 2
    }
    if "inverter" not in kinds:
        raise _unusable(path, "it has no inverter")
    if "gate" not in kinds:
        raise _unusable(path, "it has no two-input NAND, NOR, AND or OR")


def _kind(function: Function) -> str | None:
    """Tell inverters and the two-input gates from which, with inverters, all else can be built."""
    pins = tuple(sorted(pins_of(function)))
    ones = sum(truth_table(function, pins))
    if len(pins) == 1 and truth_table(function, pins) == (True, False):
        return "inverter"
    return "gate" if len(pins) == 2 and ones in (1, 3) else None


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot serve as cell library",
        got=reason,
        expected="a Liberty file of combinational standard cells with units and functions",
        remedy="give another file by LIBERTY= or --liberty",
    )
