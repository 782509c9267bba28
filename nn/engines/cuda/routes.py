"""The ways to add up table entries on a GPU, what each takes and how each is launched.

Estimates are cycles of a multiprocessor per product, plus what a route does once per tile. They come
from the model of docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ....core.errors import EngineError
from . import launches
from .layouts import EXPANDED_CODES
from .tiling import POSITION_BYTES, TAP_BYTES, make_launch, split, tiling

if TYPE_CHECKING:
    from .digit_layout import DigitLayout
    from .gpus import Gpu
    from .launches import Launch
    from .problem import Problem


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
    LOWRANK = "lowrank"
    """Products of bytes on tensor cores: tables of low rank, where no tap is missing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a route would take.

    Attributes:
        route: the route.
        cycles: estimated, on the whole GPU.
        launch: how it would be launched.
        splits: how many blocks add to one result.
    """

    route: TableRoute
    cycles: float
    launch: Launch
    splits: int


# Cycles of a multiprocessor; docs/performance.md derives them from the compiled kernels.
_SHARED_PER_PRODUCT = 0.095
_CACHED_PER_PRODUCT = {2: 0.5, 4: 1.0}
_FEW_PER_PRODUCT = 0.35
_EXPANDED_PER_K = 1700.0
_TABLE_COPY_PER_BYTE = 1 / 64

_LANE_COLUMNS = 4
_EXPANDED_COLUMNS, _EXPANDED_STAGE = 512, 8
_EXPANDED_ROWS = {2: 64, 4: 32}
_FEW_COLUMNS, _FEW_STAGE, _FEW_BYTES = 1024, 64, 32 << 10
_LOWRANK_COLUMNS, _LOWRANK_WARPS, _LOWRANK_STAGE_BYTES = 256, 4, 128
# Cycles per 16 digits of a warp's 64 columns, and more per row; per k of a tile.
_LOWRANK_LOOKUPS, _LOWRANK_PER_ROW, _LOWRANK_PER_K = 24.8, 0.19, 22.0


def shared(
    problem: Problem, gpu: Gpu, table_bytes: int, members: dict[str, int]
) -> Estimate | None:
    """Return the estimate with the table in shared memory; None if it does not fit."""
    cut = tiling(
        problem, gpu, table_bytes, weight_bytes=4, activation_bytes=2, lane_columns=_LANE_COLUMNS
    )
    if cut is None:
        return None
    tiles, splits, depth = split(problem, gpu, cut.tiles, cut.stage)
    blocks = min(tiles, gpu.multiprocessors)
    launch = make_launch(
        launches.rows_kernel(2, shared=True),
        problem,
        blocks,
        cut.shared_bytes,
        {**members, **cut.members, "splits": splits, "split_depth": depth},
    )
    each = depth * cut.results * _SHARED_PER_PRODUCT
    cycles = table_bytes * _TABLE_COPY_PER_BYTE + -(-tiles // blocks) * each
    return Estimate(TableRoute.SHARED, cycles, launch, splits)


def cached(problem: Problem, gpu: Gpu, entry_bytes: int, members: dict[str, int]) -> Estimate:
    """Return the estimate with the table in caches."""
    cut = tiling(problem, gpu, 0, weight_bytes=4, activation_bytes=2, lane_columns=_LANE_COLUMNS)
    if cut is None:
        raise EngineError(
            "the GPU has too little shared memory for any kernel",
            got=gpu,
            expected="compute capability 7.5 or later",
        )
    tiles, splits, depth = split(problem, gpu, cut.tiles, cut.stage)
    launch = make_launch(
        launches.rows_kernel(entry_bytes, shared=False),
        problem,
        tiles,
        cut.shared_bytes,
        {**members, **cut.members, "splits": splits, "split_depth": depth},
    )
    each = depth * cut.results * _CACHED_PER_PRODUCT[entry_bytes]
    return Estimate(TableRoute.CACHED, -(-tiles // gpu.multiprocessors) * each, launch, splits)


def expanded(problem: Problem, gpu: Gpu, entry_bytes: int, members: dict[str, int]) -> Estimate:
    """Return the estimate with the table laid out for a tile's weights."""
    stage = _EXPANDED_STAGE
    shared = (EXPANDED_CODES + 1) * 128 + _EXPANDED_COLUMNS * POSITION_BYTES
    shared += 2 * stage * TAP_BYTES + stage * _EXPANDED_COLUMNS * 4
    count = -(-problem.columns // _EXPANDED_COLUMNS) * -(
        -problem.rows // _EXPANDED_ROWS[entry_bytes]
    )
    tiles, splits, depth = split(problem, gpu, count * problem.groups, stage)
    launch = make_launch(
        launches.expanded_kernel(entry_bytes),
        problem,
        tiles,
        shared,
        {**members, "stage": stage, "splits": splits, "split_depth": depth},
    )
    cycles = -(-tiles // gpu.multiprocessors) * depth * _EXPANDED_PER_K
    return Estimate(TableRoute.EXPANDED, cycles, launch, splits)


def few(
    problem: Problem,
    gpu: Gpu,
    entry_bytes: int,
    members: dict[str, int],
    *,
    saturating: bool = False,
) -> Estimate:
    """Return the estimate with the rows of one output's weights."""
    row_bytes = members["table_stride"] * entry_bytes
    stage = max(1, min(_FEW_STAGE, _FEW_BYTES // row_bytes, problem.depth))
    count = -(-problem.columns // _FEW_COLUMNS) * problem.rows * problem.groups
    tiles, splits, depth = split(problem, gpu, count, stage)
    if saturating:
        tiles, splits, depth = count, 1, max(1, problem.depth)
    launch = make_launch(
        launches.few_kernel(entry_bytes, saturating=saturating),
        problem,
        tiles,
        stage * (row_bytes + TAP_BYTES),
        {**members, "stage": stage, "splits": splits, "split_depth": depth},
    )
    each = depth * (_FEW_COLUMNS * _FEW_PER_PRODUCT + row_bytes * _TABLE_COPY_PER_BYTE)
    return Estimate(TableRoute.FEW, -(-tiles // gpu.multiprocessors) * each, launch, splits)


def lowrank(problem: Problem, gpu: Gpu, digits: DigitLayout, members: dict[str, int]) -> Estimate:
    """Return the estimate with products of bytes on tensor cores."""
    rows = next((r for r in launches.LOWRANK_ROWS if problem.rows <= r), launches.LOWRANK_ROWS[-1])
    stage = _LOWRANK_STAGE_BYTES // digits.width
    activation_rows = digits.activations.shape[1]
    shared_bytes = -(-activation_rows * digits.width // 16) * 16
    shared_bytes += _LOWRANK_COLUMNS * POSITION_BYTES + 2 * stage * TAP_BYTES
    shared_bytes += rows * (_LOWRANK_STAGE_BYTES + 16) + _LOWRANK_COLUMNS * (stage + 2) * 2
    count = -(-problem.columns // _LOWRANK_COLUMNS) * -(-problem.rows // rows) * problem.groups
    tiles, splits, depth = split(problem, gpu, count, stage)
    cut = {"splits": splits, "split_depth": depth}
    plain = make_launch(
        launches.lowrank_kernel(rows), problem, tiles, shared_bytes, {**members, **cut}
    )
    launch = replace(
        plain,
        members={
            **{f"gather.{name}": value for name, value in plain.members.items()},
            "row_bytes": -(-problem.depth // stage) * _LOWRANK_STAGE_BYTES,
            "passes": digits.passes,
            "digit_bits": digits.width.bit_length() - 1,
            "activation_rows": activation_rows,
        },
    )
    per_digits = _LOWRANK_WARPS * (_LOWRANK_LOOKUPS + rows * _LOWRANK_PER_ROW)
    each = depth * digits.passes * (digits.width / 16 * per_digits + _LOWRANK_PER_K)
    return Estimate(TableRoute.LOWRANK, -(-tiles // gpu.multiprocessors) * each, launch, splits)
