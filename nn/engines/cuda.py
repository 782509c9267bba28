"""The place of the CUDA engine: what it would need, and what of that is here."""

from __future__ import annotations

import importlib.util

from .types import Availability


def availability() -> Availability:
    """Say why no CUDA engine runs: this release has none; and whether CuPy, its base, is there."""
    present = importlib.util.find_spec("cupy") is not None
    cupy = "CuPy is installed" if present else "CuPy is not installed either"
    return Availability(False, f"the CUDA engine is not part of this release ({cupy})")
