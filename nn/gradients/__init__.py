"""Gradients of products taken from a table: which there are, their tables, and the backward pass."""

from .backward import approx_backward
from .choice import GRADIENTS, STRAIGHT_THROUGH, Gradient, parse_gradient
from .tables import GradientTables, lut_gradient, lut_gradients, slopes

__all__ = [
    "GRADIENTS",
    "STRAIGHT_THROUGH",
    "Gradient",
    "GradientTables",
    "approx_backward",
    "lut_gradient",
    "lut_gradients",
    "parse_gradient",
    "slopes",
]
