"""The float part of the engines' benchmark: products by mantissa tables and their scaling."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
from gather_baseline import gather_mantissa, runs_here
from rtlgrad.nn.engines import Conv2dGeometry, MantissaLookup, get_engine
from rtlgrad.nn.engines.isa import ISAS
from rtlgrad.nn.engines.native_library import current_isa

if TYPE_CHECKING:
    from collections.abc import Callable

    Timer = Callable[..., float]

GATHER = "AVX2 gather (AMSim's look-up)"
PRODUCTS = ("forward", "input gradient", "weight gradient")
_LAYERS = {
    "ResNet-20 first stage": ((32, 16, 32, 32), (16, 16, 3, 3)),
    "ResNet-20 third stage": ((32, 64, 8, 8), (64, 64, 3, 3)),
    "Linear": ((128, 1024, 1, 1), (256, 1024, 1, 1)),
}


@dataclass(frozen=True, slots=True)
class FloatRate:
    """One of the three products of a layer.

    Attributes:
        layer: its name.
        product: forward or one of the gradients.
        way: instruction set and bits of mantissa, or `GATHER`.
        threads: how many it was given.
        batch: images.
        gmacs: 10^9 products per second.
    """

    layer: str
    product: str
    way: str
    threads: int
    batch: int
    gmacs: float


def exact_codes(bits: int) -> MantissaLookup:
    """Return the table of the exact product, cut to so many bits."""
    side = 1 << bits
    products = (side + np.arange(side)[:, None]) * (side + np.arange(side)[None, :])
    carry = products >= 2 * side * side
    mantissa = (products >> np.where(carry, bits + 1, bits)) & (side - 1)
    return MantissaLookup((carry.astype(np.uint16) << bits) | mantissa.astype(np.uint16))


def actions(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], table: MantissaLookup, threads: int
) -> dict[str, Callable[[], object]]:
    """Return the three products of a layer; half of the activations are zeros, as after a ReLU."""
    rng = np.random.default_rng(0)
    engine, pad = get_engine("native").mantissa, w_shape[2] // 2
    geometry = Conv2dGeometry(padding=(pad,) * 4)
    # No copies on the way: they would hide what `bench_memory.py` looks for.
    x, w, grad = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in (x_shape, w_shape, (x_shape[0], w_shape[0], *x_shape[2:]))
    )
    np.maximum(x, 0, out=x)
    if x_shape[2] == 1:
        x2, w2, grad2 = (array[:, :, 0, 0] for array in (x, w, grad))
        pairs = ((x2, w2.T), (grad2, w2), (x2.T, grad2))
        return {
            name: lambda pair=pair: engine.matmul(*pair, table, threads=threads)
            for name, pair in zip(PRODUCTS, pairs, strict=True)
        }
    image, kernel = x_shape[2:], w_shape[2:]
    calls = (
        lambda: engine.conv2d(x, w, table, geometry, threads=threads),
        lambda: engine.conv2d_input_grad(grad, w, table, geometry, image, threads=threads),
        lambda: engine.conv2d_weight_grad(x, grad, table, geometry, kernel, threads=threads),
    )
    return dict(zip(PRODUCTS, calls, strict=True))


def measure_floats(timer: Timer, thread_counts: list[int]) -> list[FloatRate]:
    """Measure every instruction set, layer and product, by one thread and the best by several."""
    found = []
    best = current_isa()
    for layer, (x_shape, w_shape) in _LAYERS.items():
        macs = int(np.prod(x_shape[2:])) * x_shape[0] * int(np.prod(w_shape))
        for isa in ISAS.values():
            if isa.index > best.index:
                continue
            for bits in (7, 9):
                for threads in thread_counts if isa == best else [1]:
                    with mock.patch.dict(os.environ, RTLGRAD_ISA=isa.name):
                        for name, act in actions(
                            x_shape, w_shape, exact_codes(bits), threads
                        ).items():
                            rate = macs / timer(act, threads=threads, repeats=5) / 1e9
                            way = f"{isa.name}, {bits} bits"
                            found.append(FloatRate(layer, name, way, threads, x_shape[0], rate))
        if runs_here():
            found.append(_gather_rate(layer, x_shape, w_shape, macs, timer))
    return found


def _gather_rate(
    layer: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], macs: int, timer: Timer
) -> FloatRate:
    rng = np.random.default_rng(0)
    taps = int(np.prod(w_shape[1:]))
    w = rng.standard_normal((w_shape[0], taps)).astype(np.float32)
    x = rng.standard_normal((taps, macs // (w_shape[0] * taps))).astype(np.float32)
    codes = exact_codes(7).codes
    seconds = timer(lambda: gather_mantissa(codes, w, x), threads=1, repeats=3)
    return FloatRate(layer, "forward", GATHER, 1, x_shape[0], macs / seconds / 1e9)


def measure_float_scaling(timer: Timer, thread_counts: list[int]) -> list[FloatRate]:
    """Measure the first layer's forward over batches, channels and threads."""
    found = []
    for batch, channels in ((1, 16), (8, 16), (64, 16), (64, 32), (64, 64)):
        x_shape, w_shape = (batch, channels, 32, 32), (channels, channels, 3, 3)
        macs = 1024 * batch * int(np.prod(w_shape))
        for threads in thread_counts:
            act = actions(x_shape, w_shape, exact_codes(7), threads)["forward"]
            rate = macs / timer(act, threads=threads, repeats=5) / 1e9
            layer = f"{channels} channels, 32x32"
            found.append(FloatRate(layer, "forward", current_isa().name, threads, batch, rate))
    return found


def report_floats(rates: list[FloatRate]) -> str:
    """Render rates, each with its ratio to the gather baseline of its layer."""
    lines = [
        f"{'layer':<24}{'product':<17}{'way':<32}{'batch':>6}{'threads':>8}{'GMAC/s':>9}{'of gather':>11}"
    ]
    base = {rate.layer: rate.gmacs for rate in rates if rate.way == GATHER}
    for rate in rates:
        ratio = f"{rate.gmacs / base[rate.layer]:.2f}" if rate.layer in base else "-"
        lines.append(
            f"{rate.layer:<24}{rate.product:<17}{rate.way:<32}{rate.batch:>6}{rate.threads:>8}"
            f"{rate.gmacs:>9.2f}{ratio:>11}"
        )
    return "\n".join(lines)
