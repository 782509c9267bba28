"""Recorded mantissas as the operands of a floating-point multiplier's ports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ConfigError
from ..cosim.float_format import FloatPart

if TYPE_CHECKING:
    from ..cosim.interface import Interface
    from .histogram import OperandHistogram


def for_ports(one: OperandHistogram, interface: Interface) -> OperandHistogram:
    """Return a layer's histogram over the codes of a design's ports.

    Mantissas are what the ports of a multiplier of mantissas carry; a multiplier of significands
    gets them with the leading one above. A histogram of integers is returned as it is.

    Raises:
        ConfigError: mantissas, and a design of integers or of complete numbers, whose signs and
            exponents are not recorded.
    """
    if not one.mantissas:
        return one
    form = interface.format
    if form is not None and form.part is FloatPart.MANTISSA:
        return one
    if form is None or form.part is FloatPart.NUMBER:
        raise ConfigError(
            f"layer {one.layer!r} was recorded by its mantissas alone",
            got="a design of integers" if form is None else f"a design of {form}",
            expected="a multiplier of mantissas or significands",
            remedy="for complete numbers give a stream of operands (docs/metrics.md)",
        )
    rows, columns = one.counts.shape
    counts = np.zeros((2 * rows, 2 * columns), np.int64)
    counts[rows:, columns:] = one.counts
    return replace(one, counts=counts, mantissas=False)
