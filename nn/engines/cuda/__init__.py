"""Sums of table entries and of products by mantissa tables on NVIDIA GPUs.

`problem` says what is to be computed, `plan` which kernel does it and how it is launched, `devices`
runs a launch through CuPy, and `emulator` runs the same launch on the CPU and watches it.
"""

from .adapter import CudaEngine, load_engine
from .devices import availability

__all__ = ["CudaEngine", "availability", "load_engine"]
