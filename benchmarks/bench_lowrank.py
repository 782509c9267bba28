"""Which designs are of low rank, and what products of digits gain over look-ups; part of bench_engines.py."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
from rtlgrad.core.errors import RtlgradError
from rtlgrad.lutgen.store import find, load_table, stored_names
from rtlgrad.nn import LookupTable, get_engine
from rtlgrad.nn.engines.lowrank_search import find_factors
from rtlgrad.nn.engines.lowrank_types import LowRankFactors
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.engines.routes import Route, choose_route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench_routes import Shape
    from rtlgrad.lutgen.table import ProductTable

LOOK_UPS = (Route.PLANES, Route.RESIDUAL, Route.EXPANDED)


@dataclass(frozen=True, slots=True)
class DesignRates:
    """A design's products per second by one thread, on several shapes.

    Attributes:
        name: of the design.
        rank: of its table beside functions of one operand, as the factors have it; None if there are none.
        products: G, products of digits; None likewise.
        seconds: that the search for factors took, successful or not.
        gmacs: 10^9 products per second, by route and shape; routes that cannot serve it are left out.
        taken: the router's route for each shape.
    """

    name: str
    rank: int | None
    products: int | None
    seconds: float
    gmacs: dict[str, list[float]]
    taken: list[str]


def kulkarni() -> np.ndarray:
    """Return the products of 2x2 blocks that give 7 for 3 times 3 (P. Kulkarni et al., VLSI Design 2011).

    The blocks' errors add up to ``2 s(a) s(b)``, s the sum of 4^i over the digits to base 4 that are 3.
    """
    codes = np.arange(256)
    threes = sum((codes >> 2 * i & 3 == 3) * 4**i for i in range(4))
    return np.multiply.outer(codes, codes) - 2 * np.multiply.outer(threes, threes)


def truncated(columns: int) -> np.ndarray:
    """Return products without the partial products of the lowest columns."""
    a, b = np.arange(256)[:, None], np.arange(256)[None, :]
    lost = sum(((a >> i & 1) * (b & (1 << columns - i) - 1)) << i for i in range(columns))
    return a * b - lost


def measure_designs(
    store: Path,
    shapes: Sequence[Shape],
    codes: Callable[[Shape], tuple[np.ndarray, np.ndarray]],
    median_seconds: Callable[..., float],
) -> list[DesignRates]:
    """Measure every design of a store that has a table of 8 by 8 bits."""
    found = []
    for name in stored_names(store):
        try:
            table = load_table(find(store, name))
        except RtlgradError:  # mantissas, or operands too wide for a table
            continue
        if table.products.shape == (256, 256):
            found.append(_measured(name, table, shapes, codes, median_seconds))
    return found


def _measured(
    name: str,
    products: ProductTable,
    shapes: Sequence[Shape],
    codes: Callable[[Shape], tuple[np.ndarray, np.ndarray]],
    median_seconds: Callable[..., float],
) -> DesignRates:
    table, isa = LookupTable(products.products), current_isa()
    begin = time.thread_time()
    factors = find_factors(table.products)
    seconds = time.thread_time() - begin
    engine = get_engine("native")
    gmacs: dict[str, list[float]] = {}
    estimates = choose_route(shapes[0].work, table, isa).estimates
    able = {one.route for one in estimates if one.seconds is not None}
    for route in (*LOOK_UPS, Route.LOWRANK):
        if route not in able:
            continue
        for shape in shapes:
            x, w = codes(shape)
            with mock.patch.dict(os.environ, RTLGRAD_ROUTE=route):
                each = median_seconds(
                    lambda x=x, w=w, g=shape.geometry: engine.conv2d(x, w, table, g, threads=1),
                    threads=1,
                )
            gmacs.setdefault(route, []).append(shape.work.products / each / 1e9)
    known = isinstance(factors, LowRankFactors)
    return DesignRates(
        name,
        factors.rank if known else None,
        factors.bytes.count if known else None,
        seconds,
        gmacs,
        [choose_route(shape.work, table, isa).route for shape in shapes],
    )


def report_designs(rates: Sequence[DesignRates]) -> str:
    """Render the measurements as a table of Markdown."""
    routes = [route for route in (*LOOK_UPS, Route.LOWRANK) if any(route in r.gmacs for r in rates)]
    lines = [
        "| design | rank | G | search, s | " + " | ".join(routes) + " | taken |",
        "|---|---:|---:|---:|" + "---:|" * len(routes) + "---|",
    ]
    for rate in rates:
        cells = [
            " / ".join(f"{one:.0f}" for one in rate.gmacs[route]) if route in rate.gmacs else "-"
            for route in routes
        ]
        taken = rate.taken[0] if len(set(rate.taken)) == 1 else " / ".join(rate.taken)
        rank, products = ("-" if one is None else str(one) for one in (rate.rank, rate.products))
        lines.append(
            f"| {rate.name} | {rank} | {products} | {rate.seconds:.2f} | "
            + " | ".join(cells)
            + f" | {taken} |"
        )
    return "\n".join(lines)
