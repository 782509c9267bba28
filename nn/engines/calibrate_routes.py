"""Times the routes of the native engine; see `calibration.py`."""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from .calibration import Calibration, build_name, cpu_model
from .native import NativeEngine
from .native_library import current_isa
from .routes import Route, Workload, estimate_route, forget_choices
from .types import Conv2dGeometry, LookupTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_REPEATS = 5
# Images and kernels: a convolution with few outputs, and a matrix product with many.
_LAYERS = (((4, 16, 32, 32), (16, 16, 3, 3)), ((256, 256, 1, 1), (64, 256, 1, 1)))


def calibrate() -> Calibration:
    """Time every route that runs here, by one thread, keep the result in the cache, and return it.

    It takes about a second. The instruction set is that of ``RTLGRAD_ISA``, else the best.

    Raises:
        EngineError: the library cannot be built.
        ConfigError: the cache cannot be written.
    """
    isa = current_isa()
    ratios: dict[str, list[float]] = {}
    for route, table in _ways():
        for x, w in _LAYERS:
            work = Workload(w[0], math.prod(w[1:]), x[0] * x[2] * x[3])
            estimate = estimate_route(route, work, table, isa)
            if estimate.seconds is not None:
                taken = _seconds(route, table, x, w)
                ratios.setdefault(estimate.way, []).append(taken / estimate.seconds)
    found = {way: math.exp(statistics.fmean(map(math.log, some))) for way, some in ratios.items()}
    made = Calibration(cpu_model(), build_name(), isa.name, found)
    made.store()
    forget_choices()
    return made


def _ways() -> Iterator[tuple[Route, LookupTable]]:
    """Yield each route with tables of every kind that it knows."""
    rng = np.random.default_rng(0)

    def drawn(bits: int) -> LookupTable:
        return LookupTable(rng.integers(0, 1 << bits, (256, 256)).astype(np.int32))

    by_width = {bits: drawn(bits) for bits in (8, 16, 24, 31)}
    yield Route.ROWS, by_width[16]
    yield Route.EXPANDED, by_width[16]
    yield Route.EXPANDED, by_width[31]
    for drawn_table in by_width.values():
        yield Route.PLANES, drawn_table
    exact = np.multiply.outer(np.arange(256), np.arange(256))
    yield Route.RESIDUAL, LookupTable(exact.astype(np.int32))
    left, right = rng.integers(0, 100, (2, 3, 256))
    for table in (exact, exact + left.T @ right):
        yield Route.LOWRANK, LookupTable(table.astype(np.int32))
    error = rng.integers(0, 200, exact.shape)
    yield Route.RESIDUAL, LookupTable((exact + error).astype(np.int32))


def _seconds(
    route: Route, table: LookupTable, x_shape: tuple[int, ...], w_shape: tuple[int, ...]
) -> float:
    """Return the median time of one thread for a layer, after a run to warm up."""
    rng = np.random.default_rng(1)
    x, w = (_codes(rng, shape) for shape in (x_shape, w_shape))
    geometry = Conv2dGeometry(padding=(w_shape[2] // 2,) * 4)
    engine, times = NativeEngine(), []
    for _ in range(_REPEATS + 1):
        start = time.thread_time()
        engine.conv2d(x, w, table, geometry, threads=1, route=route)
        times.append(time.thread_time() - start)
    return max(statistics.median(times[1:]), 1e-9)


def _codes(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return rng.integers(0, 256, shape).astype(np.uint8)
