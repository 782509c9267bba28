"""Runs the CUDA kernels on the CPU, slowly, and reports what a GPU would do wrong in silence."""

from .device import EmulatedDevice, Order

__all__ = ["EmulatedDevice", "Order"]
