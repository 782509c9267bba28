"""Hashes, canonical JSON, and writes that either happen whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMNANT = re.compile(r"\.(?P<name>.+)\.(?P<kind>new|old)-\w{8}")
_RENAME_EXCHANGE = 2  # linux/fs.h
_HERE = -100  # AT_FDCWD of fcntl.h: names are not relative to an open folder


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: object) -> str:
    """Render ``value`` so that equal values give equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def readable_json(value: object) -> str:
    """Render ``value`` for people: sorted keys, indented, final newline, no NaN."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    Raises:
        ConfigError: the folder cannot be written.
    """
    payload = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise unwritable(path, error) from error


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Give a scratch folder that becomes ``path`` if the block ends well, and vanishes if not.

    The parent folder is locked for the while, so that processes that write into one parent take
    turns: of two that replace the same folder, the last one stays. Readers need no lock.

    Raises:
        ConfigError: the parent folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent) as alone:
            if alone:
                _remove_remnants(path.parent)
            scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
            try:
                yield scratch
                scratch.chmod(0o755)
                _put_in_place(scratch, path)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise unwritable(path, error) from error


def tidy_folder(parent: Path) -> None:
    """Remove what processes that were killed within `replace_folder` have left in ``parent``."""
    with contextlib.suppress(OSError), _locked(parent) as alone:
        if alone:
            _remove_remnants(parent)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder against other processes; tell whether its file system knows such locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # network file systems lock no folders
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _remove_remnants(parent: Path) -> None:
    for remnant in parent.iterdir():
        found = _REMNANT.fullmatch(remnant.name)
        if found is None:
            continue
        target = parent / found["name"]
        if found["kind"] == "old" and not target.exists():
            remnant.rename(target)
        else:
            shutil.rmtree(remnant, ignore_errors=True)


def _put_in_place(scratch: Path, path: Path) -> None:
    if not path.exists():
        scratch.rename(path)
        return
    if _exchange(scratch, path):
        return  # the old content is in the scratch folder now
    retired = scratch.with_name(scratch.name.replace(".new-", ".old-"))
    path.rename(retired)
    try:
        scratch.rename(path)
    except BaseException:
        retired.rename(path)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; tell whether the system could."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()))
    return bool(rename(*names, _RENAME_EXCHANGE) == 0)


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Build the error for a place that cannot be written (does not raise it)."""
    return ConfigError(
        f"cannot write {path}",
        got=error.strerror or str(error),
        remedy="free space or change its permissions, or name another folder with --out",
    )


def cache_folder() -> Path:
    """Return the per-user cache: ``$RTLGRAD_CACHE``, else ``$XDG_CACHE_HOME/rtlgrad``, else ``~/.cache/rtlgrad``."""
    if override := os.environ.get("RTLGRAD_CACHE"):
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rtlgrad"
