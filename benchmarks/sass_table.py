"""Tables what the CUDA kernels compile to, and the rates that follow from it.

    python benchmarks/sass_table.py [--json out/sass.json]

Needs no GPU: NVRTC compiles for each architecture, nvdisasm lists the machine code (extra
``cuda-check``). The model is that of docs/performance.md; its figures are bounds, not measurements.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from rtlgrad.core.files import readable_json, write_atomic
from rtlgrad.nn.engines.cuda.gpus import GPUS, SOURCES
from rtlgrad.nn.engines.cuda.predictions import predict, routes


def main() -> int:
    """Print the table, where its figures come from, and perhaps write all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    arguments = parser.parse_args()
    rows = [
        predict(route, gpu)
        for route in routes()
        for gpu in GPUS.values()
        if route.table_bytes <= gpu.shared_bytes
    ]
    names = ("registers", "instructions", "issue", "memory", "tensor", "limiter", "tera_products")
    print(f"| route | GPU | {' | '.join(name.replace('_', ' ') for name in names)} |")
    print("|---|---|" + "---:|" * len(names))
    for row in rows:
        cells = ("" if asdict(row)[name] is None else str(asdict(row)[name]) for name in names)
        print(f"| {row.route} | {row.gpu} | {' | '.join(cells)} |")
    print("\n| figure | source |\n|---|---|")
    for figure, source in SOURCES.items():
        print(f"| {figure} | {source} |")
    if arguments.json:
        content = {"rows": [asdict(row) for row in rows], "sources": SOURCES}
        write_atomic(arguments.json, readable_json(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
