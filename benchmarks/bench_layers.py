"""Whole layers beside their sums of table entries, and models beside the same in fp32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from bench_routes import RESNET20_LAYERS, route_seconds, tables
from rtlgrad.lutgen.mantissa import from_significands
from rtlgrad.lutgen.table import exact_table
from rtlgrad.nn import ApproxConv2d, LookupTable, approximate, calibrate
from rtlgrad.nn.engines.native_library import current_isa
from rtlgrad.nn.engines.routes import choose_route
from rtlgrad.nn.models import build_model
from timing import median_seconds, medians_in_turn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = "bfloat16, every product"


@dataclass(frozen=True, slots=True)
class Timing:
    """A layer or a step in milliseconds, beside what it is compared with.

    Attributes:
        name: of the layer or model, and what is done.
        ms: with table products.
        reference: what the other time is of.
        reference_ms: the other time.
    """

    name: str
    ms: float
    reference: str
    reference_ms: float


def measure_layers() -> list[Timing]:
    """Compare whole layers, float in and out, with their sums of table entries alone."""
    torch.set_num_threads(1)
    found = []
    for name, table in tables().items():
        lookup = LookupTable(table.products)
        for shape in RESNET20_LAYERS:
            layer = ApproxConv2d(
                *(shape.w[1], shape.w[0], shape.w[2]), padding=shape.w[2] // 2, table=table
            ).eval()
            x = torch.rand(shape.x)
            layer.activation.low.fill_(0.0)
            layer.activation.high.fill_(1.0)
            choice = choose_route(shape.work, lookup, current_isa())
            with torch.no_grad():
                whole = median_seconds(lambda layer=layer, x=x: layer(x), threads=1)
            sums = route_seconds(shape, lookup, current_isa().name, choice.route, 1)
            what = f"{shape.name}, {name}: layer"
            found.append(Timing(what, whole * 1e3, f"its {choice.route} sums", sums * 1e3))
    return found


def measure_models(threads: int) -> list[Timing]:
    """Compare forwards and training steps with the same models in fp32, all in turn."""
    torch.set_num_threads(threads)
    found = []
    for model, size, batch in (("lenet5", (1, 28, 28), 128), ("resnet20", (3, 32, 32), 128)):
        x, y = torch.rand((batch, *size)), torch.randint(0, 10, (batch,))
        acts = {
            (name, what): act
            for name in ("fp32", *tables(), FLOATS)
            for what, act in _actions(_model(model, name, x), x, y).items()
        }
        for what in ("forward", "training step"):
            chosen = {name: act for (name, kind), act in acts.items() if kind == what}
            seconds = medians_in_turn(chosen, threads=threads, repeats=5)
            base = seconds.pop("fp32") * 1e3
            for name, time in seconds.items():
                label = f"{model}, batch {batch}, {threads} threads, {what}, {name}"
                found.append(Timing(label, time * 1e3, "fp32", base))
    return found


def _model(model: str, name: str, x: torch.Tensor) -> torch.nn.Module:
    """Return a model in fp32, or with every product by the table of that name."""
    made = build_model(model, in_channels=x.shape[1], num_classes=10, image_size=x.shape[2:])
    if name == FLOATS:
        approximate(made, from_significands(exact_table(8, 8)))
    elif name != "fp32":
        approximate(made, tables()[name])
        calibrate(made, [x])
    return made


def _actions(
    model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor
) -> dict[str, Callable[[], object]]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return {"forward": forward, "training step": step}


def report_timings(timings: list[Timing]) -> str:
    """Render timings with their ratios."""
    lines = [f"{'what':<72}{'ms':>9}   {'compared with':<20}{'ms':>9}{'ratio':>8}"]
    for one in timings:
        ratio = one.ms / one.reference_ms
        lines.append(
            f"{one.name:<72}{one.ms:>9.2f}   {one.reference:<20}{one.reference_ms:>9.2f}{ratio:>8.2f}"
        )
    return "\n".join(lines)
