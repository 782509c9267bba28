"""Which route of the native engine a layer takes, and why.

A route is a way to add up table entries (table_routes.cpp). The router estimates the time of each
route that can serve the table on the instruction set at hand, and takes the least. The estimate
is deliberately simple: nanoseconds per product, plus what a route does once per weight or fills
in vain. Its figures were measured on one CPU (docs/performance.md); where this one has been
calibrated (calibration.py), they are multiplied by what was found here. They decide nothing but
speed, as all routes give the same sums.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ...core.errors import EngineError, RtlgradError
from ...core.names import pick
from .calibration import load_calibration
from .environment import variable
from .lowrank_types import NoFactors
from .native_lowrank import native_digits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .isa import Isa
    from .native_lowrank import NativeDigits
    from .plane_layout import PlaneLayout
    from .types import LookupTable

VARIABLE = "RTLGRAD_ROUTE"
"""The environment variable that names the route to take; unset or empty: the estimate's."""


class Route(StrEnum):
    """A way to add up table entries."""

    ROWS = "rows"
    """One weight's table column at a time, applied to many positions."""
    EXPANDED = "expanded"
    """Table rows laid out for many weights at a time, added position by position."""
    PLANES = "planes"
    """Byte planes of a weight's column, looked up in registers for 64 positions at a time."""
    RESIDUAL = "residual"
    """Exact products by dot products of bytes, and the rest by at most one plane."""
    LOWRANK = "lowrank"
    """A few exact products of digits, where the table or its error is of low rank."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The size of one call.

    Attributes:
        outputs: per group.
        taps: products per output.
        positions: outputs per channel, over all images.
        groups: channel groups.
    """

    outputs: int
    taps: int
    positions: int
    groups: int = 1

    @property
    def products(self) -> int:
        """Products of all groups."""
        return self.outputs * self.taps * self.positions * self.groups

    def __str__(self) -> str:
        shape = f"{self.outputs}x{self.taps}x{self.positions}"
        return shape if self.groups == 1 else f"{self.groups} groups of {shape}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a route would take.

    Attributes:
        route: the route.
        seconds: estimated time by one thread; None where the route cannot serve the table.
        note: how it would do it, or why it cannot.
        way: the route and the kind of table, which are calibrated together; empty where it cannot.
    """

    route: Route
    seconds: float | None
    note: str
    way: str = ""


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The route taken.

    Attributes:
        route: the route.
        layout: the planes it reads, None for routes without.
        digits: the digits it multiplies, None for routes without.
        forced: whether `VARIABLE` named it.
        estimates: what was compared, in the order of `Route`.
        calibrated: whether the estimates were corrected by measurements on this machine.
        seconds: what the route is estimated to take.
    """

    route: Route
    layout: PlaneLayout | None
    digits: NativeDigits | None
    forced: bool
    estimates: tuple[Estimate, ...]
    calibrated: bool
    seconds: float


# Nanoseconds per product by one thread, measured with benchmarks/bench_engines.py.
_ROWS_NS = {"portable": 0.22, "avx2": 0.22, "vbmi": 0.22}
_EXPANDED_NS = {"portable": 0.090, "avx2": 0.030, "vbmi": 0.030}
_PLANE_NS = (0.0, 0.0085, 0.0095, 0.017, 0.024)  # by number of planes
_DOT_NS = 0.0055
_DOT_BESIDE_NS = 0.002  # where look-ups leave pipes free for them
# Per product of digits, per digit made of an activation code, and of a weight for each tile of positions.
_DIGIT_NS = {"portable": 0.033, "avx2": 0.011, "vbmi": 0.0025}
_LEFT_NS = {"portable": 0.38, "avx2": 0.21, "vbmi": 0.012}
_RIGHT_NS = 0.12
_LOWRANK_TILE = 2048
_EXPAND_NS = 0.055  # per entry laid out
_LOAD_NS = 1.4  # per plane of a weight, loaded for each 256 positions
_PACK_NS = 0.05  # per activation code packed; again, where dot products want it otherwise
_CALL_NS = 3000.0
_EXPANDED_TILE = 2048
_VECTOR, _PANEL = 64, 256
_CODES = 256

# A model calls with few sizes, again and again.
_choices: WeakKeyDictionary[LookupTable, dict[tuple[Workload, str, str], RouteChoice]] = (
    WeakKeyDictionary()
)

