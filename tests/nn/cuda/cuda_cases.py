"""Devices, operands and shapes that the tests of the CUDA engine share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from rtlgrad.nn.engines import Conv2dGeometry, LookupTable, MantissaLookup
from rtlgrad.nn.engines.cuda import CudaEngine, availability
from rtlgrad.nn.engines.cuda.emulator import EmulatedDevice, Order
from rtlgrad.nn.engines.cuda.gpus import Gpu
from rtlgrad.nn.engines.lowrank_types import LowRankFactors

GPU = pytest.param("gpu", marks=pytest.mark.gpu)
DEVICES = [*(order.name.lower() for order in Order), GPU]
"""The emulator in each order of threads, and the GPU of this machine."""


def engine_on(device, gpu=None):
    """The CUDA engine on one of `DEVICES`; skips where there is no GPU."""
    if device == "gpu":
        status = availability()
        if not status.usable:
            pytest.skip(status.reason)
        return CudaEngine()
    emulated = EmulatedDevice(gpu, order=Order[device.upper()], seed=5)
    return CudaEngine(lambda _: emulated, device="cpu")


SMALL = Gpu("no opt-in", (7, 5), 4, 64 << 10)
"""A GPU whose shared memory cannot hold a table of 8 x 8 bits."""


def random_table(rng, wa, wb, *, wide=False):
    """A table that is no product; wide: beyond a 16-bit range."""
    low, high = (-(10**6), 10**6) if wide else (-30000, 35000)
    table = rng.integers(low, high, (1 << wa, 1 << wb)).astype(np.int32)
    table[0, 0] = low
    return table


def lowrank_table(rng, wa, wb, *, wide=False, nothing=None):
    """A table of low rank with its factors; wide: of several passes of the route, and of 32 bits.

    nothing: an activation code whose products are all 0.
    """
    rank, reach = (19, 3000) if wide else (3, 100)
    u, v = (rng.integers(-reach, reach + 1, (rank, 1 << bits)) for bits in (wa, wb))
    rows, columns = (rng.integers(-5000, 5000, 1 << bits) for bits in (wa, wb))
    if nothing is not None:
        columns[:] = rows[nothing] = u[:, nothing] = 0
    factors = LowRankFactors(columns=columns, rows=rows, u=u, v=v)
    table = LookupTable(factors.table().astype(np.int32))
    table.__dict__["factors"] = factors  # what the search would find, and without it
    return table


def random_codes(rng, width, shape):
    return rng.integers(0, 1 << width, shape).astype(np.uint8 if width <= 8 else np.int16)


def random_mantissas(rng, bits):
    side = 1 << bits
    return MantissaLookup(rng.integers(0, 2 * side, (side, side)).astype(np.uint16))


SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-42, 3e38, 1.2e-38], np.float32)


def random_numbers(rng, shape, *, wild):
    """Normally distributed; wild: of all exponents, and with zeros, infinities, NaN, subnormals."""
    numbers = rng.standard_normal(shape).astype(np.float32)
    if wild and numbers.size:
        numbers = np.ldexp(numbers, rng.integers(-140, 120, shape)).astype(np.float32)
        flat = numbers.reshape(-1)
        chosen = rng.integers(0, flat.size, 1 + flat.size // 15)
        flat[chosen] = rng.choice(SPECIAL, chosen.size)
    return numbers


def same_bits(a, b):
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


@st.composite
def convolutions(draw):
    """(shape of x, shape of w, geometry with pad_code 0, seed)."""
    groups = draw(st.integers(1, 3))
    per_group, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    size = [
        max(1, d * (k - 1) + 1 - sum(pads)) + draw(st.integers(0, 6))
        for d, k, pads in zip(dilation, kernel, (padding[:2], padding[2:]), strict=True)
    ]
    geometry = Conv2dGeometry(
        stride=draw(st.tuples(*[st.integers(1, 3)] * 2)),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    x = (draw(st.integers(0, 2)), groups * per_group, *size)
    return x, (groups * outputs, per_group, *kernel), geometry, draw(st.integers(0, 2**32))
