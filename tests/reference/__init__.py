"""What each multiplier of rtl/ should answer, computed from its published definition."""

from __future__ import annotations

from .mantissas import MANTISSA_MODELS
from .multipliers import MODELS

__all__ = ["MANTISSA_MODELS", "MODELS"]
