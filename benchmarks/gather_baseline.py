"""The AVX2-gather baselines, compiled for one run of the benchmark."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.native_build import find_compiler
from rtlgrad.nn.engines.native_library import current_isa

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rtlgrad.nn.engines.types import Codes

SOURCE = Path(__file__).with_name("gather_baseline.cpp")


def runs_here() -> bool:
    """Say whether the baseline can run: on x86-64 with AVX2."""
    return ISAS["avx2"].may_run_on(platform.machine()) and current_isa().name != "portable"


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "gather_baseline.so"
        command = [*find_compiler().command, "-std=c++17", "-O3", "-mavx2", "-fPIC", "-shared"]
        subprocess.run([*command, str(SOURCE), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))


def gather_gemm(columns: NDArray[np.int32], w: Codes, x: Codes) -> NDArray[np.int32]:
    """Return ``out[m, n] = sum_k columns[w[m, k], x[k, n]]`` by one thread.

    Args:
        columns: the transposed table, int32 [2^wb, 2^wa].
        w: weight codes, uint8 or int16 [M, K].
        x: activation codes of the same type, [K, N], N a multiple of 32.
    """
    out = np.empty((w.shape[0], x.shape[1]), dtype=np.int32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (columns, w, x, out)]
    numbers = [ctypes.c_int64(n) for n in (columns.shape[1], w.itemsize, *w.shape, x.shape[1])]
    _library().gather_gemm(pointers[0], *numbers[:2], *pointers[1:], *numbers[2:])
    return out


def gather_mantissa(
    codes: NDArray[np.uint16], w: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``out[m, n] = sum_k P(w[m, k], x[k, n])`` by one thread, for 7 bits of mantissa.

    Args:
        codes: carry and mantissa, uint16 [128, 128]; row = the mantissa of w.
        w: float32 [M, K].
        x: float32 [K, N], N a multiple of 32.
    """
    rows = np.ascontiguousarray(codes.astype(np.int32) << 16)
    out = np.empty((w.shape[0], x.shape[1]), dtype=np.float32)
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (rows, w, x, out)]
    sizes = [ctypes.c_int64(size) for size in (*w.shape, x.shape[1])]
    _library().gather_mantissa(*addresses, *sizes)
    return out
