"""Times convolution layers on a GPU: by table, by mantissa table, and exact with cuDNN.

    python benchmarks/bench_gpu.py [--json out/bench-gpu.json] [--batch 64] [--only resnet20]

Layers are the distinct convolutions of ResNet-20 (32x32 images), ResNet-18 and ResNet-50 (224x224).
"table" is one of random 16-bit products, "low rank" one whose last bits are not multiplied, which goes to
tensor cores. A time is the median of several measurements between CUDA events, of several runs each, after
warming up. Beside both stands what the planner's model gives (docs/performance.md).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rtlgrad.core.errors import EngineError
from rtlgrad.core.files import readable_json, write_atomic
from rtlgrad.nn.engines import Conv2dGeometry, LookupTable, MantissaLookup
from rtlgrad.nn.engines.cuda import availability, load_engine
from rtlgrad.nn.engines.cuda.device_tables import DeviceTables
from rtlgrad.nn.engines.cuda.plan import plan_table
from rtlgrad.nn.engines.cuda.problem import conv2d
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rtlgrad.nn.engines.cuda.engine import TensorSums
    from rtlgrad.nn.engines.cuda.routes import Estimate

MEASUREMENTS, RUNS, WARM_UP = 7, 10, 2


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with square kernel and image, padded to keep the image at stride 1."""

    model: str
    channels: int
    outputs: int
    kernel: int
    stride: int
    size: int

    @property
    def geometry(self) -> Conv2dGeometry:
        """Stride and padding."""
        pad = self.kernel // 2
        return Conv2dGeometry(stride=(self.stride, self.stride), padding=(pad, pad, pad, pad))

    def products(self, batch: int) -> int:
        """Products of a forward pass."""
        out = -(-self.size // self.stride)
        return batch * self.outputs * out * out * self.channels * self.kernel**2


@dataclass(frozen=True)
class Measurement:
    """A layer's times in milliseconds.

    Attributes:
        layer: the layer.
        batch: images.
        products: of a forward pass.
        routes: that the planner takes for each kind of table.
        predicted_ms: by its model, likewise; null where the GPU's clock is not known.
        milliseconds: measured.
    """

    layer: Layer
    batch: int
    products: int
    routes: dict[str, str] = field(default_factory=dict)
    predicted_ms: dict[str, float | None] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)


def layers() -> Iterator[Layer]:
    """Yield the distinct convolutions of the three networks."""
    yield Layer("resnet20", 3, 16, 3, 1, 32)
    for channels, size in ((16, 32), (32, 16), (64, 8)):
        yield Layer("resnet20", channels, channels, 3, 1, size)
        if channels < 64:
            yield Layer("resnet20", channels, 2 * channels, 3, 2, size)
    yield Layer("resnet18", 3, 64, 7, 2, 224)
    for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
        yield Layer("resnet18", channels, channels, 3, 1, size)
        if channels < 512:
            yield Layer("resnet18", channels, 2 * channels, 3, 2, size)
            yield Layer("resnet18", channels, 2 * channels, 1, 2, size)
    for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
        yield Layer("resnet50", 4 * channels, channels, 1, 1, size)
        yield Layer("resnet50", channels, channels, 3, 1, size)
        yield Layer("resnet50", channels, 4 * channels, 1, 1, size)


def milliseconds(run: Callable[[], object]) -> float:
    """Return the median time of a run on the current stream, the launching of many included."""
    for _ in range(WARM_UP):
        run()
    times = []
    for _ in range(MEASUREMENTS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(RUNS):
            run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / RUNS)
    return statistics.median(times)


