"""The compiled library: built and loaded on first use, and what all calls to it share."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any

from ...core.errors import EngineError, RtlgradError
from .environment import variable
from .isa import VARIABLE, Isa, choose_isa
from .native_build import build_library

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OUT_OF_MEMORY = 1

_DECIDING = ("CXX", "RTLGRAD_CACHE", "XDG_CACHE_HOME", "HOME")

_outcomes: dict[tuple[str | None, ...], ctypes.CDLL | RtlgradError] = {}
_isas: dict[tuple[int, str | None], Isa] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# A thread that is not in a forked child may have held the lock.
os.register_at_fork(after_in_child=_renew_lock)


def library() -> ctypes.CDLL:
    """Return the loaded library; failures are remembered too, lest every call try a compiler.

    Raises:
        EngineError: it cannot be built or loaded.
    """
    # What a user changes to get past a failure: the compiler and the cache's folder.
    key = tuple(map(variable, _DECIDING))
    outcome = _outcomes.get(key)
    if outcome is None:
        with _lock:
            outcome = _outcomes[key] = _outcomes.get(key) or _load()
    if isinstance(outcome, RtlgradError):
        raise EngineError(
            "the native engine cannot run here",
            got=outcome,
            remedy="mend what is named above, or use the engine 'numpy'",
        ) from outcome
    return outcome


def native_runs() -> bool:
    """Say whether the library can be built and loaded here; tried once."""
    try:
        library()
    except RtlgradError:
        return False
    return True


def current_isa() -> Isa:
    """Return the instruction set that calls use now.

    Raises:
        UnknownNameError: ``RTLGRAD_ISA`` names none.
        EngineError: the library cannot be built, or the CPU lacks what ``RTLGRAD_ISA`` names.
    """
    loaded = library()
    key = (id(loaded), variable(VARIABLE))
    known = _isas.get(key)
    if known is None:
        known = choose_isa(loaded.rtlgrad_isas_built(), loaded.rtlgrad_isas_supported())
        _isas[key] = known
    return known


def thread_count(wanted: int | None) -> int:
    """Return how many threads a call uses: those wanted, or one per core this process may use."""
    if wanted is not None:
        return max(1, wanted)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def address_of(array: NDArray[Any] | None) -> int | None:
    """Return where an array begins, None for None. The caller keeps the array alive."""
    return None if array is None else array.ctypes.data


def check_status(status: int, what: str, how: str) -> None:
    """Raise EngineError unless a call of the library succeeded.

    Args:
        status: what it returned.
        what: was computed.
        how: it was to be computed.
    """
    if status == _OUT_OF_MEMORY:
        raise EngineError(
            "the native engine ran out of memory",
            got=what,
            remedy="use a smaller batch, or the engine 'numpy'",
        )
    if status != 0:
        raise EngineError(
            "the native engine refused a call",
            got=f"{how}, status {status}",
            remedy="report this, and use the engine 'numpy' meanwhile",
        )


def _load() -> ctypes.CDLL | RtlgradError:
    try:
        path = build_library()
        loaded = ctypes.CDLL(str(path))
    except RtlgradError as error:
        return error
    except OSError as error:
        return EngineError("the compiled library does not load", got=error)
    for call in (
        *(loaded.rtlgrad_table_conv, loaded.rtlgrad_mantissa_product),
        *(loaded.rtlgrad_quantize, loaded.rtlgrad_dequantize, loaded.rtlgrad_gate),
    ):
        call.argtypes = [ctypes.c_void_p]
        call.restype = ctypes.c_int32
    for ask in (loaded.rtlgrad_isas_built, loaded.rtlgrad_isas_supported):
        ask.argtypes = []
        ask.restype = ctypes.c_uint32
    return loaded
