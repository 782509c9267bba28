"""Rates of the integer engine's routes, beside the gather baseline and torch; their scaling."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import torch
from bench_lowrank import kulkarni, truncated
from gather_baseline import gather_gemm, runs_here
from rtlgrad.lutgen.table import ProductTable, exact_table
from rtlgrad.nn import Conv2dGeometry, LookupTable, get_engine
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.engines.routes import Route, Workload, choose_route
from timing import REPEATS, median_seconds
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

BASELINE, TORCH, TORCH_CONV = "AVX2 gather (AdaPT)", "torch fp32 mm", "torch fp32 conv2d"
ANY = "any 16-bit table"


@dataclass(frozen=True, slots=True)
class Shape:
    """One layer: its images and its kernel."""

    name: str
    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]

    @property
    def work(self) -> Workload:
        """Its size as a matrix product; padding keeps the image's size."""
        images, _, height, width = self.x
        return Workload(self.w[0], int(np.prod(self.w[1:])), images * height * width)

    @property
    def geometry(self) -> Conv2dGeometry:
        """Padding that keeps the image's size."""
        return Conv2dGeometry(padding=(self.w[2] // 2,) * 4)


SHAPES = (
    Shape("ResNet-20 first stage", (32, 16, 32, 32), (16, 16, 3, 3)),
    Shape("ResNet-20 third stage", (32, 64, 8, 8), (64, 64, 3, 3)),
    Shape("Linear", (128, 1024, 1, 1), (256, 1024, 1, 1)),
)
RESNET20_LAYERS = (
    Shape("stage 1", (64, 16, 32, 32), (16, 16, 3, 3)),
    Shape("stage 2", (64, 32, 16, 16), (32, 32, 3, 3)),
    Shape("stage 3", (64, 64, 8, 8), (64, 64, 3, 3)),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A shape by one route, or by something to compare with.

    Attributes:
        shape: M x K x N.
        way: instruction set, route and kind of table; or what it is compared with.
        threads: how many it was given.
        gmacs: 10^9 products looked up and added per second.
        of_gather: the rate by the gather baseline's, None where that cannot run.
        of_torch: the rate by that of torch's fp32 matrix product with as many threads.
    """

    shape: str
    way: str
    threads: int
    gmacs: float
    of_gather: float | None = None
    of_torch: float | None = None


def tables() -> dict[str, ProductTable]:
    """Return a table for each number of planes: what is timed does not depend on more."""
    rng = np.random.default_rng(0)
    exact = exact_table(8, 8).products
    return {
        ANY: ProductTable(rng.integers(0, 65026, (256, 256)).astype(np.int32)),
        "any 20-bit table": ProductTable(rng.integers(0, 2**20, (256, 256)).astype(np.int32)),
        "error of 8 bits": ProductTable(
            (exact - rng.integers(0, 200, (256, 256))).astype(np.int32)
        ),
        "exact": exact_table(8, 8),
    }


def low_rank_tables() -> dict[str, ProductTable]:
    """Return tables whose error is of rank 0, 1 and 4."""
    return {
        "exact": exact_table(8, 8),
        "Kulkarni": ProductTable(kulkarni().astype(np.int32)),
        "without 4 low columns": ProductTable(truncated(4).astype(np.int32)),
    }


def ways() -> Iterator[tuple[str, str, str]]:
    """Yield (instruction set, route, table) worth measuring on this CPU."""
    best = current_isa().index
    for isa in ISAS.values():
        if isa.index <= best:
            yield isa.name, Route.ROWS, ANY
            yield isa.name, Route.EXPANDED, ANY
    if current_isa().name == "vbmi":
        yield "vbmi", Route.PLANES, ANY
        yield "vbmi", Route.PLANES, "any 20-bit table"
        yield "vbmi", Route.RESIDUAL, "error of 8 bits"
        yield "vbmi", Route.RESIDUAL, "exact"
    for isa in ISAS.values():
        if isa.index <= best:
            for name in low_rank_tables():
                yield isa.name, Route.LOWRANK, name


def measure_routes(thread_counts: list[int]) -> list[Rate]:
    """Measure every route on every shape by one thread, and the router's by all."""
    known = {**tables(), **low_rank_tables()}
    made = {name: LookupTable(table.products) for name, table in known.items()}
    found = []
    for shape in SHAPES:
        rates = _comparisons(shape, made[ANY], thread_counts)
        for isa, route, name in ways():
            for threads in thread_counts:
                if threads > 1 and isa != current_isa().name:
                    continue
                seconds = route_seconds(shape, made[name], isa, route, threads)
                way = f"{isa} {route}, {name}"
                rates.append(_rate(shape, way, threads, seconds))
        found += [_compared(rate, rates) for rate in rates]
    return found


def measure_wide_tables() -> list[Rate]:
    """Measure the routes of a table of 12 x 12 bits (64 MiB), and plain gathers from it."""
    rng = np.random.default_rng(0)
    table = LookupTable(rng.integers(0, 1 << 24, (4096, 4096)).astype(np.int32))
    found = []
    for shape in SHAPES:
        x, w = (rng.integers(0, 4096, size).astype(np.int16) for size in (shape.x, shape.w))
        rates = _gathered(shape, table, rng.integers(0, 4096, _matrix(shape)).astype(np.int16), w)
        for isa in ISAS.values():
            if isa.index > current_isa().index:
                continue
            for route in (Route.ROWS, Route.EXPANDED):
                seconds = route_seconds(shape, table, isa.name, route, 1, codes=(x, w), repeats=3)
                rates.append(_rate(shape, f"{isa.name} {route}, 12 x 12 bits", 1, seconds))
        found += [_compared(rate, rates) for rate in rates]
    return found


def measure_scaling(thread_counts: list[int]) -> list[Rate]:
    """Measure the router's choice for one layer over batches, channels and threads."""
    table = LookupTable(tables()[ANY].products)
    found = []
    for batch, channels in ((1, 16), (8, 16), (64, 16), (64, 32), (64, 64)):
        shape = Shape("scaling", (batch, channels, 32, 32), (channels, channels, 3, 3))
        route = choose_route(shape.work, table, current_isa()).route
        for threads in thread_counts:
            seconds = route_seconds(shape, table, current_isa().name, route, threads, repeats=5)
            way = f"{route}, batch {batch}, {channels} channels of 32x32"
            found.append(_rate(shape, way, threads, seconds))
    return found


def _compared(rate: Rate, rates: list[Rate]) -> Rate:
    def of(way: str, threads: int) -> float | None:
        others = [r.gmacs for r in rates if (r.way, r.threads) == (way, threads)]
        return rate.gmacs / others[0] if others else None

    return replace(rate, of_gather=of(BASELINE, 1), of_torch=of(TORCH, rate.threads))


def route_seconds(
    shape: Shape,
    table: LookupTable,
    isa: str,
    route: str,
    threads: int,
    *,
    codes: tuple[np.ndarray, np.ndarray] | None = None,
    repeats: int = REPEATS,
) -> float:
    """Return the median time of a layer's sums by a route; codes are drawn unless given."""
    x, w = codes or drawn_codes(shape)
    engine = get_engine("native")
    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa, RTLGRAD_ROUTE=route):
        return median_seconds(
            lambda: engine.conv2d(x, w, table, shape.geometry, threads=threads),
            threads=threads,
            repeats=repeats,
        )


def drawn_codes(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of 8 bits for a layer's images and kernel."""
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, shape.x).astype(np.uint8),
        rng.integers(0, 256, shape.w).astype(np.uint8),
    )


def _rate(shape: Shape, way: str, threads: int, seconds: float) -> Rate:
    work = shape.work
    size = f"{work.outputs}x{work.taps}x{work.positions}"
    return Rate(size, way, threads, work.products / seconds / 1e9)


def _comparisons(shape: Shape, table: LookupTable, thread_counts: list[int]) -> list[Rate]:
    work, rng = shape.work, np.random.default_rng(0)
    x = rng.integers(0, 256, _matrix(shape)).astype(np.uint8)
    w = rng.integers(0, 256, (work.outputs, work.taps)).astype(np.uint8)
    found = _gathered(shape, table, x, w)
    a, b = torch.tensor(w).float(), torch.tensor(x).float()
    for threads in thread_counts:
        torch.set_num_threads(threads)
        found.append(_rate(shape, TORCH, threads, median_seconds(lambda: a @ b, threads=threads)))
        if shape.w[2] > 1:
            x4, w4 = torch.rand(shape.x), torch.rand(shape.w)
            seconds = median_seconds(
                lambda x4=x4, w4=w4: functional.conv2d(x4, w4, padding=1), threads=threads
            )
            found.append(_rate(shape, TORCH_CONV, threads, seconds))
    return found


def _matrix(shape: Shape) -> tuple[int, int]:
    return shape.work.taps, shape.work.positions


def _gathered(shape: Shape, table: LookupTable, x: np.ndarray, w: np.ndarray) -> list[Rate]:
    """Measure the gather baseline, where it runs, on columns that are packed beforehand."""
    if not runs_here():
        return []
    kernel = w.reshape(shape.work.outputs, shape.work.taps)
    seconds = median_seconds(lambda: gather_gemm(table.columns, kernel, x), threads=1, repeats=3)
    return [_rate(shape, BASELINE, 1, seconds)]


def report_rates(rates: list[Rate]) -> str:
    """Render rates, each with its ratio to the baseline and to torch by as many threads."""
    lines = [
        f"{'shape':<15}{'way':<44}{'threads':>8}{'GMAC/s':>9}{'of gather':>11}{'of fp32 mm':>12}"
    ]
    for rate in rates:
        ratios = (rate.of_gather, rate.of_torch)
        cells = "".join(f"{'-' if ratio is None else f'{ratio:.2f}':>12}" for ratio in ratios)
        lines.append(f"{rate.shape:<15}{rate.way:<44}{rate.threads:>8}{rate.gmacs:>8.2f}{cells}")
    return "\n".join(lines)
