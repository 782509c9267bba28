"""The native engine: ``table_conv.cpp`` behind ctypes.

The instruction set is the best that the CPU runs, or that of the variable ``RTLGRAD_ISA``; the
route is the one that `choose_route` takes, or that of ``RTLGRAD_ROUTE``. Neither changes a sum.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import RtlgradError
from .native_library import address_of, check_status, current_isa, library, thread_count
from .native_mantissa import NativeMantissaEngine
from .routes import Route, Workload, choose_route, explain_route
from .types import Availability, Conv2dGeometry, LookupTable, check_conv2d, check_matmul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .plane_layout import PlaneLayout
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
_POINTERS = ("x", "w", "columns", "compact", "planes", "base", "slopes", "out")
# In the order of `enum Route` of table_conv.h.
_ROUTES = {Route.ROWS: 0, Route.EXPANDED: 1, Route.PLANES: 2, Route.RESIDUAL: 2}


class _TableConv(ctypes.Structure):
    """`struct TableConv` of table_conv.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


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
        return _call(image, kernel, lookup, Conv2dGeometry(), shape, threads).reshape(rows, outputs)

    def conv2d(
        self,
        x_codes: Codes,
        w_codes: Codes,
        table: LookupTable | NDArray[np.int32],
        geometry: Conv2dGeometry,
        *,
        threads: int | None = None,
    ) -> NDArray[np.int32]:
        """See `Engine.conv2d`.

        Raises:
            EngineError: the library cannot be built, or memory ran out.
        """
        lookup = LookupTable.of(table)
        shape = check_conv2d(x_codes, w_codes, lookup, geometry)
        return _call(x_codes, w_codes, lookup, geometry, shape, threads)


def _call(
    x_codes: Codes,
    w_codes: Codes,
    table: LookupTable,
    geometry: Conv2dGeometry,
    shape: tuple[int, int, int, int],
    threads: int | None,
) -> NDArray[np.int32]:
    isa = current_isa()
    work = Workload(
        outputs=shape[1] // geometry.groups,
        taps=int(np.prod(w_codes.shape[1:])),
        positions=shape[0] * shape[2] * shape[3],
        groups=geometry.groups,
    )
    choice = choose_route(work, table, isa)
    out = np.empty(shape, dtype=np.int32)
    # Bound to names so that they outlive the call: the structure holds bare addresses.
    x, w = np.ascontiguousarray(x_codes), np.ascontiguousarray(w_codes)
    compact, layout = table.compact if choice.route is Route.EXPANDED else None, choice.layout
    problem = _TableConv(
        *_sizes(x, w, table, geometry, shape),
        thread_count(threads),
        isa.index,
        _ROUTES[choice.route],
        *((0,) * 5 if layout is None else _plane_numbers(layout)),
        *(address_of(array) for array in (x, w, table.columns, compact)),
        *((None,) * 3 if layout is None else _plane_addresses(layout)),
        address_of(out),
    )
    status = library().rtlgrad_table_conv(ctypes.byref(problem))
    what = f"a convolution of {x.shape} by {w.shape}"
    check_status(status, what, f"route {choice.route} on instruction set {isa.name}")
    return out


def _sizes(
    x: NDArray[Any],
    w: NDArray[Any],
    table: LookupTable,
    geometry: Conv2dGeometry,
    shape: tuple[int, int, int, int],
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


def _plane_numbers(layout: PlaneLayout) -> tuple[int, ...]:
    return layout.count, layout.scale, layout.unit, layout.flip, layout.common


def _plane_addresses(layout: PlaneLayout) -> tuple[int | None, ...]:
    return address_of(layout.planes), address_of(layout.base), address_of(layout.slopes)
