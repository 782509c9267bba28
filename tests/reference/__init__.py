"""What each multiplier of rtl/ should answer, computed from its published definition."""

from __future__ import annotations

from .multipliers import MODELS

__all__ = ["MODELS"]
