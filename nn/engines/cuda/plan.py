"""Which kernel a problem takes on a GPU, and how it is launched.

The choice compares estimates: cycles of a multiprocessor per product, plus what a route does once per
tile. They come from the model of docs/performance.md and decide speed alone; all routes give the
same sums.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ....core.errors import EngineError
from ....core.names import pick
from ..mantissa_types import SUM_BLOCK
from . import launches
from .launches import Launch
from .layouts import EXPANDED_CODES, NARROW_MANTISSA, entry_format, row_stride

if TYPE_CHECKING:
    from ..types import LookupTable
    from .gpus import Gpu
    from .problem import Problem

VARIABLE = "RTLGRAD_CUDA_ROUTE"
"""The environment variable that names the route to take; unset or empty: the estimate's."""


class TableRoute(StrEnum):
    """A way to add up table entries on a GPU."""

    SHARED = "shared"
    """The whole table in shared memory, one of its rows per warp at a time."""
    EXPANDED = "expanded"
    """The table laid out for a tile's weights, in shared memory, one k at a time."""
    FEW = "few"
    """The rows of one output's weights in shared memory: depthwise layers."""
    CACHED = "cached"
    """The table in global memory, one of its rows per warp at a time: any table."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a route would take.

    Attributes:
        route: the route.
        cycles: estimated, on the whole GPU.
        launch: how it would be launched.
    """

    route: TableRoute
    cycles: float
    launch: Launch


# Cycles of a multiprocessor; docs/performance.md derives them from the compiled kernels.
_SHARED_PER_PRODUCT = 0.095
_CACHED_PER_PRODUCT = {2: 0.5, 4: 1.0}
_FEW_PER_PRODUCT = 0.35
_EXPANDED_PER_K = 1700.0
_TABLE_COPY_PER_BYTE = 1 / 64

_WARPS = 16
_ROWS_PER_WARP, _LANE_COLUMNS, _LANES = 8, 4, 32
_POSITION_BYTES = _TAP_BYTES = 16
_EXPANDED_COLUMNS, _EXPANDED_STAGE = 512, 8
_EXPANDED_ROWS = {2: 64, 4: 32}
_FEW_COLUMNS, _FEW_STAGE, _FEW_BYTES = 1024, 64, 32 << 10
_LEAST_SPLIT = 64
_PARTS_BYTES = 256 << 20


def plan_table(
    problem: Problem, table: LookupTable, gpu: Gpu, *, kinds: tuple[int, int]
) -> Estimate:
    """Return the route of least estimated time, or the one that `VARIABLE` names.

    Args:
        problem: what to compute.
        table: the product table.
        gpu: where.
        kinds: of the codes of (activations, weights): 0 for uint8, 1 for int16.

    Raises:
        UnknownNameError: `VARIABLE` names no route.
        EngineError: it names one that cannot serve this table on this GPU.
    """
    found = table_estimates(problem, table, gpu, kinds=kinds)
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return min(found.values(), key=lambda estimate: estimate.cycles)
    route = pick({str(known): known for known in TableRoute}, wanted, kind=f"route in {VARIABLE}")
    if route not in found:
        raise EngineError(
            f"the route {wanted!r} of the CUDA engine cannot serve this table here",
            got=f"a table of shape {table.products.shape}, products {table.limits}, on {gpu}",
            expected=f"one of {', '.join(found)}",
            remedy=f"unset {VARIABLE}",
        )
    return found[route]


