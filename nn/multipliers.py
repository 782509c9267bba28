"""What a layer's products can go through: a table of integer products, or one of mantissas."""

from __future__ import annotations

from typing import TypeAlias

from ..lutgen.mantissa import MantissaTable
from ..lutgen.table import ProductTable

MultiplierTable: TypeAlias = ProductTable | MantissaTable
"""A multiplier, as layers take it."""
