"""Strata partition the operand pairs, and estimates from samples of them are what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.cosim.interface import Interface, OrderRule, Port, SignRule
from rtlgrad.cosim.wide import Pairs
from rtlgrad.lutgen.estimate import Strata
from rtlgrad.lutgen.metrics import error_metrics
from rtlgrad.lutgen.sample import Sample
from rtlgrad.lutgen.sampled_metrics import sampled_metrics
from rtlgrad.lutgen.strata import CORNERS, Budget, corners, draw, stratum_of, stratum_sizes
from rtlgrad.lutgen.table import ProductTable, code_values

SMALL = Budget(proportional=2000, even=1500, most_even=16)


def interface(
    widths: tuple[int, int], signs: tuple[bool, bool] = (False, False), out: int | None = None
) -> Interface:
    def port(name: str, width: int, signed: bool) -> Port:
        return Port(name, width, signed, SignRule.KEYWORD)

    return Interface(
        "m",
        port("A", widths[0], signs[0]),
        port("B", widths[1], signs[1]),
        port("O", out or sum(widths), any(signs)),
        OrderRule.NAMES,
        {},
        "pyverilog",
    )


def every_pair(ports: Interface) -> Pairs:
    a = np.arange(1 << ports.a.width, dtype=np.uint64)
    b = np.arange(1 << ports.b.width, dtype=np.uint64)
    return Pairs(np.repeat(a, len(b)), np.tile(b, len(a)))


WIDTHS = st.tuples(st.integers(2, 6), st.integers(2, 6))
SIGNS = st.tuples(st.booleans(), st.booleans())


@given(WIDTHS, SIGNS)
@settings(deadline=None, max_examples=40)
def test_strata_partition_all_operand_pairs(
    widths: tuple[int, int], signs: tuple[bool, bool]
) -> None:
    ports = interface(widths, signs)
    counted = np.bincount(stratum_of(ports, every_pair(ports)), minlength=len(stratum_sizes(ports)))
    assert counted.tolist() == stratum_sizes(ports)


@pytest.mark.parametrize("width", [2, 13, 32, 64])
@pytest.mark.parametrize("signed", [False, True])
def test_strata_of_any_width_add_up_to_all_pairs(width: int, signed: bool) -> None:
    ports = interface((width, width), (signed, signed))
    assert sum(stratum_sizes(ports)) == 1 << (2 * width)


def test_corners_are_zero_ones_powers_of_two_and_the_ends_of_the_range() -> None:
    port = Port("A", 5, True, SignRule.KEYWORD)
    values = code_values(5, True)[corners(port).astype(np.int64)]
    assert sorted(values) == [-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 15]
    unsigned = corners(Port("A", 5, False, SignRule.KEYWORD))
    assert unsigned.tolist() == [0, 1, 2, 4, 8, 16, 31]


@pytest.mark.parametrize("signed", [False, True])
def test_every_stratum_is_drawn_from_and_all_pairs_of_corners_are_there(signed: bool) -> None:
    ports = interface((14, 13), (signed, signed))
    pairs = draw(ports, budget=SMALL)
    counted = np.bincount(stratum_of(ports, pairs), minlength=len(stratum_sizes(ports)))
    for count, size in zip(counted, stratum_sizes(ports), strict=True):
        assert (count > 0) == (size > 0)
    corner = stratum_of(ports, pairs) == CORNERS
    taken = set(zip(pairs.a[corner].tolist(), pairs.b[corner].tolist(), strict=True))
    assert len(taken) == len(corners(ports.a)) * len(corners(ports.b)) == corner.sum()


def test_the_same_seed_draws_the_same_pairs_and_another_draws_others() -> None:
    ports = interface((16, 16))
    one, two, other = draw(ports), draw(ports), draw(ports, seed=1)
    assert np.array_equal(one.a, two.a)
    assert np.array_equal(one.b, two.b)
    assert not np.array_equal(one.a, other.a)


def answers(ports: Interface, products: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    mask = np.uint64((1 << ports.out.width) - 1)
    return products.astype(np.int64).view(np.uint64) & mask


@pytest.mark.parametrize("signs", [(False, False), (True, True), (True, False)])
def test_a_sample_of_all_pairs_gives_the_exhaustive_metrics(signs: tuple[bool, bool]) -> None:
    ports = interface((5, 4), signs, out=10)
    rng = np.random.default_rng(3)
    table = ProductTable(rng.integers(0 if not any(signs) else -200, 300, (32, 16)), *signs)
    pairs = every_pair(ports)
    sample = Sample(pairs.a, pairs.b, answers(ports, table.products.ravel())[:, None], 0, "all")
    found, exact = sampled_metrics(sample, ports), error_metrics(table)
    for name in (
        "mae",
        "mae_pct",
        "mse",
        "ep_pct",
        "bias",
        "nmed",
        "mre_nonzero_pct",
        "mre_all_pct",
    ):
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(getattr(exact, name), rel=1e-12), name
        assert (estimate.low, estimate.high) == (estimate.value, estimate.value)
    assert found.wce_at_least == exact.wce


def test_95_percent_intervals_hold_the_truth_about_95_times_in_100() -> None:
    ports = interface((10, 9))
    a, b = code_values(10, False)[:, None], code_values(9, False)[None, :]
    # Errors that grow with the operands, are rare in places, and have a bias.
    products = a * b - ((a * b) % 37) * (b % 5 == 0) + (a // 16)
    exact = error_metrics(ProductTable(products))
    inside = dict.fromkeys(("mae", "mse", "bias", "ep_pct", "mre_nonzero_pct"), 0)
    runs = 200
    for seed in range(runs):
        pairs = draw(ports, seed=seed, budget=SMALL)
        codes = products[pairs.a.astype(np.int64), pairs.b.astype(np.int64)].astype(np.uint64)
        found = sampled_metrics(Sample(pairs.a, pairs.b, codes[:, None], seed, ""), ports)
        for name in inside:
            estimate = getattr(found, name)
            assert estimate.low is not None
            inside[name] += estimate.low <= getattr(exact, name) <= estimate.high
        assert found.wce_at_least <= exact.wce
    # 200 draws of a coin that is right 95 times in 100 lie below 180 once in a thousand times.
    assert min(inside.values()) >= 180
    # Intervals that always hold would be too wide to be of use.
    assert min(inside.values()) < runs


def test_without_variation_there_is_no_interval_and_a_share_has_one_all_the_same() -> None:
    strata = Strata(np.array([0, 0, 1, 1]), [2, 1000])
    nothing = np.zeros(4)
    assert strata.mean(nothing).low is None
    # Of 2 draws none shows a share of 1 - 0.05^(1/2) = 0.776 with probability 0.05; the bound is
    # -ln 0.05 / 2 > 1 here, and 1 at most.
    assert (strata.share(nothing > 0).low, strata.share(nothing > 0).high) == (0.0, 1.0)
    many = Strata(np.zeros(1000, dtype=np.int64), [10**9])
    high = many.share(np.zeros(1000, dtype=bool)).high
    assert high is not None
    assert (1 - high) ** 1000 <= 0.05
    assert (1 - 0.9 * high) ** 1000 > 0.05


@pytest.mark.parametrize(("width", "signed"), [(31, False), (32, False), (32, True), (64, False)])
def test_wide_products_are_exact_and_never_wrapped(width: int, signed: bool) -> None:
    ports = interface((width, width), (signed, signed))
    pairs = draw(ports, budget=SMALL)
    values = []
    for codes in (pairs.a, pairs.b):
        whole = [int(code) for code in codes]
        values.append([v - (1 << width) if signed and v >> (width - 1) else v for v in whole])
    products = [(x * y + 1) % (1 << (2 * width)) for x, y in zip(*values, strict=True)]
    words = [[p & (2**64 - 1), p >> 64][: -(-2 * width // 64)] for p in products]
    sample = Sample(pairs.a, pairs.b, np.array(words, dtype=np.uint64), 0, "")
    found = sampled_metrics(sample, ports)
    # Every product is one too large, but for wraps of the output, of which there is none: the
    # greatest product plus one still fits.
    assert found.wce_at_least == 1
    assert found.bias.value == pytest.approx(1.0, abs=1e-12)
    assert found.ep_pct.value == pytest.approx(100.0)
