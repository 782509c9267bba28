"""Rates that follow from the kernels' machine code: bounds, not measurements.

The model is that of docs/performance.md, its figures are those of `gpus.SOURCES`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ....core.errors import RtlgradError
from .launches import Kernel, expanded_kernel, lowrank_kernel, mantissa_kernel, rows_kernel
from .machine_code import MachineCode, machine_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from .gpus import Gpu

ISSUE_PER_CYCLE = 4
"""Warp instructions of a multiprocessor, one per scheduler."""

LANES = 32


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
        tensor: products per cycle that tensor cores allow; None where none are used.
        limiter: the least of these.
        tera_products: 10^12 products per second of the GPU.
    """

    route: str
    gpu: str
    registers: int
    instructions: float
    issue: float
    memory: float
    tensor: float | None
    limiter: str
    tera_products: float


@dataclass(frozen=True)
class Pass:
    """What a warp does for some products.

    Attributes:
        products: made by it.
        instructions: issued.
        memory_cycles: that shared memory and the first-level cache are occupied at 128 bytes a cycle.
        byte_products: of tensor cores.
    """

    products: float
    instructions: float
    memory_cycles: float
    byte_products: float = 0.0


@dataclass(frozen=True)
class Route:
    """A kernel to predict.

    Attributes:
        label: what the table calls it.
        kernel: what is compiled.
        table_bytes: of shared memory that the route cannot do without.
        count: reads a warp's work off the machine code.
    """

    label: str
    kernel: Kernel
    table_bytes: int
    count: Callable[[MachineCode], Pass]


def predict(route: Route, gpu: Gpu) -> Row:
    """Compile a route for a GPU and derive its rate.

    Raises:
        MissingToolError, ToolFailedError: see `machine_code`.
    """
    code = machine_code(route.kernel, gpu.architecture)
    work = route.count(code)
    limits = {
        "issue": ISSUE_PER_CYCLE * work.products / work.instructions,
        "shared memory": work.products / work.memory_cycles * gpu.shared_bandwidth / 128,
    }
    if work.byte_products:
        limits["tensor cores"] = gpu.byte_products * work.products / work.byte_products
    limiter = min(limits, key=lambda name: limits[name])
    rate = limits[limiter] * gpu.multiprocessors * gpu.clock_ghz * 1e-3
    tensor = limits.get("tensor cores")
    return Row(
        route=route.label,
        gpu=gpu.name,
        registers=code.registers,
        instructions=round(LANES * work.instructions / work.products, 2),
        issue=round(limits["issue"], 1),
        memory=round(limits["shared memory"], 1),
        tensor=None if tensor is None else round(tensor, 1),
        limiter=limiter,
        tera_products=round(rate, 2),
    )


