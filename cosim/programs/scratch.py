"""Scratch folders that do not outlive their process for long, not even one killed by SIGKILL.

All scratch folders of a process lie in one folder, beside a file that the process keeps locked
for as long as it lives. Whoever comes next removes the folders whose lock is free.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "rtlgrad-"
_LOCK = ".lock"


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Give an empty folder that is removed, with all that is in it, when the block ends.

    Args:
        purpose: begins the folder's name.
    """
    root = _process_root(os.getpid(), tempfile.gettempdir())
    with tempfile.TemporaryDirectory(
        prefix=f"{purpose}-", dir=root, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


@cache
def _process_root(_process: int, base: str) -> Path:
    """Make this process's folder, after what dead processes have left was removed."""
    remove_abandoned(Path(base))
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_LOCK, dir=base)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Between its making and its locking, another process may have taken it for abandoned.
        if Path(name).exists():
            break
        os.close(handle)
    root = Path(name.removesuffix(_LOCK))
    root.mkdir(mode=0o700)
    atexit.register(_remove_own, root, Path(name), os.getpid())
    return root


def remove_abandoned(base: Path) -> None:
    """Remove the scratch folders in ``base`` whose processes have ended."""
    for lock in base.glob(f"{_PREFIX}*{_LOCK}"):
        with contextlib.suppress(OSError), lock.open("r+b") as stream:
            # Fails at once if the process lives, or the file belongs to another user.
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()


def _remove_own(root: Path, lock: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork of it
        shutil.rmtree(root, ignore_errors=True)
        lock.unlink(missing_ok=True)
