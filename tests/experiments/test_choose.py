"""Rules by which studies choose designs."""

from __future__ import annotations

import pytest
from experiments.choose import by_error, distinct, first_below, greatest_below, nearest_by_mre
from experiments.study import DesignFigures
from rtlgrad.core.errors import ConfigError


def design(name, *, kind="u8", mre=1.0, nmed=0.01, content=None):
    return DesignFigures(name, kind, mre, 0.0, nmed, content or name)


DESIGNS = {
    one.name: one
    for one in (
        design("exact", mre=0.0, nmed=0.0),
        design("fine", mre=1.1, nmed=0.001),
        design("coarse", mre=9.0, nmed=0.03),
        design("coarse_again", mre=9.0, nmed=0.03, content="coarse"),
        design("middling", mre=4.0, nmed=0.02),
        design("narrow", kind="u4", mre=20.0, nmed=0.05),
    )
}


def test_designs_of_one_table_count_once_and_exact_ones_not_at_all():
    assert by_error(distinct(DESIGNS, ("u8",))) == ("coarse", "middling", "fine")
    assert by_error(distinct(DESIGNS, ("u8", "u4")))[0] == "narrow"


def test_the_first_below_a_limit_follow_the_order_and_ask_for_nothing_further():
    order = ("coarse", "middling", "fine")
    accuracy = {"coarse": 12.0, "middling": 60.0, "fine": 9.0}
    assert first_below(order, accuracy, 20.0, 2) == ("coarse", "fine")
    assert first_below(order, {"coarse": 12.0}, 20.0, 1) == ("coarse",)
    with pytest.raises(ConfigError, match="middling is not known"):
        first_below(order, {"coarse": 12.0}, 20.0, 2)
    with pytest.raises(ConfigError, match="too few"):
        first_below(order, accuracy, 20.0, 3)


def test_designs_are_matched_to_errors_by_ratio_each_once():
    designs = distinct(DESIGNS, ("u8",))
    assert nearest_by_mre(designs, (2.0, 6.5)) == ("fine", "coarse")
    assert nearest_by_mre(designs, (4.0, 4.1, 4.2)) == ("middling", "coarse", "fine")
    with pytest.raises(ConfigError, match="too few"):
        nearest_by_mre(designs, (1, 2, 3, 4))


def test_the_greatest_error_below_a_limit():
    designs = distinct(DESIGNS, ("u8",))
    assert greatest_below(designs, 5.0) == "middling"
    assert greatest_below(designs, 4.0) == "fine"
    with pytest.raises(ConfigError, match="below 1 %"):
        greatest_below(designs, 1)
