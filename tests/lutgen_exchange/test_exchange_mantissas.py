"""Mantissa tables: their meaning, ApproxTrain's file, and mistakes made with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, RecordError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.exchange.approxtrain import read_mantissas, write_mantissas
from rtlgrad.lutgen.exchange.diagnose import diagnose_mantissas
from rtlgrad.lutgen.exchange.mantissa_mistakes import MANTISSA_MISTAKES
from rtlgrad.lutgen.mantissa import MantissaTable, from_significands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def truncating(bits: int) -> bytes:
    """ApproxTrain's file of the exact product, cut off: computed on numbers, entry by entry."""
    entries = []
    for i in range(1 << bits):
        for j in range(1 << bits):
            fraction, exponent = math.frexp((1 + i / 2**bits) * (1 + j / 2**bits))
            mantissa = int((2 * fraction - 1) * 2**bits)
            entries.append(mantissa | (0x80 if exponent - 1 > 0 else 0))
    return bytes(entries)


@pytest.mark.parametrize("bits", range(1, 8))
def test_the_exact_integer_multiplier_gives_the_truncating_table(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(truncating(bits))
    table = read_mantissas(path)
    assert table == from_significands(exact_table(bits + 1, bits + 1))
    write_mantissas(table, tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


def test_truncation_at_seven_bits_has_its_published_error() -> None:
    # 0.271 %, all of it downward: the figure of the exact truncating multiplier at m = 7.
    table = from_significands(exact_table(8, 8))
    relative = (table.values - table.exact) / table.exact
    assert round(100 * float(np.abs(relative).mean()), 3) == 0.271
    assert round(100 * float(relative.mean()), 3) == -0.271


@settings(max_examples=20, deadline=None)
@given(bits=st.integers(1, 7), seed=st.integers(0, 1 << 32), order=st.sampled_from(["ab", "ba"]))
def test_mantissas_written_are_read_back(
    bits: int, seed: int, order: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    side = 1 << bits
    table = MantissaTable(
        bits, rng.integers(0, side, (side, side)), rng.integers(0, 2, (side, side)) == 1
    )
    path = tmp_path_factory.mktemp("round") / "t.bin"
    write_mantissas(table, path, order=order)
    assert read_mantissas(path, order=order, mantissa_bits=bits) == table
    assert hash(read_mantissas(path, order=order)) == hash(table)


def test_the_activation_is_the_row(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(bytes([0, 1, 0x80, 0x81]))
    table = read_mantissas(path)
    assert table.mantissa.tolist() == [[0, 1], [0, 1]]
    assert table.carry.tolist() == [[False, False], [True, True]]
    assert read_mantissas(path, order="ba").carry.tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize(
    ("data", "bits", "says"),
    [
        (b"abc", None, "3 bytes"),
        (bytes(16), 3, "64 bytes"),
        (b"", None, "0 bytes"),
        (bytes([0, 0, 0, 2]), None, "0x02 for i = 1, j = 1"),
    ],
)
def test_other_files_are_refused(data: bytes, bits: int | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        read_mantissas(path, mantissa_bits=bits)


def test_a_missing_file_and_a_byte_too_small(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_mantissas(tmp_path / "none.bin")
    with pytest.raises(ConfigError, match="at most 7"):
        write_mantissas(from_significands(exact_table(9, 9)), tmp_path / "t.bin")


def test_an_integer_table_that_cannot_be_a_significand_multiplier_is_refused() -> None:
    for table in (exact_table(4, 5), exact_table(4, 4, signed=True)):
        with pytest.raises(RecordError, match="cannot multiply significands"):
            from_significands(table)
    products = exact_table(4, 4).products.copy()
    products[9, 10] = 63
    with pytest.raises(RecordError, match="63 for 9 x 10") as refused:
        from_significands(ProductTable(products))
    assert "64 to 255" in str(refused.value)


FLAGS = np.zeros((4, 4), bool)


@pytest.mark.parametrize(
    ("bits", "mantissa", "carry", "says"),
    [
        (12, np.zeros((4, 4), int), FLAGS, "12 bits"),
        (2, np.zeros((4, 4)), FLAGS, "float64"),
        (2, np.zeros((4, 4), int), np.zeros((4, 4), int), "carry int64"),
        (2, np.zeros((2, 4), int), FLAGS, "every pair"),
        (2, np.full((4, 4), 4), FLAGS, "outside 2 bits"),
    ],
)
def test_a_mantissa_table_checks_itself(
    bits: int, mantissa: np.ndarray, carry: np.ndarray, says: str
) -> None:
    with pytest.raises(RecordError, match=says):
        MantissaTable(bits, mantissa, carry)


def test_a_mantissa_table_cannot_be_changed_from_outside() -> None:
    mantissa = np.zeros((4, 4), int)
    table = MantissaTable(2, mantissa, FLAGS)
    mantissa[0, 0] = 3
    assert table.mantissa.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        table.carry[0, 0] = True
    assert table != 1
    assert "2 bits" in repr(table)


RIGHT = from_significands(exact_table(6, 6))
ONE = 1 << 5


def by_entry(change: Callable[[int, int, int, bool], tuple[int, bool]]) -> MantissaTable:
    """Make a table by changing each entry of the right one: (i, j, mantissa, carry) -> new."""
    cells = [
        change(i, j, int(RIGHT.mantissa[i, j]), bool(RIGHT.carry[i, j]))
        for i in range(ONE)
        for j in range(ONE)
    ]
    mantissa = np.array([cell[0] for cell in cells]).reshape(ONE, ONE)
    return MantissaTable(5, mantissa, np.array([cell[1] for cell in cells]).reshape(ONE, ONE))


def at(i: int, j: int) -> tuple[int, bool]:
    return int(RIGHT.mantissa[i % ONE, j % ONE]), bool(RIGHT.carry[i % ONE, j % ONE])


def carried(entry: int) -> tuple[int, bool]:
    return entry % ONE, entry % (2 * ONE) >= ONE


MADE: dict[str, MantissaTable] = {
    "one-high": by_entry(lambda i, j, m, c: (min(m + 1, ONE - 1), c)),
    "one-low": by_entry(lambda i, j, m, c: (max(m - 1, 0), c)),
    "one-high-carried": by_entry(lambda i, j, m, c: carried(m + ONE * c + 1)),
    "one-low-borrowed": by_entry(lambda i, j, m, c: carried(m + ONE * c - 1)),
    "operands-one-high": by_entry(lambda i, j, m, c: at(i - 1, j - 1)),
    "operands-one-low": by_entry(lambda i, j, m, c: at(i + 1, j + 1)),
    "not-normalized": by_entry(lambda i, j, m, c: ((ONE + m) // 2 if c else m, c)),
    "carry-lost": by_entry(lambda i, j, m, c: (m, False)),
    "carry-inverted": by_entry(lambda i, j, m, c: (m, not c)),
}


def test_every_known_mistake_is_made_here() -> None:
    assert {*MADE, "transposed"} == set(MANTISSA_MISTAKES)


@pytest.mark.parametrize("name", MADE)
def test_a_mantissa_mistake_is_recognized(name: str) -> None:
    diagnosis = diagnose_mantissas(MADE[name], RIGHT)
    assert not diagnosis.equal
    assert [explained.mistakes for explained in diagnosis.explanations] == [(name,)]


def test_a_transposed_mantissa_table_is_recognized() -> None:
    rng = np.random.default_rng(3)
    right = MantissaTable(3, rng.integers(0, 8, (8, 8)), rng.integers(0, 2, (8, 8)) == 1)
    wrong = MantissaTable(3, right.mantissa.T, right.carry.T)
    (explained,) = diagnose_mantissas(wrong, right).explanations
    assert explained.mistakes == ("transposed",)
    assert diagnose_mantissas(right, right).equal
