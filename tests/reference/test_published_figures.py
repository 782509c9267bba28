"""The models against figures printed in the papers that the designs come from."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import arrays, segments, trees
from .multipliers import MODELS, exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .operands import Table


def relative_error(table: Table, products: Table) -> NDArray[np.float64]:
    """Signed relative error of the entries whose exact product is not 0."""
    nonzero = products != 0
    errors: NDArray[np.float64] = (table[nonzero] - products[nonzero]) / products[nonzero]
    return errors


def test_kulkarni_block_errs_once_in_sixteen_by_two_ninths() -> None:
    block = trees.underdesigned(2)
    wrong = np.argwhere(block != exact(2))
    assert wrong.tolist() == [[3, 3]]
    assert block[3, 3] == 7


def test_kulkarni_mean_error_is_1_39_to_3_32_percent_and_at_most_22_22() -> None:
    # Kulkarni et al. 2011, abstract; averaged over all operand pairs, 0 counting as no error.
    means = []
    for width in (2, 4, 8):
        errors = relative_error(trees.underdesigned(width), exact(width))
        assert errors.min() == pytest.approx(-2 / 9)
        assert errors.max() == 0
        means.append(-errors.sum() / 4**width * 100)
    assert means[0] == pytest.approx(1.39, abs=0.005)
    assert means == sorted(means)
    assert means[-1] < 3.32


def test_mitchell_never_overestimates_and_falls_short_by_at_most_11_1_percent() -> None:
    errors = relative_error(segments.mitchell(), exact(8))
    assert errors.max() == 0
    assert errors.min() == pytest.approx(-1 / 9)


def test_mitchell_is_exact_for_powers_of_two_and_worst_at_three_times_three() -> None:
    table = segments.mitchell()
    for k in range(8):
        assert np.array_equal(table[2**k], exact(8)[2**k])
    assert table[3, 3] == 8


def test_mitchell_mean_error_over_all_mantissas_is_3_85_percent() -> None:
    # The figure for full-range operands: mantissas of 7 bits, 128 to 255.
    errors = relative_error(segments.mitchell()[128:, 128:], exact(8)[128:, 128:])
    assert errors.mean() * 100 == pytest.approx(-3.85, abs=0.005)


@pytest.mark.parametrize(
    ("bits", "mean", "bias"), [(3, 11.90, 2.08), (4, 5.89, 0.53), (6, 1.47, 0.04)]
)
def test_drum_has_the_published_mean_error_and_bias_on_16_bit_operands(
    bits: int, mean: float, bias: float
) -> None:
    generator = np.random.default_rng(2015)
    a, b = generator.integers(1, 2**16, size=(2, 2**20))
    products = a * b
    errors = relative_error(
        segments.drum_operand(a, bits) * segments.drum_operand(b, bits), products
    )
    assert abs(errors).mean() * 100 == pytest.approx(mean, abs=0.02)
    assert errors.mean() * 100 == pytest.approx(bias, abs=0.025)


@pytest.mark.parametrize(("bits", "worst"), [(3, 56.25), (4, 26.56), (5, 12.89)])
def test_drum_worst_relative_error(bits: int, worst: float) -> None:
    # Reached where both operands are a power of two: (1 + 2^(1-k))^2 - 1.
    errors = relative_error(segments.drum(bits), exact(8))
    assert abs(errors).max() * 100 == pytest.approx(worst, abs=0.01)


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
def test_drum_leaves_short_operands_alone(bits: int) -> None:
    assert np.array_equal(segments.drum(bits)[: 2**bits, : 2**bits], exact(8)[: 2**bits, : 2**bits])


def test_roba_worst_relative_error_is_11_1_percent_on_either_side() -> None:
    errors = relative_error(segments.rounded_operands(), exact(8))
    assert abs(errors).max() == pytest.approx(1 / 9)
    assert errors.min() < 0 < errors.max()


def test_compressor_design_2_errs_in_4_of_16_entries_by_one() -> None:
    # Momeni et al. 2015: error rate 25 %, no error distance above 1.
    inputs = np.array(list(itertools.product((0, 1), repeat=4)), dtype=np.int64)
    total, carry = trees.approximate_compressor(*inputs.T)
    distance = total + 2 * carry - inputs.sum(axis=1)
    assert np.count_nonzero(distance) == 4
    assert abs(distance).max() == 1


def test_compressor_design_2_follows_its_equations() -> None:
    inputs = np.array(list(itertools.product((0, 1), repeat=4)), dtype=np.int64)
    x1, x2, x3, x4 = inputs.T
    total, carry = trees.approximate_compressor(x1, x2, x3, x4)
    assert np.array_equal(total, (1 - (x1 ^ x2)) | (1 - (x3 ^ x4)))
    assert np.array_equal(carry, (x1 | x2) & (x3 | x4))


@pytest.mark.parametrize("columns", range(1, 9))
def test_truncation_has_the_mean_and_worst_error_of_the_columns_left_out(columns: int) -> None:
    # Column q < 8 holds q + 1 dots, each 1 for a quarter of the operand pairs.
    left_out = sum((q + 1) * 2**q for q in range(columns))
    error = arrays.truncated(8, columns) - exact(8)
    assert error.mean() == -left_out / 4
    assert error.min() == -left_out
    assert error.max() == 0


@pytest.mark.parametrize("columns", [4, 6, 8])
def test_correction_constant_is_what_zero_times_anything_gives(columns: int) -> None:
    table = arrays.truncated_corrected(columns)
    constant = {4: 16, 6: 64, 8: 512}[columns]
    assert set(table[0].tolist()) == {constant}
    assert abs((table - exact(8)).mean()) <= 2**columns / 2


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 2), (0, 3), (1, 2)])
def test_perforation_mean_and_worst_error(first: int, count: int) -> None:
    # Zervakis et al. 2016: the error is A times the bits of B that are left out.
    error = arrays.perforated(first, count) - exact(8)
    bits = (2**count - 1) * 2**first
    assert error.mean() == -127.5 * bits / 2
    assert error.min() == -255 * bits


@pytest.mark.parametrize("rows", range(5))
def test_breaking_rows_alone_is_perforation(rows: int) -> None:
    assert np.array_equal(arrays.broken_array(rows, 0), arrays.perforated(0, rows))


@pytest.mark.parametrize("columns", range(9))
def test_breaking_columns_alone_is_truncation(columns: int) -> None:
    assert np.array_equal(arrays.broken_array(0, columns), arrays.truncated(8, columns))


@pytest.mark.parametrize("columns", [4, 6, 8])
def test_or_compression_lies_between_truncation_and_exact(columns: int) -> None:
    table = arrays.or_compressed(columns)
    assert (arrays.truncated(8, columns) <= table).all()
    assert (table <= exact(8)).all()


@pytest.mark.parametrize("columns", range(8))
def test_signed_truncation_errs_as_the_unsigned_one_on_the_same_codes(columns: int) -> None:
    # Columns below 7 hold no dot of a sign bit.
    signed = arrays.baugh_wooley_truncated(columns) - exact(8, signed=True)
    assert np.array_equal(signed, arrays.truncated(8, columns) - exact(8))


def test_array_multipliers_without_approximation_are_exact() -> None:
    for table in (
        arrays.truncated(8, 0),
        arrays.broken_array(0, 0),
        arrays.or_compressed(0),
        trees.compressor_tree(0),
    ):
        assert np.array_equal(table, exact(8))
    assert np.array_equal(arrays.baugh_wooley_truncated(0), exact(8, signed=True))
    assert np.array_equal(arrays.broken_booth(0), exact(8, signed=True))


@pytest.mark.parametrize("name", ["mul8s_bbm6", "mul8u_perf_j0k2", "mul8u_bam_h2v4"])
def test_some_designs_do_not_commute(name: str) -> None:
    table = MODELS[name]()
    assert not np.array_equal(table, table.T)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_fits_its_output_port(name: str) -> None:
    _, width_text, sign = re.split(r"^mul(\d+)([us])", name)[:3]
    width = int(width_text)
    table = MODELS[name]()
    assert table.shape == (2**width, 2**width)
    assert table.dtype == np.int64
    half = 2 ** (2 * width - 1)
    low, high = (-half, half - 1) if sign == "s" else (0, 2 * half - 1)
    assert low <= table.min()
    assert table.max() <= high
