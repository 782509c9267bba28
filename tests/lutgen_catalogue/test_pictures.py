"""What the page draws is what the tables say: error maps, distributions, Pareto fronts."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.lutgen.catalogue.heatmap import heat_map, packed
from rtlgrad.lutgen.catalogue.histogram import MAX_BINS, histogram
from rtlgrad.lutgen.catalogue.pareto import front
from rtlgrad.lutgen.table import ProductTable, code_values


def table_with(error, signed=(False, False)):
    widths = [side.bit_length() - 1 for side in error.shape]
    a, b = (code_values(width, sign) for width, sign in zip(widths, signed, strict=True))
    return ProductTable(a[:, None] * b[None, :] + error, *signed)


def unpacked(data):
    """Read a packed map as the page's script does."""
    raw = zlib.decompress(base64.b64decode(data["data"]))
    return np.frombuffer(raw, "<i2").reshape(data["shape"]).astype(np.int64)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_map_of_small_operands_is_the_error_in_the_order_of_values(data):
    widths = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    signed = data.draw(st.tuples(st.booleans(), st.booleans()))
    seed = data.draw(st.integers(0, 2**32 - 1))
    reach = data.draw(st.sampled_from([1, 100, 32767, 32768, 2_000_000]))
    shape = tuple(1 << width for width in widths)
    error = np.random.default_rng(seed).integers(-reach, reach + 1, shape)
    packed_map = packed(heat_map(table_with(error, signed)))
    quantum = packed_map["quantum"]
    cells = unpacked(packed_map)

    lows = [-(size // 2) if sign else 0 for size, sign in zip(shape, signed, strict=True)]
    for row in range(shape[0]):
        for column in range(shape[1]):
            # The code of a value is the value modulo 2^w, whatever the sign.
            a, b = (row + lows[0]) % shape[0], (column + lows[1]) % shape[1]
            true = error[a, b]
            shown = cells[row, column] * quantum
            assert abs(true) <= abs(shown) < abs(true) + quantum
            assert np.sign(true) == np.sign(shown)
    assert quantum == 1 or np.abs(error).max() > 32767
    assert packed_map["range"] == [error.min(), error.max()]


@pytest.mark.parametrize("widths", [(9, 9), (10, 3), (4, 9)])
def test_a_cell_of_a_large_map_shows_the_error_of_the_greatest_magnitude(widths):
    shape = tuple(1 << width for width in widths)
    error = np.random.default_rng(7).integers(-5000, 5001, shape)
    data = packed(heat_map(table_with(error)))
    cells = unpacked(data)
    tall, wide = data["codes"]
    assert cells.shape == (min(256, shape[0]), min(256, shape[1]))
    assert data["quantum"] == 1
    for row, column in np.ndindex(*cells.shape):
        tile = error[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
        assert cells[row, column] == max(tile.flat, key=lambda value: (abs(value), value))


def test_no_error_is_lost_in_rounding():
    error = np.zeros((4, 4), np.int64)
    error[1, 2], error[3, 3] = -1, 10_000_000
    cells = unpacked(packed(heat_map(table_with(error))))
    assert cells[1, 2] == -1
    assert np.count_nonzero(cells) == 2


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 3, 50, 5000, 10**7]),
    st.sampled_from([0, 1, 3, 50, 5000, 10**7]),
)
def test_every_operand_pair_is_in_the_bin_of_its_error(seed, below, above):
    error = np.random.default_rng(seed).integers(-below, above + 1, (16, 8))
    found = histogram(error)
    width = found.width
    assert found.total == error.size
    assert found.zero == np.count_nonzero(error == 0)
    for sign, counts in ((1, found.above), (-1, found.below)):
        for index, pairs in enumerate(counts):
            first, last = index * width + 1, (index + 1) * width
            assert pairs == np.count_nonzero((first <= sign * error) & (sign * error <= last))
    assert len(found.above) + len(found.below) <= MAX_BINS
    assert width == 1 or _bins(error, width // 2) > MAX_BINS, "the bins are no wider than needed"


def _bins(error, width):
    return sum(-(-max(0, int((sign * error).max())) // width) for sign in (1, -1))


points = st.tuples(st.integers(0, 6), st.integers(0, 6))


@settings(deadline=None, max_examples=200)
@given(st.lists(points, max_size=12))
def test_the_front_is_what_no_other_point_dominates(places):
    def dominates(p, q):
        return p[0] <= q[0] and p[1] <= q[1] and p != q

    expected = {
        index
        for index, place in enumerate(places)
        if not any(dominates(other, place) for other in places)
    }
    found = front(places)
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert [places[index] for index in found] == sorted(places[index] for index in found)
