"""Finding and reading the files of a data set, with errors that say which file and what to do."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's ``dataset-*`` packages put their files."""

_GZIP_MAGIC = b"\x1f\x8b"


def search_folders(root: Path | None, names: Sequence[str]) -> list[Path]:
    """List where a data set may lie, the user's folder first.

    Args:
        root: the folder given by the user (``--data-root``), or None.
        names: names that a sub-folder for this data set may have.
    """
    folders = []
    if root is not None:
        folders += [root, *(root / name for name in names)]
    folders += [SYSTEM_FOLDER / name for name in names]
    return folders


def first_folder(folders: Sequence[Path], holds_any: Callable[[Path], bool]) -> Path | None:
    """Return the first folder of which ``holds_any`` is true.

    One folder must then hold the whole data set, so that files of two copies are never mixed.
    """
    return next((folder for folder in folders if folder.is_dir() and holds_any(folder)), None)


def missing_data(name: str, files: Iterable[str], looked: Sequence[Path], how: str) -> DataError:
    """Build the error for a data set that is nowhere (does not raise it)."""
    places = ", ".join(str(folder) for folder in looked)
    return DataError(
        f"data set {name!r} not found",
        got=f"none of its files in {places}",
        expected=", ".join(files),
        remedy=f"{how} (rtlgrad never downloads anything)",
    )


def read_bytes(path: Path) -> bytes:
    """Return a file's content, decompressed if it is gzip (told by content, not by name).

    Raises:
        DataError: the file is missing, unreadable, or a damaged or truncated gzip file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}",
            got=error.strerror or str(error),
            remedy="put the file there, or check its permissions",
        ) from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is a damaged gzip file",
            got=f"{len(content):,} bytes; {error}",
            expected="a whole gzip file",
            remedy="fetch the file again",
        ) from error
