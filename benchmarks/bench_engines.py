"""Products per second of each engine on three shapes of real layers, and ratios to torch.

Run as a script::

    python benchmarks/bench_engines.py [--json FILE]

Shapes are M x K x N: M weights rows (output channels), K products per output, N positions. Times
are medians; ratios compare runs of one invocation on one machine.
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

import numpy as np
import torch
from rtlgrad.core.files import readable_json
from rtlgrad.nn.engines import LookupTable, engine_names, get_engine
from rtlgrad.nn.engines.registry import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = {
    "ResNet-20 first stage": (16, 144, 32768),
    "ResNet-20 third stage": (64, 576, 2048),
    "Linear": (256, 1024, 128),
}
SLOW = {"numpy"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One engine on one shape.

    Attributes:
        shape: M x K x N.
        engine: an engine's name, or "torch fp32 mm".
        threads: how many it was given.
        gmacs: 10^9 products looked up and added per second.
    """

    shape: str
    engine: str
    threads: int
    gmacs: float


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of ``action`` over ``repeats`` runs, after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_shape(M: int, K: int, N: int, thread_counts: list[int]) -> list[Measurement]:
    """Measure every usable engine and torch's float matmul on one shape."""
    rng = np.random.default_rng(0)
    table = LookupTable(rng.integers(0, 65026, (256, 256)).astype(np.int32))
    activations = rng.integers(0, 256, (N, K)).astype(np.uint8)
    weights = rng.integers(0, 256, (K, M)).astype(np.uint8)
    shape, macs = f"{M}x{K}x{N}", M * K * N
    found = []
    for name in engine_names():
        if name == "auto" or not ENGINES[name].availability().usable:
            continue
        engine = get_engine(name)
        for threads in [1] if name in SLOW else thread_counts:
            seconds = median_seconds(
                lambda engine=engine, threads=threads: engine.matmul(
                    activations, weights, table, threads=threads
                ),
                1 if name in SLOW else 15,
            )
            found.append(Measurement(shape, name, threads, macs / seconds / 1e9))
    a, b = torch.tensor(activations).float(), torch.tensor(weights).float()
    for threads in thread_counts:
        torch.set_num_threads(threads)
        seconds = median_seconds(lambda: a @ b, 15)
        found.append(Measurement(shape, "torch fp32 mm", threads, macs / seconds / 1e9))
    return found


def report(results: list[Measurement]) -> str:
    """Render measurements, each with its ratio to torch's float matmul by as many threads."""
    lines = [f"{'shape':<14}{'engine':<16}{'threads':>8}{'GMAC/s':>10}{'of fp32 mm':>12}"]
    for result in results:
        base = next(
            other.gmacs
            for other in results
            if (other.shape, other.threads) == (result.shape, result.threads)
            and other.engine == "torch fp32 mm"
        )
        lines.append(
            f"{result.shape:<14}{result.engine:<16}{result.threads:>8}"
            f"{result.gmacs:>10.2f}{result.gmacs / base:>12.3f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the measurements there as well")
    options = parser.parse_args()
    thread_counts = sorted({1, min(2, os.cpu_count() or 1), os.cpu_count() or 1})
    results = [
        measurement
        for shape in SHAPES.values()
        for measurement in measure_shape(*shape, thread_counts)
    ]
    print(report(results))
    if options.json:
        content = {"shapes": SHAPES, "results": [asdict(result) for result in results]}
        options.json.write_text(readable_json(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