def table_estimates(
    problem: Problem, table: LookupTable, gpu: Gpu, *, kinds: tuple[int, int]
) -> dict[TableRoute, Estimate]:
    """Return every route that can serve the table on this GPU."""
    form = entry_format(table)
    activation_codes, weight_codes = table.products.shape
    members = {
        "x_kind": kinds[0],
        "w_kind": kinds[1],
        "offset": form.offset,
        "table_rows": weight_codes,
    }
    stride = row_stride(activation_codes)
    by_rows = {**members, "table_stride": stride}
    found: list[Estimate | None] = [
        _cached(problem, gpu, form.bytes, by_rows),
        _few(problem, gpu, form.bytes, by_rows),
    ]
    if form.bytes == 2:
        found.append(_shared(problem, gpu, weight_codes * stride * 2, by_rows))
    if activation_codes <= EXPANDED_CODES:
        by_codes = {**members, "table_stride": EXPANDED_CODES}
        found.append(_expanded(problem, gpu, form.bytes, by_codes))
    return {
        estimate.route: estimate
        for estimate in found
        if estimate is not None and estimate.launch.shared_bytes <= gpu.shared_bytes
    }


def _shared(
    problem: Problem, gpu: Gpu, table_bytes: int, members: dict[str, int]
) -> Estimate | None:
    tiling = _tiling(problem, gpu, table_bytes, weight_bytes=4, activation_bytes=2)
    if tiling is None:
        return None
    tiles, splits, depth = _split(problem, gpu, tiling.tiles, tiling.stage)
    blocks = min(tiles, gpu.multiprocessors)
    launch = _launch(
        launches.rows_kernel(2, shared=True),
        problem,
        blocks,
        tiling.shared_bytes,
        {**members, **tiling.members, "splits": splits, "split_depth": depth},
    )
    each = depth * tiling.results * _SHARED_PER_PRODUCT
    cycles = table_bytes * _TABLE_COPY_PER_BYTE + -(-tiles // blocks) * each
    return Estimate(TableRoute.SHARED, cycles, launch)


def _cached(problem: Problem, gpu: Gpu, entry_bytes: int, members: dict[str, int]) -> Estimate:
    tiling = _tiling(problem, gpu, 0, weight_bytes=4, activation_bytes=2)
    if tiling is None:
        raise EngineError(
            "the GPU has too little shared memory for any kernel",
            got=gpu,
            expected="compute capability 7.5 or later",
        )
    tiles, splits, depth = _split(problem, gpu, tiling.tiles, tiling.stage)
    launch = _launch(
        launches.rows_kernel(entry_bytes, shared=False),
        problem,
        tiles,
        tiling.shared_bytes,
        {**members, **tiling.members, "splits": splits, "split_depth": depth},
    )
    each = depth * tiling.results * _CACHED_PER_PRODUCT[entry_bytes]
    return Estimate(TableRoute.CACHED, -(-tiles // gpu.multiprocessors) * each, launch)


def _expanded(problem: Problem, gpu: Gpu, entry_bytes: int, members: dict[str, int]) -> Estimate:
    stage = _EXPANDED_STAGE
    shared = (EXPANDED_CODES + 1) * 128 + _EXPANDED_COLUMNS * _POSITION_BYTES
    shared += 2 * stage * _TAP_BYTES + stage * _EXPANDED_COLUMNS * 4
    count = -(-problem.columns // _EXPANDED_COLUMNS) * -(
        -problem.rows // _EXPANDED_ROWS[entry_bytes]
    )
    tiles, splits, depth = _split(problem, gpu, count * problem.groups, stage)
    launch = _launch(
        launches.expanded_kernel(entry_bytes),
        problem,
        tiles,
        shared,
        {**members, "stage": stage, "splits": splits, "split_depth": depth},
    )
    cycles = -(-tiles // gpu.multiprocessors) * depth * _EXPANDED_PER_K
    return Estimate(TableRoute.EXPANDED, cycles, launch)


def _few(problem: Problem, gpu: Gpu, entry_bytes: int, members: dict[str, int]) -> Estimate:
    row_bytes = members["table_stride"] * entry_bytes
    stage = max(1, min(_FEW_STAGE, _FEW_BYTES // row_bytes, problem.depth))
    count = -(-problem.columns // _FEW_COLUMNS) * problem.rows * problem.groups
    tiles, splits, depth = _split(problem, gpu, count, stage)
    launch = _launch(
        launches.few_kernel(entry_bytes),
        problem,
        tiles,
        stage * (row_bytes + _TAP_BYTES),
        {**members, "stage": stage, "splits": splits, "split_depth": depth},
    )
    each = depth * (_FEW_COLUMNS * _FEW_PER_PRODUCT + row_bytes * _TABLE_COPY_PER_BYTE)
    return Estimate(TableRoute.FEW, -(-tiles // gpu.multiprocessors) * each, launch)


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
    tiling = _tiling(
        problem, gpu, table_bytes, weight_bytes=8, activation_bytes=4, lane_columns=lane_columns
    )
    if tiling is None:
        raise EngineError(
            "the GPU has too little shared memory for mantissa tables",
            got=gpu,
            expected="compute capability 7.5 or later",
        )
    splits, depth = 1, max(1, problem.depth)
    parts = -(-problem.depth // SUM_BLOCK)
    results = problem.rows * problem.columns * problem.groups
    if 2 * tiling.tiles <= gpu.multiprocessors and 1 < parts <= _PARTS_BYTES // (4 * results):
        splits, depth = parts, SUM_BLOCK
    members = {
        **tiling.members,
        "x_kind": kinds[0],
        "w_kind": kinds[1],
        "table_rows": side,
        "table_stride": side,
        "shift": 23 - (side.bit_length() - 1),
        "splits": splits,
        "split_depth": depth,
    }
    blocks = min(tiling.tiles * splits, 2 * gpu.multiprocessors)
    kernel = launches.mantissa_kernel(shared=shared)
    return _launch(kernel, problem, blocks, tiling.shared_bytes, members)


@dataclass(frozen=True, slots=True)
class _Tiling:
    """How `tile_loop.cuh` cuts up a problem."""

    tiles: int
    results: int
    stage: int
    shared_bytes: int
    members: dict[str, int]


def _tiling(
    problem: Problem,
    gpu: Gpu,
    table_bytes: int,
    *,
    weight_bytes: int,
    activation_bytes: int,
    lane_columns: int = _LANE_COLUMNS,
) -> _Tiling | None:
    warps_m = 2 if problem.rows <= 16 else 4 if problem.rows <= 32 else 8
    while warps_m <= 8:
        tile_m = _ROWS_PER_WARP * warps_m
        tile_n = _LANES * lane_columns * (_WARPS // warps_m)
        for stage in (32, 16, 8, 4):
            shared = table_bytes + tile_n * _POSITION_BYTES + 2 * stage * _TAP_BYTES
            shared += stage * (tile_m * weight_bytes + tile_n * activation_bytes)
            if shared <= gpu.shared_bytes and stage < max(8, 2 * problem.depth):
                tiles = -(-problem.rows // tile_m) * -(-problem.columns // tile_n)
                members = {"warps_m": warps_m, "stage": stage}
                return _Tiling(tiles * problem.groups, tile_m * tile_n, stage, shared, members)
        warps_m *= 2
    return None


def _split(problem: Problem, gpu: Gpu, tiles: int, stage: int) -> tuple[int, int, int]:
    """Return tiles times splits, splits, and the k of each: integer sums may be cut anywhere."""
    depth = max(1, problem.depth)
    wanted = max(1, min(gpu.multiprocessors // max(1, tiles), depth // _LEAST_SPLIT))
    each = -(-depth // wanted)
    each = -(-each // stage) * stage if wanted > 1 else depth
    splits = -(-depth // each)
    return tiles * splits, splits, each


def _launch(
    kernel: launches.Kernel,
    problem: Problem,
    blocks: int,
    shared_bytes: int,
    members: dict[str, int],
) -> Launch:
    sizes = {
        "rows": problem.rows,
        "columns": problem.columns,
        "depth": problem.depth,
        "groups": problem.groups,
    }
    return Launch(kernel, blocks, shared_bytes, {**problem.indices, **sizes, **members})
