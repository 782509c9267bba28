"""Products per second of the engines' routes, whole layers and training steps, against torch.

Run as a script::

    python benchmarks/bench_engines.py [--json FILE] [--only PART ...]

Shapes are M x K x N: M rows of weights (output channels), K products per output, N positions. Times are
medians; ratios compare runs of one invocation on one machine. What one thread does is timed by its CPU
time, so that other work on the machine disturbs little; what several do, by the wall clock. Routes are
measured on the convolution or matrix product that the shape stands for, packing included. As in the
training commands, freed memory stays in the process, for torch and for the engines alike.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_layers import measure_layers, measure_models, report_timings
from bench_lowrank import measure_designs, report_designs
from bench_mantissa import measure_float_scaling, measure_floats, report_floats
from bench_memory import measure_memory
from bench_routes import (
    SHAPES,
    drawn_codes,
    measure_routes,
    measure_scaling,
    measure_wide_tables,
    report_rates,
)
from rtlgrad.core.files import readable_json
from rtlgrad.nn.engines.calibration import cpu_model
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.training.allocator import keep_freed_memory
from timing import median_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CORES = os.cpu_count() or 1
COUNTS = sorted({1, CORES})
STORE = Path("out/luts")
"""Where characterized designs are."""


def report_memory(extra: Mapping[str, float]) -> str:
    """Render the memory that calls take beside operands and results."""
    return "\n".join(f"{name:<40}{mib:>8.1f} MiB" for name, mib in extra.items())


PARTS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], str]]] = {
    "routes": (lambda: measure_routes(COUNTS), report_rates),
    "wide": (measure_wide_tables, report_rates),
    "designs": (
        lambda: measure_designs(STORE, SHAPES, drawn_codes, median_seconds),
        report_designs,
    ),
    "scaling": (lambda: measure_scaling(COUNTS), report_rates),
    "layers": (measure_layers, report_timings),
    "models": (lambda: [t for count in COUNTS for t in measure_models(count)], report_timings),
    "floats": (lambda: measure_floats(median_seconds, COUNTS), report_floats),
    "float_scaling": (lambda: measure_float_scaling(median_seconds, COUNTS), report_floats),
    "memory_mib": (measure_memory, report_memory),
}
"""What is measured, and how it is printed, by name."""


def main() -> int:
    """Run the benchmark; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the measurements there as well")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    keep_freed_memory()
    content: dict[str, object] = {"cpu": cpu_model(), "isa": current_isa().name, "cores": CORES}
    for part in options.only:
        measure, report = PARTS[part]
        found = measure()
        print(f"== {part}\n{report(found)}\n", flush=True)
        content[part] = (
            [asdict(one) for one in found if is_dataclass(one) and not isinstance(one, type)]
            if isinstance(found, list)
            else found
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(readable_json(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
