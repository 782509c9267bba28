"""Products per second of the engines' routes, whole layers and training steps, against torch.

Run as a script::

    python benchmarks/bench_engines.py [--json FILE] [--only routes designs layers models floats scaling]

Shapes are M x K x N: M rows of weights (output channels), K products per output, N positions.
Times are medians; ratios compare runs of one invocation on one machine. What one thread does is
timed by the CPU time of that thread, so that other work on the machine disturbs little; what several do,
by the wall clock. Routes are
measured on the convolution or matrix product that the shape stands for, packing included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import torch
from bench_lowrank import kulkarni, measure_designs, report_designs, truncated
from bench_mantissa import measure_floats, measure_scaling, peak_memory_mib, report_floats
from gather_baseline import gather_gemm, runs_here
from rtlgrad.core.files import readable_json
from rtlgrad.lutgen.table import ProductTable, exact_table
from rtlgrad.nn import ApproxConv2d, Conv2dGeometry, LookupTable, approximate, calibrate, get_engine
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.engines.routes import Route, Workload, choose_route
from rtlgrad.nn.models import build_model
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPEATS = 9
BASELINE, TORCH = "AVX2 gather (AdaPT)", "torch fp32 mm"


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
        way: instruction set, route and kind of table; or `BASELINE`, or `TORCH`.
        threads: how many it was given.
        gmacs: 10^9 products looked up and added per second.
    """

    shape: str
    way: str
    threads: int
    gmacs: float


@dataclass(frozen=True, slots=True)
class Timing:
    """A layer or a step in milliseconds, beside what it is compared with.

    Attributes:
        name: of the layer or model, and what is done.
        ms: with table products.
        reference: what the other time is of.
        reference_ms: the other time.
    """

    name: str
    ms: float
    reference: str
    reference_ms: float


