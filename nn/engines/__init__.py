"""Engines sum table entries: ``acc = sum_k T[activation, weight]``. NumPy is the specification."""

from .accumulator import INT32_MAX, check_accumulator, correction_bound
from .mantissa_types import MantissaEngine, MantissaLookup
from .native import NativeEngine, Rescaling
from .native_library import native_runs
from .native_quantize import (
    Damage,
    Rounding,
    dequantize_native,
    gate_native,
    quantize_native,
)
from .registry import (
    EngineFallbackWarning,
    check_engine_name,
    engine_names,
    get_engine,
    resolve_engine,
)
from .routes import Route, Workload
from .types import Availability, Conv2dGeometry, Engine, LookupTable

__all__ = [
    "INT32_MAX",
    "Availability",
    "Conv2dGeometry",
    "Damage",
    "Engine",
    "EngineFallbackWarning",
    "LookupTable",
    "MantissaEngine",
    "MantissaLookup",
    "NativeEngine",
    "Rescaling",
    "Rounding",
    "Route",
    "Workload",
    "check_accumulator",
    "check_engine_name",
    "correction_bound",
    "dequantize_native",
    "engine_names",
    "gate_native",
    "get_engine",
    "native_runs",
    "quantize_native",
    "resolve_engine",
]
