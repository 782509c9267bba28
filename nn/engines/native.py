"""The native engine: ``table_conv.cpp`` behind ctypes.

The instruction set is the best that the CPU runs, or that of the variable ``RTLGRAD_ISA``; the
route is the one that `choose_route` takes, or that of ``RTLGRAD_ROUTE``. Neither changes a sum.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ConfigError, RtlgradError
from .native_library import address_of, check_status, current_isa, library, thread_count
from .native_mantissa import NativeMantissaEngine
from .routes import Route, Workload, choose_route, explain_route
from .types import Availability, Conv2dGeometry, LookupTable, check_conv2d, check_matmul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .types import Codes

_INTEGERS = (
    *("batch", "channels", "height", "width"),
    *("outputs", "kernel_h", "kernel_w"),
    *("out_h", "out_w"),
    *("stride_h", "stride_w", "pad_top", "pad_left", "dilation_h", "dilation_w"),
    *("groups", "pad_code"),
    *("side_a", "side_b"),
    "offset",
    *("x_bytes", "w_bytes"),
    *("threads", "isa", "route"),
    *("plane_count", "scale", "unit", "flip", "common"),
)
_POINTERS = (
    *("x", "w", "columns", "compact", "planes", "base", "slopes", "out"),
    *("result", "terms", "factors"),
)
_ZERO_POINTS = ("w_zero", "x_flip")
# In the order of `enum Route` of table_conv.h.
_ROUTES = {
    Route.ROWS: 0,
    Route.EXPANDED: 1,
    Route.PLANES: 2,
    Route.RESIDUAL: 2,
    Route.LOWRANK: 3,
}


class _TableConv(ctypes.Structure):
    """`struct TableConv` of table_conv.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _ZERO_POINTS),
        ("digits", ctypes.c_void_p),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Rescaling:
    """How a layer's result is made of its sums.

    ``result = factors * float32(sum + terms - w_zero * sum over the window of (code ^ x_flip))``,
    the sums modulo 2^32 and read as int32.

    Attributes:
        factors: float32 [O].
        terms: uint32 [O].
        w_zero: the weights' zero point; 0 where windows need no sums.
        x_flip: what is flipped in activation codes, padding included.
    """

    factors: NDArray[np.float32]
    terms: NDArray[np.uint32]
    w_zero: int
    x_flip: int


