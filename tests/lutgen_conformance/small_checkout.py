"""A small library of circuits in the manner of EvoApproxLib, written by the tests themselves."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

VERILOG = """module {name} (A, B, O);
input [3:0] A;
input [3:0] B;
output [7:0] O;
assign O = {expression};
endmodule
"""
C = """#include <stdint.h>
uint64_t {name}(const uint64_t {first}, const uint64_t {second})
{{
  return {expression};
}}
"""
UNITS = {"MAE": "", "WCE": "", "MRE%": "%", "EP%": "%", "MSE": ""}
DROPPED, DROPPED_C = "A * {B[3:1], 1'b0}", "A * (B & ~1)"


def dropped(a: int, b: int) -> int:
    """The product with the lowest bit of b taken for 0: it does not commute."""
    return a * (b & ~1)


def figures(product: Callable[[int, int], int]) -> dict[str, Fraction]:
    """Compute the published metrics of a 4 x 4 bit multiplier from their definitions."""
    errors = {(a, b): abs(product(a, b) - a * b) for a in range(16) for b in range(16)}
    relative = [Fraction(error, a * b) for (a, b), error in errors.items() if a * b]
    count = Fraction(len(errors))
    return {
        "MAE": sum(errors.values()) / count,
        "WCE": Fraction(max(errors.values())),
        "MRE%": 100 * sum(relative) / len(relative),
        "EP%": 100 * sum(error != 0 for error in errors.values()) / count,
        "MSE": sum(error**2 for error in errors.values()) / count,
    }


def printed(value: Fraction, places: int, rounding: str = ROUND_HALF_EVEN) -> str:
    """Print a number with so many decimals."""
    number = Decimal(value.numerator) / Decimal(value.denominator)
    return str(number.quantize(Decimal(1).scaleb(-places), rounding))


def header(values: Mapping[str, str], cost: tuple[str, str, str]) -> str:
    """Return the comments that publish figures; cost is area, power and delay."""
    area, power, delay = cost
    lines = [f"// {name} = {text} {UNITS[name]}" for name, text in values.items()]
    lines += [f"// PDK45_PWR = {power} mW", f"// PDK45_AREA = {area} um2"]
    return "\n".join([*lines, f"// PDK45_DELAY = {delay} ns", ""])


def write(
    folder: Path,
    name: str,
    values: Mapping[str, str],
    *,
    cost: tuple[str, str, str] = ("60.0", "0.020", "0.50"),
    verilog: str = DROPPED,
    model: str | None = DROPPED_C,
    parameters: tuple[str, str] = ("B", "A"),
) -> None:
    """Write a circuit's Verilog file and, unless it is None, its C model."""
    folder.mkdir(parents=True, exist_ok=True)
    top = header(values, cost)
    (folder / f"{name}.v").write_text(top + VERILOG.format(name=name, expression=verilog))
    if model is not None:
        first, second = parameters
        text = C.format(name=name, first=first, second=second, expression=model)
        (folder / f"{name}.c").write_text(top + text)


def right_figures() -> dict[str, str]:
    """Return the figures of `dropped`, rounded to two decimals."""
    return {name: printed(value, 2) for name, value in figures(dropped).items()}


def truncated_figures() -> dict[str, str]:
    """Return them with MRE cut off at a decimal where rounding prints something else."""
    return {**right_figures(), "MRE%": printed(figures(dropped)["MRE%"], _cut(), ROUND_DOWN)}


def _cut() -> int:
    value = figures(dropped)["MRE%"]
    return next(n for n in _naturals() if printed(value, n) != printed(value, n, ROUND_DOWN))


def _naturals() -> Iterator[int]:
    yield from range(2, math.isqrt(400))


def exact_figures() -> dict[str, str]:
    """Return the figures of an exact multiplier."""
    return dict.fromkeys(UNITS, "0.00")
