"""How a problem is cut up for the blocks of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .launches import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gpus import Gpu
    from .launches import Kernel
    from .problem import Problem

POSITION_BYTES = TAP_BYTES = 16
"""Of `struct Position` and `struct Tap` of gather.cuh."""

_WARPS = 16
_ROWS_PER_WARP, _LANES = 8, 32
_LEAST_SPLIT = 64


@dataclass(frozen=True, slots=True)
class Tiling:
    """How `tile_loop.cuh` cuts up a problem.

    Attributes:
        tiles: blocks' worth of results.
        results: of a tile.
        stage: k at a time.
        shared_bytes: of a block.
        members: of `struct Gemm`.
    """

    tiles: int
    results: int
    stage: int
    shared_bytes: int
    members: dict[str, int]


def tiling(
    problem: Problem,
    gpu: Gpu,
    table_bytes: int,
    *,
    weight_bytes: int,
    activation_bytes: int,
    lane_columns: int,
) -> Tiling | None:
    """Return how `tile_loop.cuh` cuts up a problem, or None if the GPU has too little shared memory.

    Args:
        problem: what to compute.
        gpu: where.
        table_bytes: of shared memory that the table takes.
        weight_bytes: of a weight as the kernel prepares it.
        activation_bytes: of an activation, likewise.
        lane_columns: results of a lane along n.
    """
    warps_m = 2 if problem.rows <= 16 else 4 if problem.rows <= 32 else 8
    while warps_m <= 8:
        tile_m = _ROWS_PER_WARP * warps_m
        tile_n = _LANES * lane_columns * (_WARPS // warps_m)
        for stage in (32, 16, 8, 4):
            shared = table_bytes + tile_n * POSITION_BYTES + 2 * stage * TAP_BYTES
            shared += stage * (tile_m * weight_bytes + tile_n * activation_bytes)
            if shared <= gpu.shared_bytes and stage < max(8, 2 * problem.depth):
                tiles = -(-problem.rows // tile_m) * -(-problem.columns // tile_n)
                members = {"warps_m": warps_m, "stage": stage}
                return Tiling(tiles * problem.groups, tile_m * tile_n, stage, shared, members)
        warps_m *= 2
    return None


def split(problem: Problem, gpu: Gpu, tiles: int, stage: int) -> tuple[int, int, int]:
    """Return tiles times splits, splits, and the k of each: integer sums may be cut anywhere."""
    depth = max(1, problem.depth)
    wanted = max(1, min(gpu.multiprocessors // max(1, tiles), depth // _LEAST_SPLIT))
    each = -(-depth // wanted)
    each = -(-each // stage) * stage if wanted > 1 else depth
    splits = -(-depth // each)
    return tiles * splits, splits, each


def make_launch(
    kernel: Kernel,
    problem: Problem,
    blocks: int,
    shared_bytes: int,
    members: Mapping[str, int],
) -> Launch:
    """Return a launch of a kernel that takes `struct Gemm`: the problem's numbers, and the plan's."""
    sizes = {
        "rows": problem.rows,
        "columns": problem.columns,
        "depth": problem.depth,
        "groups": problem.groups,
    }
    return Launch(kernel, blocks, shared_bytes, {**problem.indices, **sizes, **members})
