"""Tells the format of a file that says itself which it is; the others are not guessed at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from . import c_header
from .known_formats import FORMATS
from .source_text import without_comments
from .text import APPMULT_MARK, CSV_HEADER

if TYPE_CHECKING:
    from .formats import Format


def format_of(path: str | Path) -> Format:
    """Return the format of a file that says itself which it is.

    Raises:
        ConfigError: it cannot be read, or does not say: the same bytes can be read as several
            tables.
    """
    path = Path(path)
    return detected(path, content(path))


def content(path: Path) -> bytes:
    """Read a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}", got=error.strerror or error) from error


def detected(path: Path, data: bytes) -> Format:
    """Return the format that a file's content names.

    Raises:
        ConfigError: it names none.
    """
    if data.startswith(b"\x93NUMPY"):
        return FORMATS["npy"]
    text = data.decode(errors="replace")
    if text.lstrip("\ufeff").partition("\n")[0].strip() == CSV_HEADER:
        return FORMATS["csv"]
    if any(line.startswith(APPMULT_MARK) for line in text.splitlines()):
        return FORMATS["appmult"]
    if path.suffix in (".h", ".hpp", ".cuh") and f"{c_header.ARRAY}" in without_comments(text):
        return FORMATS["transaxx" if "__device__" in text else "adapt"]
    raise ConfigError(
        f"{path} does not say which format it has",
        got=f"{len(data)} bytes",
        expected="\n    ".join(
            ["one of these, named:", *(f"{f.name}: {f.summary}" for f in FORMATS.values())]
        ),
        remedy="name the format with --format",
    )
