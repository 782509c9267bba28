"""What calls of the engines take beside operands and results: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench_mantissa import PRODUCTS, actions, exact_codes
from rtlgrad.lutgen.table import exact_table
from rtlgrad.nn import Conv2dGeometry, LookupTable, get_engine
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.engines.routes import Route, Workload, choose_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlgrad.nn.engines import MantissaLookup

    Shapes = tuple[tuple[int, ...], tuple[int, ...]]
    Tables = tuple[LookupTable, MantissaLookup]

TINY, LARGE = ((1, 2, 4, 4), (2, 2, 3, 3)), ((8, 256, 64, 64), (16, 256, 3, 3))


def measure_memory() -> dict[str, float]:
    """Return the extra memory of each route and product for a large layer, in MiB, by two threads.

    It is the growth of the process's greatest resident size during the call, less the result; a
    tiny layer has run before, so that libraries and tables are in memory.
    """
    names = [*(f"integers, {route}" for route in _routes()), *(f"floats, {p}" for p in PRODUCTS)]
    return {name: _extra_mib(name) for name in names}


def _routes() -> list[Route]:
    table = LookupTable(exact_table(8, 8).products)
    choice = choose_route(Workload(16, 2304, 32768), table, current_isa())
    return [estimate.route for estimate in choice.estimates if estimate.seconds is not None]


def _extra_mib(name: str) -> float:
    kind, _, which = name.partition(", ")
    environment = dict(os.environ, RTLGRAD_ROUTE=which) if kind == "integers" else os.environ
    done = subprocess.run(
        [sys.executable, __file__, name],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    grown_kib, result_bytes = json.loads(done.stdout)
    return max(0.0, grown_kib / 1024 - result_bytes / 2**20)


def _action(name: str, shapes: Shapes, tables: Tables) -> Callable[[], object]:
    """Return a call whose operands are in memory already."""
    kind, _, which = name.partition(", ")
    if kind == "floats":
        return actions(*shapes, tables[1], 2)[which]
    rng = np.random.default_rng(0)
    x, w = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)
    engine, geometry = get_engine("native"), Conv2dGeometry(padding=(1,) * 4)
    return lambda: engine.conv2d(x, w, tables[0], geometry, threads=2)


def _peak_kib() -> int:
    # Not ru_maxrss, which begins with what the parent had.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _measure_here(name: str) -> None:
    tables = (LookupTable(exact_table(8, 8).products), exact_codes(7))
    _action(name, TINY, tables)()
    act = _action(name, LARGE, tables)
    before = _peak_kib()
    result = act()
    assert isinstance(result, np.ndarray)
    print(json.dumps((_peak_kib() - before, result.nbytes)))


if __name__ == "__main__":
    _measure_here(sys.argv[1])
