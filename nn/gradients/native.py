"""The backward pass by gradient tables in C++: ``lut_gradient.cpp`` behind ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import EngineError, ToolFailedError
from ...core.files import cache_folder, sha256_bytes, unwritable
from ..engines.native_build import find_compiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOURCE = Path(__file__).with_name("lut_gradient.cpp")
# Products must not be fused with sums: the result would depend on the CPU.
_FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
_TIME_LIMIT_S = 300


class _LutGradient(ctypes.Structure):
    """`struct LutGradient` of lut_gradient.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("inner", "outputs", "positions", "side_a")),
        ("threads", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("x", "w", "g", "scale", "by_a", "by_b")),
        ("dx", ctypes.c_void_p),
        ("dw", ctypes.c_void_p),
    )


def lut_backward(
    x: NDArray[np.int32],
    w: NDArray[np.int32],
    g: NDArray[np.float32],
    scale: NDArray[np.float32],
    by_a: NDArray[np.float32],
    by_b: NDArray[np.float32],
    *,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the gradients of activations and weights of a table product.

    Args:
        x: activation codes, int32 [K, M].
        w: weight codes, int32 [K, O].
        g: gradient of the output, float32 [O, M].
        scale: a factor for each output's part in the first result, float32 [O].
        by_a: dT/da by (code of b, code of a), float32 [2^wb, 2^wa].
        by_b: dT/db likewise.
        threads: CPU threads; the result does not depend on it.

    Returns:
        ``dx[k, m] = sum_o g[o, m] * scale[o] * by_a[w[k, o], x[k, m]]``, float32 [K, M], and
        ``dw[k, o] = sum_m g[o, m] * by_b[w[k, o], x[k, m]]``, float32 [K, O].

    Raises:
        EngineError: memory ran out.
        MissingToolError, ToolFailedError: the library cannot be compiled.
    """
    K, M = x.shape
    outputs = g.shape[0]
    dx, dw = np.empty((K, M), np.float32), np.empty((K, outputs), np.float32)
    arrays = [np.ascontiguousarray(array) for array in (x, w, g, scale, by_a, by_b)]
    addresses = [array.ctypes.data for array in (*arrays, dx, dw)]
    problem = _LutGradient(K, outputs, M, by_a.shape[1], threads, *addresses)
    if _library().rtlgrad_lut_gradient(ctypes.byref(problem)) != 0:
        raise EngineError(
            "the backward pass by gradient tables ran out of memory",
            got=f"{K} taps, {outputs} outputs, {M} positions",
            remedy="use a smaller batch",
        )
    return dx, dw


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_build()))
    library.rtlgrad_lut_gradient.argtypes = [ctypes.POINTER(_LutGradient)]
    library.rtlgrad_lut_gradient.restype = ctypes.c_int32
    return library


def _build() -> Path:
    """Return the compiled library, made unless the cache has it."""
    compiler = find_compiler()
    facts = [*_FLAGS, *compiler.command, compiler.version, platform.machine()]
    key = sha256_bytes("\n".join(facts).encode() + _SOURCE.read_bytes())[:24]
    library = cache_folder() / "native" / f"lut_gradient-{key}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as scratch:
            made = Path(scratch) / "library.so"
            _compile([*compiler.command, *_FLAGS, str(_SOURCE), "-o", str(made)])
            made.chmod(0o755)
            made.replace(library)
    except OSError as error:
        raise unwritable(library, error) from error
    return library


def _compile(command: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIME_LIMIT_S,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise ToolFailedError(
            f"the C++ compiler failed: {shlex.join(command)}",
            got=f"exit status {done.returncode}\n{done.stderr.strip()[-4000:]}",
            expected="a compiler of C++17 with GNU extensions",
            remedy="name another compiler in the variable CXX, or use the engine 'numpy'",
        )
