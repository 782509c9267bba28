"""How the gradient of a product taken from a table is estimated, chosen by one word.

``ste``
    Straight-through: the gradient of the exact product of the dequantized operands.
``lut``
    One number per pair of codes: smoothed differences of the table (Meng, Burleson and De
    Micheli, DATE 2025, formulas (4) to (6)). ``lut:H`` sets the half-window, ``lut:H:span``
    divides by 2^B - 1 instead of the paper's 2^B near the borders.
``slope``
    One number per code: least-squares slopes of rows and columns, so that the backward pass is
    that of an exact layer on mapped operands (the same authors, arXiv 2509.10519).
``table``
    Both backward products go through the table itself, with quantized gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.names import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

GRADIENTS: Mapping[str, str] = {
    "ste": "straight-through, as if products were exact",
    "lut": "smoothed differences of the table; lut:H sets the half-window",
    "slope": "least-squares slopes of the table's rows and columns",
    "table": "both backward products through the table, with quantized gradients",
}
"""Every kind of gradient by name, and what it is."""

BORDERS = ("published", "span")


@dataclass(frozen=True, slots=True)
class Gradient:
    """A choice of gradient.

    Attributes:
        kind: a key of `GRADIENTS`.
        half_window: h of the smoothing, in codes; None for a sixteenth of the operand's range
            (16 for 8 bits). Of ``lut`` alone.
        border: what the table's rise is divided by within h of the borders: "published" for 2^B,
            as formula (6) has it; "span" for 2^B - 1, the number of steps, with which the
            gradient of the exact table is the exact one there too. Of ``lut`` alone.
    """

    kind: str = "ste"
    half_window: int | None = None
    border: str = "published"

    def __str__(self) -> str:
        parts = [self.kind]
        if self.half_window is not None:
            parts.append(str(self.half_window))
        if self.border != "published":
            parts.append(self.border)
        return ":".join(parts)


STRAIGHT_THROUGH = Gradient()


def parse_gradient(text: str) -> Gradient:
    """Read a choice of gradient: ``ste``, ``lut``, ``lut:8``, ``lut:8:span``, ``slope``, ``table``.

    Raises:
        UnknownNameError: no kind of gradient has this name.
        ConfigError: what follows the name makes no sense.
    """
    kind, *rest = text.split(":")
    if kind not in GRADIENTS:
        raise unknown_name(kind, GRADIENTS, kind="gradient")
    if not rest:
        return Gradient(kind)
    window = int(rest[0]) if rest[0].isdecimal() else None
    border = rest[-1] if rest[-1] in BORDERS else "published"
    understood = (window is not None) + (rest[-1] in BORDERS)
    if kind != "lut" or understood != len(rest):
        raise ConfigError(
            f"gradient {text!r} makes no sense",
            expected="ste, slope, table, lut, lut:H with a half-window H of 0 or more, or lut:H:span",
        )
    return Gradient(kind, window, border)