def routes() -> Iterator[Route]:
    """Yield the routes that are limited by a multiprocessor, not by caches shared with others."""
    shared = conflict_degree(256, 2)
    yield Route(
        "table, shared", rows_kernel(2, shared=True), 130 << 10, _lookups("LDS.U16", 1, shared)
    )
    for entry_bytes in (2, 4):
        label = f"table, expanded, {8 * entry_bytes} bit"
        count = _lookups("LDS", 4 // entry_bytes, 1.0)
        yield Route(label, expanded_kernel(entry_bytes), 57 << 10, count)
    for width in (4, 8, 16):
        label = f"low rank, {width} digits"
        yield Route(label, lowrank_kernel(64), 34 << 10, _lowrank(width, 64))
    mantissas = conflict_degree(128, 1)
    count = _lookups("LDS.U8", 1, mantissas, own_activations=True)
    yield Route("mantissas, 7 bit", mantissa_kernel(shared=True), 16 << 10, count)


def conflict_degree(entries: int, entry_bytes: int) -> float:
    """Return the cycles of a warp's load of random entries of one row, on average."""
    rng = np.random.default_rng(0)
    return _cycles(rng.integers(0, entries, (_TRIALS, LANES)) * entry_bytes // 4)


def digit_conflicts(width: int, codes: int = 256) -> float:
    """Return the cycles of a warp's load of 4 digits a lane of the rows of random codes, on average.

    ``width / 4`` neighbouring lanes read the digits of one code.
    """
    words = width // 4
    rng = np.random.default_rng(0)
    row = rng.integers(0, codes, (_TRIALS, LANES // words)) * words
    return _cycles((row[:, :, None] + np.arange(words)).reshape(_TRIALS, LANES))


_TRIALS = 20000


def _cycles(words: NDArray[np.int64]) -> float:
    """Return how often the fullest of 32 banks is read; lanes that want the same word share it."""
    distinct = np.zeros((len(words), -(-int(words.max() + 1) // LANES) * LANES), bool)
    np.put_along_axis(distinct, words, values=True, axis=1)
    return float(distinct.reshape(len(words), -1, LANES).sum(axis=1).max(axis=1).mean())


def _lookups(
    marker: str, results: int, conflicts: float, *, own_activations: bool = False
) -> Callable[[MachineCode], Pass]:
    """Return what counts a kernel whose inner loop is a warp's look-ups.

    A vector load of one address for all lanes takes a cycle, the loads of a lane's own four activations
    as many as their bytes need at 128 a cycle. A store of 32 words takes one. A load of 16 bytes per lane
    from 32 rows of the table touches 32 sectors of 32 bytes: 8 cycles, if they are in L1.

    Args:
        marker: the instruction that looks a product up, as nvdisasm names it.
        results: products per marker and lane.
        conflicts: cycles that a warp's look-up occupies shared memory.
        own_activations: whether one of the LDS.128 has a lane's own activations.
    """

    def count(code: MachineCode) -> Pass:
        loop = hot_loop(code, marker)
        others = loop[marker] % LANES  # `table_expanded` has one other load of the same form
        found = loop[marker] - others
        vectors = loop["LDS.128"] + 2.0 * loop["LDS.64"] + (3.0 if own_activations else 0.0)
        # Of the loads of a weight's code, those of 16 bits are the other branch.
        fetched = sum(loop[name] for name in loop if re.match(r"LDG\.E\.(U8|128)", name))
        cycles = found * conflicts + vectors + loop["STS"] + 8.0 * fetched + others
        return Pass(LANES * found * results, loop.total(), cycles)

    return count


def hot_loop(code: MachineCode, marker: str) -> Counter[str]:
    """Return the instructions of the loop that goes through a warp's 32 look-ups.

    It is the shortest with so many markers: the rules for unusual mantissas are a loop of as many
    look-ups and far more instructions.
    """
    loops = list(code.loops())
    full = [loop for loop in loops if loop[marker] >= LANES]
    if not full:
        raise RtlgradError(
            "no loop of the machine code has a warp's look-ups",
            got=[loop[marker] for loop in loops],
            expected=f"{LANES} times {marker}",
        )
    return min(full, key=Counter.total)


def _lowrank(width: int, rows: int) -> Callable[[MachineCode], Pass]:
    """Return what counts a stage of `table_lowrank`: gathering, copying weights, multiplying.

    Per warp and stage of 128 bytes: a lane gathers 2 codes per k and copies ``rows / 16`` vectors of 16 bytes.
    A code's own cycles of shared memory and L1 are 1 for the image, 1 for the tap, and half a store; a
    vector's are 4 to load and 4 to store. Of the loads in between, 64 of a warp's are of digits, at random rows.
    """

    def count(code: MachineCode) -> Pass:
        stage = 128 // width
        codes, vectors = 2 * stage, rows // 16
        gather = _per("LDG.E.U8", code)
        copy = _per("STS.128", code)
        multiply = multiplication(code)
        looked_up = 64
        loads = multiply["LDS"] + multiply["LDS.64"] * 2 + multiply["LDS.128"] * 4
        cycles = loads - looked_up + looked_up * digit_conflicts(width)
        return Pass(
            products=rows * 64 * stage,
            instructions=multiply.total() + codes * gather + vectors * copy,
            memory_cycles=cycles + 2.5 * codes + 8.0 * vectors,
            byte_products=rows * 64 * 128,
        )

    return count


def multiplication(code: MachineCode) -> Counter[str]:
    """Return the instructions from the last barrier before the tensor cores' first to their last."""
    used = [i for i, name in enumerate(code.names) if name.startswith("IMMA")]
    if not used:
        raise RtlgradError("the machine code uses no tensor cores")
    start = max(i for i, name in enumerate(code.names[: used[0]]) if name.startswith("BAR"))
    return Counter(code.names[start : used[-1] + 1])


def _per(marker: str, code: MachineCode) -> float:
    """Return the instructions per marker of the loop that has the fewest, without tensor cores in it."""
    found = []
    for loop in code.loops():
        marked = _count(loop, marker)
        if marked and not _count(loop, "IMMA"):
            found.append(loop.total() / marked)
    if not found:
        raise RtlgradError("no loop of the machine code has an instruction", expected=marker)
    return min(found)


def _count(loop: Counter[str], marker: str) -> int:
    return sum(count for name, count in loop.items() if name.startswith(marker))
