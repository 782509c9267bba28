"""A launch as data: which kernel, how many threads, how much shared memory, which numbers.

Nothing here touches a device, so that what the tests emulate is what a GPU is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..mantissa_types import SUM_BLOCK
from .problem import GEMM, structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SOURCES = Path(__file__).parent / "sources"

COMPILER_OPTIONS = ("-std=c++17", "--fmad=false")
"""What NVRTC is told; --fmad=false keeps products and sums apart where the source does."""

QUANTIZE = structure(
    ("x", "scale", "zero", "x_hat", "codes", "inside", "damage"),
    ("count", "inner"),
    ("channels", "low", "high", "bits"),
)
"""`struct Quantize` of elementwise.cu."""

FINISH = np.dtype(
    [
        ("result", np.uint64),
        ("gather", GEMM),
        *((name, np.int32) for name in ("w_zero", "x_bits", "x_signed", "reserved")),
    ]
)
"""`struct Finish` of elementwise.cu."""

LUT_GRADIENT = structure(
    ("x", "w", "g", "scale", "table", "result"),
    ("inner", "outputs", "positions", "activation_codes"),
    (),
)
"""`struct LutGradient` of lut_gradient.cu."""

LOWRANK = np.dtype(
    [
        *((name, np.uint64) for name in ("digits", "weights", "base_sums", "factors")),
        ("row_bytes", np.int64),
        ("gather", GEMM),
        *((name, np.int32) for name in ("passes", "digit_bits", "activation_rows", "reserved")),
    ]
)
"""`struct LowRank` of table_lowrank.cu."""

LOWRANK_WEIGHTS = np.dtype(
    [
        *((name, np.uint64) for name in ("digits", "base", "weights", "base_sums")),
        ("row_bytes", np.int64),
        ("gather", GEMM),
        *((name, np.int32) for name in ("passes", "digit_bits")),
    ]
)
"""`struct LowRankWeights` of table_lowrank.cu."""

SUM_PARTS = structure(("parts", "out"), ("count", "splits"), ())
"""`struct SumParts` of elementwise.cu."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to compile.

    Attributes:
        name: of its function.
        source: the file's name in `SOURCES`.
        macros: what it is compiled with, in alphabetical order.
        threads: of a block.
        argument: the structure that it takes.
    """

    name: str
    source: str
    macros: tuple[tuple[str, int], ...]
    threads: int
    argument: np.dtype

    @property
    def options(self) -> tuple[str, ...]:
        """The macros as compilers take them."""
        return tuple(f"-D{name}={value}" for name, value in self.macros)

    def __str__(self) -> str:
        return " ".join((self.name, *self.options))


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel and everything it is given except the operands.

    Attributes:
        kernel: which one.
        blocks: of the grid.
        shared_bytes: dynamic shared memory of a block.
        members: numbers of the kernel's structure; those not named are 0. Of structures within it,
            "outer.inner".
    """

    kernel: Kernel
    blocks: int
    shared_bytes: int
    members: Mapping[str, int]

    def argument(self, addresses: Mapping[str, int]) -> NDArray[np.void]:
        """Return the kernel's structure, of shape [], with the operands' addresses filled in."""
        record: NDArray[Any] = np.zeros((), self.kernel.argument)
        for name, value in (*self.members.items(), *addresses.items()):
            *outer, last = name.split(".")
            place = record
            for part in outer:
                place = place[part]
            place[last] = value
        return record


def _table_kernel(name: str, threads: int, entry_bytes: int, **more: int) -> Kernel:
    macros = sorted({"RTLGRAD_ENTRY_BYTES": entry_bytes, **more}.items())
    return Kernel(name, f"{name}.cu", tuple(macros), threads, GEMM)


def rows_kernel(entry_bytes: int, *, shared: bool) -> Kernel:
    """Return `table_rows` with its table in shared memory (2-byte entries alone) or in caches."""
    return _table_kernel("table_rows", 512, entry_bytes, RTLGRAD_TABLE_SHARED=int(shared))