# By instruction set; empty where nothing was measured.
_calibrations: dict[str, Mapping[str, float]] = {}

CALIBRATE_VARIABLE = "RTLGRAD_CALIBRATE"
"""The environment variable that, set to 0, keeps a process from calibrating unasked."""

_LONG_S = 2.0
"""Estimated work of a process after which a calibration, of about a second, pays."""

_spent_s: dict[str, float] = {}
_calibrating = threading.Lock()


def choose_route(
    work: Workload, table: LookupTable, isa: Isa, route: Route | None = None
) -> RouteChoice:
    """Return the route for a call: the one named, by argument or `VARIABLE`, else the fastest estimated.

    Raises:
        UnknownNameError: `VARIABLE` names no route.
        EngineError: the route named cannot serve this table here.
    """
    wanted = (variable(VARIABLE) or "") if route is None else route.value
    known = _choices.setdefault(table, {})
    key = (work, isa.name, wanted)
    if key not in known:
        known[key] = _choose(work, table, isa, wanted)
    choice = known[key]
    if not wanted and _is_due(choice, isa):
        _calibrate()
        return choose_route(work, table, isa, route)
    return choice


def forget_choices() -> None:
    """Choose anew from now on: there is another calibration."""
    _choices.clear()
    _calibrations.clear()


def estimate_route(route: Route, work: Workload, table: LookupTable, isa: Isa) -> Estimate:
    """Return what a route would take by the shipped figures."""
    return _estimate(route, work, table, isa)


def _choose(work: Workload, table: LookupTable, isa: Isa, wanted: str) -> RouteChoice:
    ratios = _ratios(isa)
    shipped = (_estimate(route, work, table, isa) for route in Route)
    estimates = tuple(_corrected(estimate, ratios) for estimate in shipped)
    if wanted:
        chosen = estimates[pick(_INDEX, wanted, kind=f"route in {VARIABLE}")]
        if chosen.seconds is None:
            raise EngineError(
                f"{VARIABLE}={wanted}, but the route cannot serve this table here",
                got=chosen.note,
                remedy=f"unset {VARIABLE}, or name another route",
            )
    else:
        chosen = min(
            (estimate for estimate in estimates if estimate.seconds is not None),
            key=lambda estimate: estimate.seconds or 0.0,
        )
    layout = _layout(chosen.route, table)
    found = native_digits(table, isa) if chosen.route is Route.LOWRANK else None
    digits = None if isinstance(found, NoFactors) else found
    return RouteChoice(
        *(chosen.route, layout, digits, bool(wanted), estimates, bool(ratios)),
        seconds=chosen.seconds or 0.0,
    )


def _is_due(choice: RouteChoice, isa: Isa) -> bool:
    """Say whether this process has worked long enough to measure the routes of this machine first.

    Once per process and instruction set at most, and only where the cache has no calibration.
    """
    spent = _spent_s.get(isa.name, 0.0)
    if choice.calibrated or spent > _LONG_S:
        return False
    _spent_s[isa.name] = spent = spent + choice.seconds
    return spent > _LONG_S and variable(CALIBRATE_VARIABLE) != "0"


def _calibrate() -> None:
    # It measures by the engine, which chooses routes: imported here, lest modules import in a circle.
    from .calibrate_routes import calibrate

    if not _calibrating.acquire(blocking=False):  # another thread is at it
        return
    try:
        calibrate()
    except RtlgradError:  # the cache cannot be written: the shipped figures do
        forget_choices()
    finally:
        _calibrating.release()


def _ratios(isa: Isa) -> Mapping[str, float]:
    if isa.name not in _calibrations:
        found = load_calibration(isa)
        _calibrations[isa.name] = {} if found is None else found.ratios
    return _calibrations[isa.name]


def _corrected(estimate: Estimate, ratios: Mapping[str, float]) -> Estimate:
    if estimate.seconds is None:
        return estimate
    return replace(estimate, seconds=estimate.seconds * ratios.get(estimate.way, 1.0))


def explain_route(work: Workload, table: LookupTable, isa: Isa) -> str:
    """Return why a call takes the route it takes, a line per route.

    Raises:
        UnknownNameError, EngineError: as `choose_route`.
    """
    choice = choose_route(work, table, isa)
    reason = f"named by {VARIABLE}" if choice.forced else "least estimated time"
    rows, columns = table.products.shape
    figures = "figures of this machine" if choice.calibrated else "shipped figures"
    lines = [f"{work}, table {rows}x{columns}, {isa.name}: {choice.route} ({reason}; {figures})"]
    for estimate in choice.estimates:
        time = "-" if estimate.seconds is None else f"{estimate.seconds * 1e3:.3f} ms"
        lines.append(f"  {estimate.route:<10}{time:>12}  {estimate.note}")
    return "\n".join(lines)