def measure(
    sums: TensorSums,
    layer: Layer,
    batch: int,
    tables: dict[str, LookupTable],
    mantissas: MantissaLookup,
) -> Measurement:
    """Time one layer."""
    place = sums.device.torch_device
    shape = (batch, layer.channels, layer.size, layer.size)
    kernel = (layer.outputs, layer.channels, layer.kernel, layer.kernel)
    codes, weights = (
        torch.randint(0, 256, size, dtype=torch.uint8, device=place) for size in (shape, kernel)
    )
    x, w = (torch.randn(size, device=place) for size in (shape, kernel))
    geometry, pad = layer.geometry, layer.kernel // 2
    outside = torch.zeros((), dtype=torch.int32, device=place)

    def exact(*, dtype: torch.dtype, tf32: bool) -> float:
        torch.backends.cudnn.allow_tf32 = tf32
        image, matrix = x.to(dtype), w.to(dtype)
        return milliseconds(lambda: functional.conv2d(image, matrix, None, layer.stride, pad))

    times = {
        name: milliseconds(lambda t=table: sums.conv2d(codes, weights, t, geometry, outside))
        for name, table in tables.items()
    }
    times |= {
        "mantissas": milliseconds(lambda: sums.mantissa.conv2d(x, w, mantissas, geometry)),
        "fp32": exact(dtype=torch.float32, tf32=False),
        "tf32": exact(dtype=torch.float32, tf32=True),
        "fp16": exact(dtype=torch.float16, tf32=False),
    }
    found = {name: plan(sums, layer, shape, kernel, table) for name, table in tables.items()}
    clock = sums.device.gpu.clock_ghz
    return Measurement(
        layer=layer,
        batch=batch,
        products=layer.products(batch),
        routes={name: str(estimate.route) for name, estimate in found.items()},
        predicted_ms={n: e.cycles / (clock * 1e6) if clock else None for n, e in found.items()},
        milliseconds=times,
    )


def plan(
    sums: TensorSums,
    layer: Layer,
    shape: tuple[int, int, int, int],
    kernel: tuple[int, int, int, int],
    table: LookupTable,
) -> Estimate:
    """Return what the engine takes for a layer."""
    height, width = layer.geometry.output_size(shape[2:], kernel[2:])
    problem = conv2d(shape, kernel, (shape[0], layer.outputs, height, width), layer.geometry)
    digits = DeviceTables(sums.device.torch_device).digits_of
    return plan_table(problem, table, sums.device.gpu, kinds=(0, 0), digits=lambda: digits(table))


def main() -> int:
    """Measure, print, and perhaps write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    parser.add_argument("--batch", type=int, default=64, help="images at a time")
    parser.add_argument("--only", nargs="+", help="models to measure")
    arguments = parser.parse_args()
    status = availability()
    if not status.usable:
        print(f"no GPU to measure: {status.reason}", file=sys.stderr)
        return 1
    print(status.reason)
    sums = load_engine().tensors()
    rng = np.random.default_rng(0)
    codes = np.arange(256)
    low = np.multiply.outer(codes, codes) - np.multiply.outer(codes % 8, codes % 8)
    tables = {
        "table": LookupTable(rng.integers(0, 65536, (256, 256)).astype(np.int32)),
        "low rank": LookupTable(low.astype(np.int32)),
    }
    mantissas = MantissaLookup(rng.integers(0, 256, (128, 128)).astype(np.uint16))
    results = []
    for layer in layers():
        if arguments.only and layer.model not in arguments.only:
            continue
        try:
            results.append(measure(sums, layer, arguments.batch, tables, mantissas))
        except (EngineError, torch.cuda.OutOfMemoryError) as error:
            print(f"{layer}: {error}", file=sys.stderr)
            continue
        print(line(results[-1]), flush=True)
    if arguments.json:
        content = {"gpu": asdict(sums.device.gpu), "layers": [asdict(r) for r in results]}
        write_atomic(arguments.json, readable_json(content))
    return 0 if results else 1


def line(result: Measurement) -> str:
    """Return a measurement as a line of text."""
    layer = result.layer
    times = "  ".join(f"{what} {value:.3f}" for what, value in result.milliseconds.items())
    rates = ", ".join(
        f"{name} {result.products / result.milliseconds[name] * 1e-9:.2f} T products/s by {route}"
        + (f" (predicted {predicted:.3f} ms)" if predicted is not None else "")
        for (name, route), predicted in zip(
            result.routes.items(), result.predicted_ms.values(), strict=True
        )
    )
    return f"{name_of(layer)}: {times} ms; {rates}"


def name_of(layer: Layer) -> str:
    """Return a layer in a few words."""
    name = f"{layer.model} {layer.channels}->{layer.outputs} {layer.kernel}x{layer.kernel}"
    return f"{name} /{layer.stride} on {layer.size}x{layer.size}"


if __name__ == "__main__":
    sys.exit(main())