def expanded_kernel(entry_bytes: int) -> Kernel:
    """Return `table_expanded`."""
    return _table_kernel("table_expanded", 512, entry_bytes)


def few_kernel(entry_bytes: int, *, saturating: bool = False) -> Kernel:
    """Return `table_few`, adding modulo 2^32 or with clamping after every addition."""
    return _table_kernel("table_few", 256, entry_bytes, RTLGRAD_SATURATE=int(saturating))


LOWRANK_ROWS = (16, 32, 64)
"""Results along m that a block of `table_lowrank` can make."""


def lowrank_kernel(rows: int) -> Kernel:
    """Return `table_lowrank` for so many results along m."""
    return Kernel("table_lowrank", "table_lowrank.cu", (("RTLGRAD_ROWS", rows),), 128, LOWRANK)


LOWRANK_WEIGHTS_KERNEL = Kernel(
    "lowrank_weights", "table_lowrank.cu", (("RTLGRAD_ROWS", 16),), 256, LOWRANK_WEIGHTS
)


def mantissa_kernel(*, shared: bool) -> Kernel:
    """Return `mantissa_rows` with the narrow table in shared memory, or a wide one in caches."""
    macros = {
        "RTLGRAD_LANE_COLUMNS": mantissa_lane_columns(shared=shared),
        "RTLGRAD_SUM_BLOCK": SUM_BLOCK,
        "RTLGRAD_TABLE_SHARED": int(shared),
    }
    return Kernel("mantissa_rows", "mantissa_rows.cu", tuple(sorted(macros.items())), 512, GEMM)


def mantissa_lane_columns(*, shared: bool) -> int:
    """Return the columns of a lane in `mantissa_rows`; addresses of a global table take registers."""
    return 4 if shared else 2


def _elementwise(name: str, argument: np.dtype) -> Kernel:
    return Kernel(name, "elementwise.cu", (), 256, argument)


QUANTIZE_KERNEL = _elementwise("quantize", QUANTIZE)
FINISH_KERNEL = _elementwise("finish", FINISH)
SUM_PARTS_KERNEL = _elementwise("sum_parts", SUM_PARTS)

LUT_GRADIENT_X_KERNEL, LUT_GRADIENT_W_KERNEL = (
    Kernel(f"lut_gradient_{operand}", "lut_gradient.cu", (), 256, LUT_GRADIENT) for operand in "xw"
)

KERNELS: tuple[Kernel, ...] = (
    rows_kernel(2, shared=True),
    rows_kernel(2, shared=False),
    rows_kernel(4, shared=False),
    expanded_kernel(2),
    expanded_kernel(4),
    few_kernel(2),
    few_kernel(4),
    few_kernel(2, saturating=True),
    few_kernel(4, saturating=True),
    *(lowrank_kernel(rows) for rows in LOWRANK_ROWS),
    LOWRANK_WEIGHTS_KERNEL,
    mantissa_kernel(shared=True),
    mantissa_kernel(shared=False),
    QUANTIZE_KERNEL,
    FINISH_KERNEL,
    SUM_PARTS_KERNEL,
    LUT_GRADIENT_X_KERNEL,
    LUT_GRADIENT_W_KERNEL,
)
"""Every kernel that is ever launched."""


def per_thread(kernel: Kernel, threads: int, /, **members: int) -> Launch:
    """Return a launch of at least so many threads."""
    return Launch(kernel, -(-threads // kernel.threads), 0, members)


def source_of(kernel: Kernel, folder: Path = SOURCES) -> str:
    """Return the kernel's source as one text, what it includes being put in place once."""
    included: set[str] = set()

    def text(name: str) -> str:
        lines = []
        for line in (folder / name).read_text().splitlines():
            if line.startswith('#include "'):
                other = line.split('"')[1]
                if other not in included:
                    included.add(other)
                    lines.append(text(other))
            elif line != "#pragma once":
                lines.append(line)
        return "\n".join(lines) + "\n"

    return text(kernel.source)
