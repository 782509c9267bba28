"""Which kernel a problem takes on a GPU, and how it is launched.

The choice compares estimates: cycles of a multiprocessor per product, plus what a route does once per
tile. They come from the model of docs/performance.md and decide speed alone; all routes give the
same sums.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ....core.errors import EngineError
from ....core.names import pick
from ..mantissa_types import SUM_BLOCK
from . import launches, routes
from .layouts import EXPANDED_CODES, NARROW_MANTISSA, entry_format, row_stride
from .routes import TableRoute
from .tiling import make_launch, tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..types import LookupTable
    from .digit_layout import DigitLayout
    from .gpus import Gpu
    from .launches import Launch
    from .problem import Problem
    from .routes import Estimate

VARIABLE = "RTLGRAD_CUDA_ROUTE"
"""The environment variable that names the route to take; unset or empty: the estimate's."""

_PARTS_BYTES = 256 << 20


def plan_table(
    problem: Problem,
    table: LookupTable,
    gpu: Gpu,
    *,
    kinds: tuple[int, int],
    digits: Callable[[], DigitLayout | None] = lambda: None,
) -> Estimate:
    """Return the route of least estimated time, or the one that `VARIABLE` names.

    Args:
        problem: what to compute.
        table: the product table.
        gpu: where.
        kinds: of the codes of (activations, weights): 0 for uint8, 1 for int16.
        digits: makes the table for tensor cores; None if its rank is too high, or where taps may
            be missing. Not called where another route is named.

    Raises:
        UnknownNameError: `VARIABLE` names no route.
        EngineError: it names one that cannot serve this table on this GPU.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted:
        named = {str(known): known for known in TableRoute}
        route = pick(named, wanted, kind=f"route in {VARIABLE}")
    known = digits() if not wanted or route is TableRoute.LOWRANK else None
    found = table_estimates(problem, table, gpu, kinds=kinds, digits=known)
    if not wanted:
        return min(found.values(), key=lambda estimate: estimate.cycles)
    if route not in found:
        raise EngineError(
            f"the route {wanted!r} of the CUDA engine cannot serve this table here",
            got=f"a table of shape {table.products.shape}, products {table.limits}, on {gpu}",
            expected=f"one of {', '.join(found)}",
            remedy=f"unset {VARIABLE}",
        )
    return found[route]


def table_estimates(
    problem: Problem,
    table: LookupTable,
    gpu: Gpu,
    *,
    kinds: tuple[int, int],
    digits: DigitLayout | None = None,
) -> dict[TableRoute, Estimate]:
    """Return every route that can serve the table on this GPU."""
    form, members = entry_format(table), _table_members(table, kinds)
    activation_codes, weight_codes = table.products.shape
    stride = row_stride(activation_codes)
    by_rows = {**members, "table_stride": stride}
    found: list[Estimate | None] = [
        routes.cached(problem, gpu, form.bytes, by_rows),
        routes.few(problem, gpu, form.bytes, by_rows),
    ]
    if form.bytes == 2:
        found.append(routes.shared(problem, gpu, weight_codes * stride * 2, by_rows))
    if activation_codes <= EXPANDED_CODES:
        by_codes = {**members, "table_stride": EXPANDED_CODES}
        found.append(routes.expanded(problem, gpu, form.bytes, by_codes))
    if digits is not None:
        found.append(routes.lowrank(problem, gpu, digits, members))
    return {
        estimate.route: estimate
        for estimate in found
        if estimate is not None and estimate.launch.shared_bytes <= gpu.shared_bytes
    }


def _table_members(table: LookupTable, kinds: tuple[int, int]) -> dict[str, int]:
    return {
        "x_kind": kinds[0],
        "w_kind": kinds[1],
        "offset": entry_format(table).offset,
        "table_rows": table.products.shape[1],
    }


def plan_saturating(
    problem: Problem, table: LookupTable, gpu: Gpu, *, kinds: tuple[int, int], bits: int
) -> Launch:
    """Return the launch for sums that are clamped to so many bits after every addition.

    Args:
        problem: what to compute; every activation is looked up.
        table: the product table.
        gpu: where.
        kinds: as `plan_table`.
        bits: of the accumulator.
    """
    stride = row_stride(table.products.shape[0])
    members = {**_table_members(table, kinds), "table_stride": stride, "shift": bits}
    return routes.few(problem, gpu, entry_format(table).bytes, members, saturating=True).launch


def plan_mantissa(problem: Problem, bits: int, gpu: Gpu, *, kinds: tuple[int, int]) -> Launch:
    """Return the launch for float32 sums of products by a mantissa table.

    Where a grid would leave multiprocessors idle, each block of `SUM_BLOCK` products of k is a
    split, and `SUM_PARTS_KERNEL` adds the splits' results up: the same order.

    Args:
        problem: what to compute.
        bits: of the table's mantissas.
        gpu: where.
        kinds: of (activations, weights): 0 for float32, 1 for bfloat16.

    Raises:
        EngineError: the GPU has too little shared memory.
    """
    shared = bits <= NARROW_MANTISSA
    side = 1 << (NARROW_MANTISSA if shared else bits)
    table_bytes = side * side if shared else 0
    lane_columns = launches.mantissa_lane_columns(shared=shared)
    cut = tiling(
        problem, gpu, table_bytes, weight_bytes=8, activation_bytes=4, lane_columns=lane_columns
    )
    if cut is None:
        raise EngineError(
            "the GPU has too little shared memory for mantissa tables",
            got=gpu,
            expected="compute capability 7.5 or later",
        )
    splits, depth = 1, max(1, problem.depth)
    parts = -(-problem.depth // SUM_BLOCK)
    results = problem.rows * problem.columns * problem.groups
    if 2 * cut.tiles <= gpu.multiprocessors and 1 < parts <= _PARTS_BYTES // (4 * results):
        splits, depth = parts, SUM_BLOCK
    members = {
        **cut.members,
        "x_kind": kinds[0],
        "w_kind": kinds[1],
        "table_rows": side,
        "table_stride": side,
        "shift": 23 - (side.bit_length() - 1),
        "splits": splits,
        "split_depth": depth,
    }
    blocks = min(cut.tiles * splits, 2 * gpu.multiprocessors)
    kernel = launches.mantissa_kernel(shared=shared)
    return make_launch(kernel, problem, blocks, cut.shared_bytes, members)
