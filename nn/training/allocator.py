"""Keeping freed memory within the process, so that each step finds the last one's pages.

glibc gives large blocks back to the kernel as soon as they are freed, and a training step frees
all its activations. The next one then faults every page in again: measured on ResNet-8 at
batch 128, a third of the time of an epoch.
"""

from __future__ import annotations

import ctypes
import os

# <malloc.h>: parameters of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# Greater than any block of an ordinary training step; mallopt takes an int.
_BYTES = 2**31 - 1
# Whoever sets one of these has said how malloc shall behave.
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what is freed; for a process that only trains or evaluates.

    Affects the whole process for good, so commands call it and the library does not.

    Returns:
        False, with nothing changed, without glibc or where the user's environment tunes malloc.
    """
    if any(name in os.environ for name in _VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _BYTES) and mallopt(_M_TRIM_THRESHOLD, _BYTES))
