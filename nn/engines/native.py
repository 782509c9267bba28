"""The native engine: ``table_conv.cpp`` behind ctypes.

The instruction set is the best that the CPU runs, or that of the variable ``RTLGRAD_ISA``; the
route is the one that `choose_route` takes, or that of ``RTLGRAD_ROUTE``. Neither changes a sum.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import EngineError, RtlgradError
from ...core.files import cache_folder
from .isa import Isa, choose_isa
from .native_build import build_library
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

    def availability(self) -> Availability:
        """Build and load the library if that has not been done, and say how it went."""
        try:
            library = _library()
        except RtlgradError as error:
            return Availability(False, str(error))
        return Availability(True, f"compiled library {library._name}")

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
    library, isa = _library(), current_isa()
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
        max(1, threads or os.cpu_count() or 1),
        isa.index,
        _ROUTES[choice.route],
        *((0,) * 5 if layout is None else _plane_numbers(layout)),
        *(_address(array) for array in (x, w, table.columns, compact)),
        *((None,) * 3 if layout is None else _plane_addresses(layout)),
        _address(out),
    )
    status = library.rtlgrad_table_conv(ctypes.byref(problem))
    if status == 1:
        raise EngineError(
            "the native engine ran out of memory",
            got=f"a convolution of {x.shape} by {w.shape}",
            remedy="use a smaller batch, or the engine 'numpy'",
        )
    if status != 0:
        raise EngineError(
            "the native engine refused a call",
            got=f"route {choice.route} on instruction set {isa.name}, status {status}",
            remedy="report this, and use the engine 'numpy' meanwhile",
        )
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
    return _address(layout.planes), _address(layout.base), _address(layout.slopes)


def _address(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def current_isa() -> Isa:
    """Return the instruction set that calls use now.

    Raises:
        UnknownNameError: ``RTLGRAD_ISA`` names none.
        EngineError: the library cannot be built, or the CPU lacks what ``RTLGRAD_ISA`` names.
    """
    library = _library()
    return choose_isa(library.rtlgrad_isas_built(), library.rtlgrad_isas_supported())


_outcomes: dict[tuple[str, str], ctypes.CDLL | RtlgradError] = {}
_lock = threading.Lock()


def _library() -> ctypes.CDLL:
    """Return the loaded library; failures are remembered too, lest every call try a compiler."""
    # The two things that a user changes to get past a failure.
    key = (os.environ.get("CXX", ""), str(cache_folder()))
    with _lock:
        if key not in _outcomes:
            _outcomes[key] = _load()
    outcome = _outcomes[key]
    if isinstance(outcome, RtlgradError):
        raise EngineError(
            "the native engine cannot run here",
            got=outcome,
            remedy="mend what is named above, or use the engine 'numpy'",
        ) from outcome
    return outcome


def _load() -> ctypes.CDLL | RtlgradError:
    try:
        path = build_library()
        library = ctypes.CDLL(str(path))
    except RtlgradError as error:
        return error
    except OSError as error:
        return EngineError("the compiled library does not load", got=error)
    library.rtlgrad_table_conv.argtypes = [ctypes.POINTER(_TableConv)]
    library.rtlgrad_table_conv.restype = ctypes.c_int32
    for ask in (library.rtlgrad_isas_built, library.rtlgrad_isas_supported):
        ask.argtypes = []
        ask.restype = ctypes.c_uint32
    return library
