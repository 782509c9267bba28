"""Tables what the CUDA kernels compile to, and the rates that follow from it.

    python benchmarks/sass_table.py [--json out/sass.json]

Needs no GPU: NVRTC compiles for each architecture, nvdisasm lists the machine code (extra
``cuda-check``). The model is that of docs/performance.md; its figures are bounds, not measurements.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rtlgrad.core.errors import MissingToolError, RtlgradError
from rtlgrad.core.files import readable_json, write_atomic
from rtlgrad.nn.engines.cuda.gpus import GPUS, Gpu
from rtlgrad.nn.engines.cuda.launches import Kernel, expanded_kernel, mantissa_kernel, rows_kernel
from rtlgrad.nn.engines.cuda.nvrtc import compile_kernel

ISSUE_PER_CYCLE = 4  # warp instructions of a multiprocessor, one per scheduler
LANES = 32
# Of the 128 bytes a cycle that other architectures read from shared memory (Z. Jia et al., Dissecting
# the NVidia Turing T4 GPU via Microbenchmarking, 2019).
SHARED_RATE = {(7, 5): 0.5}
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)(.*)")
_LABEL = re.compile(r"^(\.L_\w+):")


@dataclass(frozen=True)
class Route:
    """A kernel to predict.

    Attributes:
        label: what the table calls it.
        kernel: what is compiled.
        marker: the instruction that looks a product up, as nvdisasm names it.
        results: products per marker and lane.
        conflicts: cycles that a warp's look-up occupies shared memory.
        table_bytes: of shared memory that the route cannot do without.
    """

    label: str
    kernel: Kernel
    marker: str
    results: int
    conflicts: float
    table_bytes: int


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        route: its label.
        gpu: the model.
        registers: per thread.
        instructions: per product, all of a lane's in the loop.
        issue: products per cycle of a multiprocessor that its schedulers allow.
        memory: products per cycle that shared memory and the first-level cache allow.
        limiter: the lesser of the two.
        tera_products: 10^12 products per second of the GPU at its boost clock.
    """

    route: str
    gpu: str
    registers: int
    instructions: float
    issue: float
    memory: float
    limiter: str
    tera_products: float


