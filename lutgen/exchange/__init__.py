"""Tables in other projects' formats: read, written, and compared with circuits. Needs numpy alone.

Nothing about a table is guessed: what a file does not say of itself, its reader must be told
(docs/exchange.md). `check` tells whether a table is that of a circuit and, if not, which known
mistake turns the one into the other.
"""

from .detect import format_of
from .known_formats import FORMATS
from .operands import Operands, Order
from .registry import read_file, read_table, write_table

__all__ = [
    "FORMATS",
    "Operands",
    "Order",
    "format_of",
    "read_file",
    "read_table",
    "write_table",
]
