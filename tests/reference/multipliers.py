"""One independent model for each design of rtl/, by design name.

Nothing here is derived from the Verilog: the models compute with operand values from the
published definitions. Every model returns int64 [2^wa, 2^wb], indexed by operand codes (row = A,
column = B), with sign-decoded products.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import arrays, segments, trees
from .operands import signed_operands, unsigned_operands

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operands import Table


def exact(width: int, *, signed: bool = False) -> Table:
    """The exact product."""
    a, b = signed_operands(width) if signed else unsigned_operands(width)
    return a * b


MODELS: dict[str, Callable[[], Table]] = {
    "mul8u_exact": partial(exact, 8),
    "mul8s_exact": partial(exact, 8, signed=True),
    "mul8u_pipetrunc": partial(arrays.truncated, 8, 6),
    "mul8u_serial_full": partial(exact, 8),
    "mul8u_serial_skip2": partial(arrays.perforated, 0, 2),
    "mul8u_mitchell": segments.mitchell,
    "mul8u_roba": segments.rounded_operands,
    "mul8u_kulkarni": partial(trees.underdesigned, 8),
    "mul4u_kulkarni": partial(trees.underdesigned, 4),
    "mul4u_trunc3": partial(arrays.truncated, 4, 3),
    "mul7u_trunc5": partial(arrays.truncated, 7, 5),
    **{f"mul8u_trunc{k}": partial(arrays.truncated, 8, k) for k in (4, 6, 8)},
    **{f"mul8u_truncc{k}": partial(arrays.truncated_corrected, k) for k in (6, 8)},
    **{
        f"mul8u_bam_h{h}v{v}": partial(arrays.broken_array, h, v)
        for h, v in ((0, 7), (1, 6), (2, 4), (4, 8))
    },
    **{
        f"mul8u_perf_j{j}k{k}": partial(arrays.perforated, j, k)
        for j, k in ((0, 1), (0, 2), (0, 3), (1, 2))
    },
    **{f"mul8u_or{k}": partial(arrays.or_compressed, k) for k in (4, 6, 8)},
    **{f"mul8u_drum{k}": partial(segments.drum, k) for k in (3, 4, 5, 6)},
    **{f"mul8u_ssm{k}": partial(segments.static_segment, k) for k in (4, 5, 6)},
    **{f"mul8u_ac42_k{k}": partial(trees.compressor_tree, k) for k in (7, 9, 16)},
    **{f"mul8s_bwtrunc{k}": partial(arrays.baugh_wooley_truncated, k) for k in (4, 6, 7)},
    **{f"mul8s_bbm{k}": partial(arrays.broken_booth, k) for k in (4, 6, 8)},
}
"""Design name -> the function that computes its whole table."""