class NativeEngine:
    """Table sums in C++ on the CPU, by several threads."""

    name = "native"
    device = "cpu"

    @property
    def mantissa(self) -> NativeMantissaEngine:
        """See `Engine.mantissa`."""
        return NativeMantissaEngine()

    def availability(self) -> Availability:
        """Build and load the library if that has not been done, and say how it went."""
        try:
            loaded = library()
        except RtlgradError as error:
            return Availability(False, str(error))
        return Availability(True, f"compiled library {loaded._name}")

    def explain(self, work: Workload, table: LookupTable | NDArray[np.int32]) -> str:
        """Return which route a call of this size takes and why, a line per route.

        Raises:
            UnknownNameError: ``RTLGRAD_ISA`` or ``RTLGRAD_ROUTE`` names nothing known.
            EngineError: the library cannot be built, or what they name cannot serve here.
        """
        return explain_route(work, LookupTable.of(table), current_isa())

    def matmul(
        self,
        a_codes: Codes,
        b_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.matmul`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        lookup = LookupTable.of(table)
        check_matmul(a_codes, b_codes, lookup)
        (rows, inner), outputs = a_codes.shape, b_codes.shape[1]
        # A matrix product is a 1x1 convolution of 1x1 images.
        shape = (rows, outputs, 1, 1)
        image = a_codes.reshape(rows, inner, 1, 1)
        kernel = b_codes.T.reshape(outputs, inner, 1, 1)
        out = np.empty(shape, dtype=np.int32)
        _call(image, kernel, lookup, Conv2dGeometry(), out, None, threads)
        return out.reshape(rows, outputs)

    def conv2d(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
        route: Route | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.conv2d`.

        Args:
            x_codes: as there.
            w_codes: as there.
            table: as there.
            geometry: as there.
            threads: as there.
            route: the route to take; None for the router's choice.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        lookup = LookupTable.of(table)
        shape = check_conv2d(x_codes, w_codes, lookup, geometry)
        out = np.empty(shape, dtype=np.int32)
        _call(x_codes, w_codes, lookup, geometry, out, None, threads, route)
        return out

    def layer(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        rescaling: Rescaling,
        *,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the sums of `conv2d` made into a layer's result, float32 [B, O, H', W'].

        Raises:
            EngineError: the library cannot be built, or memory ran out.
            ConfigError: as `Engine.conv2d`, or a rescaling for another number of outputs.
        """
        lookup = LookupTable.of(table)
        shape = check_conv2d(x_codes, w_codes, lookup, geometry)
        if rescaling.factors.shape != shape[1:2] or rescaling.terms.shape != shape[1:2]:
            raise ConfigError(
                "a rescaling does not fit its layer",
                got=f"factors {rescaling.factors.shape}, terms {rescaling.terms.shape}",
                expected=f"({shape[1]},) each",
            )
        out = np.empty(shape, dtype=np.float32)
        _call(x_codes, w_codes, lookup, geometry, out, rescaling, threads)
        return out


def _call(
    x_codes: Codes,
    w_codes: Codes,
    table: LookupTable,
    geometry: Conv2dGeometry,
    out: NDArray[np.int32] | NDArray[np.float32],
    rescaling: Rescaling | None,
    threads: int | None,
    route: Route | None = None,
) -> None:
    isa = current_isa()
    work = Workload(
        outputs=out.shape[1] // geometry.groups,
        taps=math.prod(w_codes.shape[1:]),
        positions=out.shape[0] * out.shape[2] * out.shape[3],
        groups=geometry.groups,
    )
    choice = choose_route(work, table, isa, route)
    # Bound to names so that they outlive the call: the structure holds bare addresses.
    x, w = np.ascontiguousarray(x_codes), np.ascontiguousarray(w_codes)
    compact, layout = table.compact if choice.route is Route.EXPANDED else None, choice.layout
    problem = _TableConv(
        *_sizes(x, w, table, geometry, out.shape),
        thread_count(threads),
        isa.index,
        _ROUTES[choice.route],
        *((0,) * 5 if layout is None else layout.numbers),
        *(address_of(array) for array in (x, w, table.columns, compact)),
        *((None,) * 3 if layout is None else layout.addresses),
        *_results(out, rescaling),
        None if choice.digits is None else choice.digits.address,
    )
    status = library().rtlgrad_table_conv(ctypes.byref(problem))
    what = f"a convolution of {x.shape} by {w.shape}"
    check_status(status, what, f"route {choice.route} on instruction set {isa.name}")


def _results(out: NDArray[Any], rescaling: Rescaling | None) -> tuple[int | None, ...]:
    if rescaling is None:
        return address_of(out), None, None, None, 0, 0
    return (
        *(None, address_of(out), address_of(rescaling.terms), address_of(rescaling.factors)),
        *(rescaling.w_zero, rescaling.x_flip),
    )


def _sizes(
    x: NDArray[Any],
    w: NDArray[Any],
    table: LookupTable,
    geometry: Conv2dGeometry,
    shape: tuple[int, ...],
) -> tuple[int, ...]:
    return (
        *x.shape,
        w.shape[0],
        *w.shape[2:],
        *shape[2:],
        *geometry.stride,
        geometry.padding[0],
        geometry.padding[2],
        *geometry.dilation,
        geometry.groups,
        geometry.pad_code,
        *table.products.shape,
        table.limits[0],
        x.itemsize,
        w.itemsize,
    )
