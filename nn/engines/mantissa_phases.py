"""How a convolution's input gradient falls into plain convolutions, one per remainder of the stride.

An element of x at row h is under the kernel's row i at the output's row ``y = (h + pad - i*d) / s``,
where that is whole. Rows h of equal remainder modulo s share their i, and along them y goes up by
one: for them the gradient is a convolution, at stride 1, of the output's gradient with those rows of
the kernel, in descending order of i, so that y ascends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """One axis of such a convolution.

    Attributes:
        first: the least h.
        count: how many h there are, `stride` apart.
        taps: the kernel's i, descending.
        offset: the y that belongs to the first h and the first tap; may be negative.
        dilation: how much y grows from a tap to the next.
    """

    first: int
    count: int
    taps: tuple[int, ...]
    offset: int
    dilation: int


def input_phases(size: int, kernel: int, stride: int, pad: int, dilation: int) -> list[Phase]:
    """Return the phases of one axis; every element of x is in exactly one.

    Args:
        size: of x.
        kernel: taps.
        stride: step between outputs.
        pad: before the first element.
        dilation: step between taps.
    """
    phases = []
    for first in range(min(stride, size)):
        taps = tuple(
            i for i in reversed(range(kernel)) if (first + pad - i * dilation) % stride == 0
        )
        offset = (first + pad - taps[0] * dilation) // stride if taps else 0
        count = -(-(size - first) // stride)
        phases.append(Phase(first, count, taps, offset, dilation // math.gcd(stride, dilation)))
    return phases
