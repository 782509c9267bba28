"""Conformance: a library of circuits against its own C models and its own published figures.

::

    checkout -> Circuit (Verilog, C model, published figures)
             -> Characterization, by the same path as ``rtlgrad lut``
             -> CircuitResult (table against C model, figure against figure)
             -> Conformance (all circuits, with the correlations of cost)

`run` needs the HDL tools; it is imported by its full name, `rtlgrad.lutgen.conformance.run`.
"""

from .checkout import Circuit, find_circuits
from .published import Published, read_published_csv
from .results import (
    CircuitResult,
    Conformance,
    Correlation,
    FigureCheck,
    FigureVerdict,
    TableVerdict,
)

__all__ = [
    "Circuit",
    "CircuitResult",
    "Conformance",
    "Correlation",
    "FigureCheck",
    "FigureVerdict",
    "Published",
    "TableVerdict",
    "find_circuits",
    "read_published_csv",
]
