"""Networks that multiply through product tables. Needs numpy and torch alone."""

from . import cuda_ops as cuda_ops  # registers what CUDA tensors take
from .calibrate import OBSERVERS
from .conversion import Conversion
from .convert import approximate, calibrate, restore, table_ids
from .engines import (
    Availability,
    Conv2dGeometry,
    Engine,
    EngineFallbackWarning,
    LookupTable,
    engine_names,
    get_engine,
    resolve_engine,
)
from .layers import ApproxConv2d, ApproxLinear
from .quantize import AffineParams, OperandFormat, Quantized

__all__ = [
    "OBSERVERS",
    "AffineParams",
    "ApproxConv2d",
    "ApproxLinear",
    "Availability",
    "Conv2dGeometry",
    "Conversion",
    "Engine",
    "EngineFallbackWarning",
    "LookupTable",
    "OperandFormat",
    "Quantized",
    "approximate",
    "calibrate",
    "engine_names",
    "get_engine",
    "resolve_engine",
    "restore",
    "table_ids",
]
