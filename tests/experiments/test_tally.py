"""Figures from rows: means, spreads, pairs, rank correlation, CSV."""

from __future__ import annotations

import csv
import io

import pytest
from experiments.study import Row
from experiments.tally import (
    markdown,
    paired,
    rank_correlation,
    summaries,
    to_csv,
    with_spread,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from scipy import stats


def row(arm, seed, accuracy, initial=None):
    return Row(
        *(arm, "lenet5", "digits", "fp32", "-", seed, 2, 100, initial, accuracy),
        *((50.0, 60.0), (1.0, None), 3.25, 1, None),
    )


def test_mean_and_spread_are_those_of_the_seeds():
    rows = [row("a", 0, 70.0, 10.0), row("b", 0, 50.0), row("a", 1, 74.0, 20.0)]
    found = summaries(rows)
    assert list(found) == ["a", "b"]
    assert (found["a"].mean, found["a"].initial, found["a"].count) == (72.0, 15.0, 2)
    assert found["a"].spread == pytest.approx(8**0.5)
    assert (found["b"].spread, found["b"].initial) == (None, None)
    assert with_spread(found["a"]) == "72.00 ± 2.83"
    assert with_spread(found["b"]) == "50.00"
    assert with_spread(None) == "-"


def test_pairs_are_of_one_seed():
    one = [row("a", 0, 70.0), row("a", 2, 75.0), row("a", 1, 71.0)]
    assert paired(one, [row("b", 1, 70.0), row("b", 0, 71.0)]) == [-1.0, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 2), min_size=3, max_size=12))
def test_rank_correlation_is_that_of_scipy(pairs):
    one, other = zip(*pairs, strict=True)
    if len(set(one)) < 2 or len(set(other)) < 2:
        with pytest.raises(ConfigError):
            rank_correlation(one, other)
    else:
        want = stats.spearmanr(one, other).statistic
        assert rank_correlation(one, other) == pytest.approx(want, abs=1e-12)


def test_csv_has_every_row_and_no_curve():
    read = list(csv.DictReader(io.StringIO(to_csv([row("a, b", 0, 70.12345), row("c", 1, 60.0)]))))
    assert [line["arm"] for line in read] == ["a, b", "c"]
    assert read[0]["accuracy"] == "70.123"
    assert read[0]["initial"] == ""
    assert "curve" not in read[0]


def test_a_table_has_as_many_marks_as_columns():
    lines = markdown(("a", "b", "c"), [("1", "2", "3")], left=2).splitlines()
    assert lines == ["| a | b | c |", "| --- | --- | ---: |", "| 1 | 2 | 3 |"]