def conflict_degree(entries: int, entry_bytes: int, trials: int = 20000) -> float:
    """Return the cycles of a warp's load of random entries of one row, on average.

    32 banks of 4 bytes serve a word each per cycle; lanes that want the same word share it.
    """
    rng = np.random.default_rng(0)
    words = rng.integers(0, entries, (trials, LANES)) * entry_bytes // 4
    distinct = np.zeros((trials, entries * entry_bytes // 4), bool)
    np.put_along_axis(distinct, words, values=True, axis=1)
    return float(distinct.reshape(trials, -1, LANES).sum(axis=1).max(axis=1).mean())


def routes() -> list[Route]:
    """Return the routes that are limited by a multiprocessor, not by caches shared with others."""
    return [
        Route(
            "table, shared",
            rows_kernel(2, shared=True),
            *("LDS.U16", 1, conflict_degree(256, 2), 130 << 10),
        ),
        Route("table, expanded, 16 bit", expanded_kernel(2), "LDS", 2, 1.0, 57 << 10),
        Route("table, expanded, 32 bit", expanded_kernel(4), "LDS", 1, 1.0, 57 << 10),
        Route(
            "mantissas, 7 bit",
            mantissa_kernel(shared=True),
            *("LDS.U8", 1, conflict_degree(128, 1), 16 << 10),
        ),
    ]


def hot_loop(listing: str, marker: str) -> Counter[str]:
    """Return the instructions of the loop that goes through a warp's 32 look-ups.

    It is the shortest with so many markers: the rules for unusual mantissas are a loop of as many
    look-ups and far more instructions.
    """
    labels: dict[str, int] = {}
    code: list[tuple[str, str]] = []
    for line in listing.splitlines():
        if label := _LABEL.match(line):
            labels[label.group(1)] = len(code)
        elif found := _INSTRUCTION.match(line):
            # On sm_75 a load that does not wait for others has a further .U.
            name = re.sub(r"^LDS\.U(?=\.|$)", "LDS", found.group(1))
            code.append((name, found.group(2)))
    loops = []
    for end, (name, operands) in enumerate(code):
        target = re.search(r"\.L_\w+", operands) if name.startswith("BRA") else None
        if target and labels.get(target.group(), end + 1) <= end:
            loops.append(Counter(name for name, _ in code[labels[target.group()] : end + 1]))
    full = [loop for loop in loops if loop[marker] >= LANES]
    if not full:
        raise RtlgradError(
            "no loop of the machine code has a warp's look-ups",
            got=[loop[marker] for loop in loops],
            expected=f"{LANES} times {marker}",
        )
    return min(full, key=Counter.total)


def lookups(route: Route, loop: Counter[str]) -> int:
    """Return the look-ups of the loop; `table_expanded` has one other load of the same form."""
    return loop[route.marker] - (loop[route.marker] % LANES)


def memory_cycles(route: Route, loop: Counter[str]) -> float:
    """Return the cycles that a warp's pass of the loop occupies shared memory and L1.

    A vector load of one address for all lanes takes a cycle, the loads of a lane's own four
    activations as many as their bytes need at 128 a cycle. A store of 32 words takes one. A load of
    16 bytes per lane from 32 rows of the table touches 32 sectors of 32 bytes: 8 cycles, if
    they are in L1.
    """
    own = 4.0 if "mantissa" in route.kernel.name else 0.0
    vectors = loop["LDS.128"] + 2.0 * loop["LDS.64"]
    if own:
        vectors += own - 1.0  # one of the LDS.128 is the activations'
    stores = float(loop["STS"])
    # Of the loads of a weight's code, those of 16 bits are the other branch.
    loads = (name for name in loop if re.match(r"LDG\.E\.(U8|128)", name))
    fetched = 8.0 * sum(loop[name] for name in loads)
    others = loop[route.marker] % LANES
    return lookups(route, loop) * route.conflicts + vectors + stores + fetched + others


def predict(route: Route, gpu: Gpu, disassembler: Path) -> Row:
    """Compile a route for a GPU and derive its rate."""
    code = compile_kernel(route.kernel, gpu.architecture)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.cubin)
        file.flush()
        command = [str(disassembler), "-c", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loop = hot_loop(listing, route.marker)
    products = lookups(route, loop) * route.results
    issue = ISSUE_PER_CYCLE * LANES * products / loop.total()
    memory = LANES * products / memory_cycles(route, loop) * SHARED_RATE.get(gpu.capability, 1.0)
    rate = min(issue, memory) * gpu.multiprocessors * gpu.clock_ghz * 1e-3
    return Row(
        route=route.label,
        gpu=gpu.name,
        registers=code.registers,
        instructions=round(loop.total() / products, 2),
        issue=round(issue, 1),
        memory=round(memory, 1),
        limiter="issue" if issue < memory else "shared memory",
        tera_products=round(rate, 2),
    )


def find_disassembler() -> Path:
    """Return nvdisasm of the wheel nvidia-cuda-nvdisasm.

    Raises:
        MissingToolError: it is not installed.
    """
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    found = sorted(packages.glob("*/bin/nvdisasm"), reverse=True)
    if not found:
        raise MissingToolError(
            "nvdisasm is not installed", remedy="pip install 'rtlgrad[cuda-check]'"
        )
    return found[0]


def main() -> int:
    """Print the table and perhaps write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    arguments = parser.parse_args()
    disassembler = find_disassembler()
    rows = [
        predict(route, gpu, disassembler)
        for route in routes()
        for gpu in GPUS.values()
        if route.table_bytes <= gpu.shared_bytes
    ]
    names = ("registers", "instructions", "issue", "memory", "limiter", "tera_products")
    print(f"| route | GPU | {' | '.join(name.replace('_', ' ') for name in names)} |")
    print("|---|---|" + "---:|" * len(names))
    for row in rows:
        print(f"| {row.route} | {row.gpu} | {' | '.join(str(asdict(row)[n]) for n in names)} |")
    if arguments.json:
        write_atomic(arguments.json, readable_json([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