def median_seconds(action: Callable[[], object], *, threads: int, repeats: int = REPEATS) -> float:
    """Return the median time of ``action`` over ``repeats`` runs, after one to warm up."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


def tables() -> dict[str, ProductTable]:
    """Return a table for each number of planes: what is timed does not depend on more."""
    rng = np.random.default_rng(0)
    exact = exact_table(8, 8).products
    return {
        "any 16-bit table": ProductTable(rng.integers(0, 65026, (256, 256)).astype(np.int32)),
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
            yield isa.name, Route.ROWS, "any 16-bit table"
            yield isa.name, Route.EXPANDED, "any 16-bit table"
    if current_isa().name == "vbmi":
        yield "vbmi", Route.PLANES, "any 16-bit table"
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
        for isa, route, name in ways():
            for threads in thread_counts:
                if threads > 1 and isa != current_isa().name:
                    continue
                seconds = _route_seconds(shape, made[name], isa, route, threads)
                way = f"{isa} {route}, {name}"
                found.append(_rate(shape, way, threads, seconds))
        found += _comparisons(shape, made["any 16-bit table"], thread_counts)
    return found


def _route_seconds(shape: Shape, table: LookupTable, isa: str, route: str, threads: int) -> float:
    x, w = _codes(shape)
    engine = get_engine("native")
    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa, RTLGRAD_ROUTE=route):
        return median_seconds(
            lambda: engine.conv2d(x, w, table, shape.geometry, threads=threads), threads=threads
        )


def _codes(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
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
    x = rng.integers(0, 256, (work.taps, work.positions)).astype(np.uint8)
    w = rng.integers(0, 256, (work.outputs, work.taps)).astype(np.uint8)
    found = []
    if runs_here():
        seconds = median_seconds(lambda: gather_gemm(table.columns, w, x), threads=1, repeats=3)
        found.append(_rate(shape, BASELINE, 1, seconds))
    a, b = torch.tensor(w).float(), torch.tensor(x).float()
    for threads in thread_counts:
        torch.set_num_threads(threads)
        found.append(_rate(shape, TORCH, threads, median_seconds(lambda: a @ b, threads=threads)))
    return found


def measure_layers() -> list[Timing]:
    """Compare whole layers, float in and out, with their sums of table entries alone."""
    torch.set_num_threads(1)
    found = []
    for name, table in tables().items():
        lookup = LookupTable(table.products)
        for shape in RESNET20_LAYERS:
            layer = ApproxConv2d(
                *(shape.w[1], shape.w[0], shape.w[2]), padding=shape.w[2] // 2, table=table
            ).eval()
            x = torch.rand(shape.x)
            layer.activation.low.fill_(0.0)
            layer.activation.high.fill_(1.0)
            choice = choose_route(shape.work, lookup, current_isa())
            with torch.no_grad():
                whole = median_seconds(lambda layer=layer, x=x: layer(x), threads=1)
            sums = _route_seconds(shape, lookup, current_isa().name, choice.route, 1)
            what = f"{shape.name}, {name}: layer"
            found.append(Timing(what, whole * 1e3, f"its {choice.route} sums", sums * 1e3))
    return found


def measure_models(threads: int) -> list[Timing]:
    """Compare forwards and training steps with the same models in fp32."""
    torch.set_num_threads(threads)
    found = []
    for model, size, classes, batch in (
        ("lenet5", (1, 28, 28), 10, 128),
        ("resnet20", (3, 32, 32), 10, 128),
    ):
        x, y = torch.rand((batch, *size)), torch.randint(0, classes, (batch,))
        exact = build_model(model, in_channels=size[0], num_classes=classes, image_size=size[1:])
        base = {
            what: median_seconds(act, threads=threads, repeats=3)
            for what, act in _actions(exact, x, y).items()
        }
        for name, table in tables().items():
            approx = build_model(
                model, in_channels=size[0], num_classes=classes, image_size=size[1:]
            )
            approximate(approx, table)
            calibrate(approx, [x])
            for what, act in _actions(approx, x, y).items():
                ms = median_seconds(act, threads=threads, repeats=3) * 1e3
                label = f"{model}, batch {batch}, {what}, {name}"
                found.append(Timing(label, ms, "fp32", base[what] * 1e3))
    return found


def _actions(
    model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor
) -> dict[str, Callable[[], object]]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return {"forward": forward, "training step": step}


def report_rates(rates: list[Rate]) -> str:
    """Render rates, each with its ratio to the baseline and to torch by as many threads."""
    lines = [
        f"{'shape':<15}{'way':<38}{'threads':>8}{'GMAC/s':>9}{'of gather':>11}{'of fp32 mm':>12}"
    ]
    for rate in rates:
        ratios = (_ratio(rate, rates, BASELINE, 1), _ratio(rate, rates, TORCH, rate.threads))
        cells = "".join(f"{text:>12}" for text in ratios)
        lines.append(f"{rate.shape:<15}{rate.way:<38}{rate.threads:>8}{rate.gmacs:>8.2f}{cells}")
    return "\n".join(lines)


def _ratio(rate: Rate, rates: list[Rate], way: str, threads: int) -> str:
    for other in rates:
        if (other.shape, other.way, other.threads) == (rate.shape, way, threads):
            return f"{rate.gmacs / other.gmacs:.2f}"
    return "-"


def report_timings(timings: list[Timing]) -> str:
    """Render timings with their ratios."""
    lines = [f"{'what':<58}{'ms':>9}   {'compared with':<20}{'ms':>9}{'ratio':>8}"]
    for one in timings:
        ratio = one.ms / one.reference_ms
        lines.append(
            f"{one.name:<58}{one.ms:>9.2f}   {one.reference:<20}{one.reference_ms:>9.2f}{ratio:>8.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the measurements there as well")
    parts = ("routes", "designs", "layers", "models", "floats", "scaling")
    parser.add_argument("--store", type=Path, default=Path("out/luts"), help="designs to measure")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    content: dict[str, object] = {"isa": current_isa().name, "cores": cores}
    if "routes" in options.only:
        rates = measure_routes(sorted({1, cores}))
        print(report_rates(rates), flush=True)
        content["routes"] = [asdict(rate) for rate in rates]
    if "designs" in options.only:
        designs = measure_designs(options.store, SHAPES, _codes, median_seconds)
        print("\n" + report_designs(designs), flush=True)
        content["designs"] = [asdict(one) for one in designs]
    if "layers" in options.only:
        layers = measure_layers()
        print("\n" + report_timings(layers), flush=True)
        content["layers"] = [asdict(timing) for timing in layers]
    if "models" in options.only:
        models = measure_models(1)
        print("\n" + report_timings(models), flush=True)
        content["models"] = [asdict(timing) for timing in models]
    if "floats" in options.only:
        floats = measure_floats(median_seconds, sorted({1, cores}))
        print("\n" + report_floats(floats), flush=True)
        content["floats"] = [asdict(rate) for rate in floats]
    if "scaling" in options.only:
        scaling, memory = measure_scaling(median_seconds, sorted({1, cores})), peak_memory_mib()
        print("\n" + report_floats(scaling))
        print(
            "MiB beside operands and result: "
            + ", ".join(f"{n} {m:.1f}" for n, m in memory.items())
        )
        content["scaling"] = [asdict(rate) for rate in scaling]
        content["memory_mib"] = memory
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(readable_json(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
