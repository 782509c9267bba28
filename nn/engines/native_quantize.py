"""Real numbers to operand codes and back in one pass each, by the compiled library (quantize.cpp).

The definition is `rtlgrad.nn.quantize`; every bit is the same.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from .native_library import address_of, check_status, current_isa, library, thread_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .types import Codes

_INTEGERS = (
    *("rows", "inner"),
    *("zero", "low", "high", "bits"),
    *("code_bytes", "threads", "isa"),
)
_POINTERS = ("x", "scales", "codes", "hat", "inside")


class _Quantization(ctypes.Structure):
    """`struct Quantization` of quantize.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class _Dequantization(ctypes.Structure):
    """`struct Dequantization` of quantize.cpp."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in (
                *("rows", "inner"),
                *("zero", "bits", "is_signed"),
                *("code_bytes", "threads", "isa"),
            )
        ),
        *((name, ctypes.c_void_p) for name in ("codes", "scales", "to")),
    )


class _Gating(ctypes.Structure):
    """`struct Gating` of quantize.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "threads", "isa")),
        *((name, ctypes.c_void_p) for name in ("source", "kept", "to")),
    )


class Damage(IntEnum):
    """Why numbers cannot be quantized."""

    NAN = 3
    """There is a NaN among them."""
    SCALE = 4
    """A scale is not a finite positive number."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How quantized values are made of scaled numbers.

    Attributes:
        zero: the value that stands for 0.0.
        low: the least value.
        high: the greatest value.
        bits: the operand's width.
    """

    zero: int
    low: int
    high: int
    bits: int


def quantize_native(
    x: NDArray[np.float32],
    scales: NDArray[np.float32],
    rounding: Rounding,
    codes: Codes,
    hat: NDArray[np.float32] | None = None,
    inside: NDArray[np.bool_] | None = None,
    *,
    threads: int | None = None,
) -> Damage | None:
    """Quantize numbers into arrays of the caller's.

    Args:
        x: float32 [R, ...], contiguous.
        scales: float32 [R]; one alone serves all of x.
        rounding: zero point, limits and width.
        codes: uint8 or int16 of x's shape, written.
        hat: float32 of x's shape, written: what the codes stand for. None: not wanted.
        inside: bool of x's shape, written: what was not clamped. None if ``hat`` is.
        threads: how many to use; None for one per core.

    Returns:
        None; where it failed, why, and what was written means nothing.

    Raises:
        EngineError: the library cannot be built.
    """
    rows = max(1, scales.size)
    problem = _Quantization(
        *(rows, x.size // rows),
        *(rounding.zero, rounding.low, rounding.high, rounding.bits),
        *(codes.itemsize, thread_count(threads), current_isa().index),
        *(address_of(array) for array in (x, scales, codes, hat, inside)),
    )
    status = library().rtlgrad_quantize(ctypes.byref(problem))
    if status in set(Damage):
        return Damage(status)
    check_status(status, f"codes of {x.size} numbers", "quantization")
    return None


def dequantize_native(
    codes: Codes,
    scales: NDArray[np.float32],
    zero: int,
    bits: int,
    to: NDArray[np.float32],
    *,
    signed: bool,
    threads: int | None = None,
) -> None:
    """Write the numbers that codes stand for.

    Args:
        codes: uint8 or int16 [R, ...], contiguous.
        scales: float32 [R]; one alone serves all codes.
        zero: the value that stands for 0.0.
        bits: the operand's width.
        to: float32 of the codes' shape, written.
        signed: whether codes are two's complement.
        threads: how many to use; None for one per core.

    Raises:
        EngineError: the library cannot be built.
    """
    rows = max(1, scales.size)
    problem = _Dequantization(
        *(rows, codes.size // rows),
        *(zero, bits, signed),
        *(codes.itemsize, thread_count(threads), current_isa().index),
        *(address_of(array) for array in (codes, scales, to)),
    )
    status = library().rtlgrad_dequantize(ctypes.byref(problem))
    check_status(status, f"the numbers of {codes.size} codes", "dequantization")


def gate_native(
    source: NDArray[np.float32],
    kept: NDArray[np.bool_],
    to: NDArray[np.float32],
    *,
    threads: int | None = None,
) -> None:
    """Write ``source * kept``, arrays of one shape, all contiguous.

    Raises:
        EngineError: the library cannot be built.
    """
    problem = _Gating(
        *(source.size, thread_count(threads), current_isa().index),
        *(address_of(array) for array in (source, kept, to)),
    )
    check_status(library().rtlgrad_gate(ctypes.byref(problem)), "a gradient", "its mask")
