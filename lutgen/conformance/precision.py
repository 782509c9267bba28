"""Compares a measured number with a printed one at the printed precision."""

from __future__ import annotations

from decimal import Decimal

from .results import FigureVerdict

_NOISE = Decimal("1e-12")
"""Relative error granted to a measured mean of 2^24 quotients in double precision."""


def compare_figures(measured: float, printed: str | None) -> FigureVerdict:
    """Say whether a measured number is what was printed.

    The printed text tells the unit of the last place: 0.1 for "5.0", 1 for "892" and for
    "15608.397e3", 10 for "47164.981e4".

    Args:
        measured: the number.
        printed: the printed text, or None if there is none.
    """
    if printed is None:
        return FigureVerdict.ABSENT
    number = Decimal(printed)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "published figures are finite"
    unit = Decimal(1).scaleb(exponent)
    found = Decimal(measured)
    excess = abs(found - number) - unit / 2
    if excess == 0:
        return FigureVerdict.TIE
    if excess <= abs(found) * _NOISE:
        return FigureVerdict.AGREES
    beyond = number - found if number < 0 else found - number
    return FigureVerdict.TRUNCATED if 0 <= beyond < unit else FigureVerdict.DIFFERS
