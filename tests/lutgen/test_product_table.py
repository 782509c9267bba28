from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtlgrad.core.errors import RecordError
from rtlgrad.lutgen.table import ProductTable, code_values, exact_table


@given(st.integers(1, 12), st.booleans())
def test_code_values_are_numpys_two_s_complement(width: int, signed: bool) -> None:
    codes = np.arange(1 << width)
    shifted = (codes << (16 - width)).astype(np.int16 if signed else np.uint16)
    assert np.array_equal(code_values(width, signed), shifted.astype(np.int64) >> (16 - width))


@pytest.mark.parametrize(
    "products",
    [
        np.zeros(16, dtype=int),
        np.zeros((4, 4)),
        np.zeros((4, 4), dtype=bool),
        np.zeros((3, 4), dtype=int),
        np.zeros((4, 6), dtype=int),
        np.zeros((1, 4), dtype=int),
        np.zeros((0, 0), dtype=int),
        np.zeros((4, 4, 4), dtype=int),
        np.full((4, 4), 2**31),
        np.full((4, 4), -(2**31) - 1),
    ],
)
def test_what_is_no_table_is_refused(products: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(RecordError, match="'x'"):
        ProductTable(products, name="x")


def test_nobody_can_change_a_table() -> None:
    source = np.arange(16).reshape(4, 4)
    table = ProductTable(source)
    source[0, 0] = 99
    assert table.products[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        table.products[0, 0] = 1


@given(st.integers(0, 15), st.integers(0, 30))
def test_the_hash_changes_with_every_bit_shape_and_sign(entry: int, bit: int) -> None:
    base = exact_table(2, 2)
    changed = base.products.copy()
    changed.flat[entry] ^= np.int32(1 << bit)
    hashes = {
        table.content_hash
        for table in (
            base,
            ProductTable(changed),
            ProductTable(base.products, True, False),
            ProductTable(base.products, False, True),
            ProductTable(base.products.reshape(2, 8)),
            ProductTable(base.products.reshape(8, 2)),
        )
    }
    assert len(hashes) == 6


def test_the_hash_does_not_depend_on_name_layout_or_integer_type() -> None:
    products = exact_table(3, 4).products
    hashes = {
        ProductTable(array, name=name).content_hash
        for name, array in {
            "int8": products.astype(np.uint8),
            "int64": products.astype(np.int64),
            "big-endian": products.astype(">i4"),
            "fortran": np.asfortranarray(products),
            "strided": np.repeat(products, 2, axis=0)[::2],
        }.items()
    }
    assert hashes == {exact_table(3, 4).content_hash}
