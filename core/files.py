"""Hashes, canonical JSON, and writes that either happen whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    A crash between the two renames leaves the old content in ``.<name>.old-*``; the next call
    removes such remnants only once ``path`` itself exists again.

    Raises:
        ConfigError: the parent folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield scratch
        scratch.chmod(0o755)
        retired = scratch.with_name(scratch.name.replace(".new-", ".old-"))
        with contextlib.suppress(FileNotFoundError):
            path.rename(retired)
        try:
            scratch.rename(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                retired.rename(path)
            raise
        for remnant in path.parent.glob(f".{path.name}.old-*"):
            shutil.rmtree(remnant, ignore_errors=True)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