_INDEX: Mapping[str, int] = {route.value: index for index, route in enumerate(Route)}


def _layout(route: Route, table: LookupTable) -> PlaneLayout | None:
    if route is Route.PLANES:
        return table.planes
    return table.residual if route is Route.RESIDUAL else None


def _estimate(route: Route, work: Workload, table: LookupTable, isa: Isa) -> Estimate:
    if route is Route.ROWS:
        return _seconds(route, work, _ROWS_NS[isa.name] * work.products, "no set-up", "rows")
    if route is Route.EXPANDED:
        return _expanded(work, table, isa)
    if route is Route.LOWRANK:
        return _lowrank(work, table, isa)
    if isa.name != "vbmi":
        return Estimate(route, None, f"needs byte permutations, which {isa.name} lacks")
    layout = _layout(route, table)
    if layout is not None:
        return _planes(route, work, layout)
    if table.products.shape[0] > _CODES:
        return Estimate(route, None, f"more than {_CODES} activation codes")
    return Estimate(route, None, "the rest beside exact products takes more than one byte")


def _seconds(route: Route, work: Workload, nanoseconds: float, note: str, way: str) -> Estimate:
    packed = _PACK_NS * work.positions * work.taps * work.groups
    return Estimate(route, (_CALL_NS + packed + nanoseconds) * 1e-9, note, way)


def _expanded(work: Workload, table: LookupTable, isa: Isa) -> Estimate:
    lanes = 16 if work.outputs <= 16 else 32 if work.outputs <= 32 else 64
    filled = -(-work.outputs // lanes) * lanes
    entry = 1.0 if table.compact is not None else 2.0  # 16 or 32 bits each
    added = _EXPANDED_NS[isa.name] * filled * work.taps * work.positions
    # A tile of positions shares what is laid out; beyond the L2 cache every access is slow.
    tiles = -(-work.positions // _EXPANDED_TILE)
    laid_out = _EXPAND_NS * filled * work.taps * table.products.shape[0] * tiles
    spread = 1.0 if table.products.shape[0] <= 1024 else 4.0
    bits = 16 if entry == 1.0 else 32
    nanoseconds = (added * spread + laid_out) * entry * work.groups
    note = f"{filled} lanes of {bits} bits"
    return _seconds(Route.EXPANDED, work, nanoseconds, note, f"expanded-{bits}")


def _lowrank(work: Workload, table: LookupTable, isa: Isa) -> Estimate:
    digits = native_digits(table, isa)
    if isinstance(digits, NoFactors):
        return Estimate(Route.LOWRANK, None, digits.reason)
    count, lefts = digits.products.count, len(digits.products.left)
    filled = -(-work.positions // _VECTOR) * _VECTOR * work.taps * work.groups
    rows = count * work.outputs + digits.sums
    nanoseconds = (_DIGIT_NS[isa.name] * rows + _LEFT_NS[isa.name] * lefts) * filled
    tiles = -(-work.positions // _LOWRANK_TILE)
    nanoseconds += _RIGHT_NS * tiles * count * work.outputs * work.taps * work.groups
    bits = 8 * digits.products.left.itemsize
    note = f"rank {digits.rank}, G = {count} products of {bits}-bit digits"
    return _seconds(Route.LOWRANK, work, nanoseconds, note, "lowrank")


def _planes(route: Route, work: Workload, layout: PlaneLayout) -> Estimate:
    filled = -(-work.positions // _VECTOR) * _VECTOR * work.outputs * work.taps * work.groups
    panels = -(-work.positions // _PANEL)
    loads = _LOAD_NS * panels * layout.count * work.outputs * work.taps * work.groups
    each = _PLANE_NS[layout.count]
    note = f"{layout.count} byte planes"
    if layout.slopes is not None:
        each += _DOT_BESIDE_NS if layout.count else _DOT_NS
        loads += _PACK_NS * work.positions * work.taps * work.groups
        note = f"dot products and {layout.count} byte planes"
    way = f"{route}-{layout.count}"
    return _seconds(route, work, each * filled + loads, note, way)
