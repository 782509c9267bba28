"""Every format against bytes written here from its published description, and back again."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, RtlgradError, UnknownNameError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.exchange import FORMATS, format_of, read_file, read_table, write_table
from rtlgrad.lutgen.exchange.operands import Operands, parse_operands, parse_order

if TYPE_CHECKING:
    from pathlib import Path

NAMED = [name for name, known in FORMATS.items() if known.order is not None]


def value(code: int, signed: bool) -> int:
    """The value of an 8-bit code."""
    return code - 256 if signed and code >= 128 else code


def skewed(a: int, b: int) -> int:
    """A product that tells its operands apart: not commutative, not 0 where an operand is 0."""
    return a * b + a - 3 * b + 7


def skewed_table(signed: bool) -> ProductTable:
    products = [
        [skewed(value(a, signed), value(b, signed)) for b in range(256)] for a in range(256)
    ]
    return ProductTable(np.array(products), signed, signed)


def tf_words(signed: bool) -> bytes:
    """The loop that tf-approximate's README gives: a outside, b inside, a uint16_t each."""
    return b"".join(
        struct.pack("<H", skewed(value(a, signed), value(b, signed)) & 0xFFFF)
        for a in range(256)
        for b in range(256)
    )


def header(declaration: str, *, first_is_a: bool) -> bytes:
    """A C array of signed operands by code, in the layout of AdaPT's own headers."""
    lines = []
    for row in range(256):
        cells = []
        for column in range(256):
            a, b = (row, column) if first_is_a else (column, row)
            cells.append(str(skewed(value(a, True), value(b, True))))
        lines.append("{" + ", ".join(cells) + "}")
    body = ",\n".join(lines)
    return f"#include <stdint.h>\n\n{declaration} = {{{body}}};\n".encode()


def rows_by_value(signed: bool) -> bytes:
    """ApproxTorch: entry (i, j) for A = i - 128 and B = j - 128, or i and j unsigned."""
    operands = range(-128, 128) if signed else range(256)
    return "\n".join(" ".join(str(skewed(a, b)) for b in operands) for a in operands).encode()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


TWOS = [*range(128), *range(-128, 0)]
HAND_WRITTEN = {
    "tf-approximate signed": ("tf-approximate", tf_words(True), True, None),
    "adapt": ("adapt", header("const int16_t lut [256][256]", first_is_a=True), None, "ab"),
    "adapt, weight first": (
        "adapt",
        header("const int32_t lut [256][256]", first_is_a=False),
        None,
        "ba",
    ),
    "transaxx": (
        "transaxx",
        b"#ifndef A_H\n  #define A_H\n"
        + header("const __device__ short lut[256][256]", first_is_a=True)
        + b"#endif\n",
        None,
        "ab",
    ),
    "approxtorch int8": ("approxtorch", rows_by_value(True), True, None),
    "torchapprox": (
        "torchapprox",
        npy(np.array([[skewed(x, w) for w in TWOS] for x in TWOS], dtype=np.int32)),
        True,
        "ab",
    ),
    "torchapprox, conv": (
        "torchapprox",
        npy(np.array([[skewed(x, w) for x in TWOS] for w in TWOS], dtype=np.int32)),
        True,
        "ba",
    ),
    "npy": ("npy", npy(np.array([[skewed(a, b) for b in TWOS] for a in TWOS])), True, "ab"),
    "csv": (
        "csv",
        (
            "a,b,product\n" + "".join(f"{a},{b},{skewed(a, b)}\n" for b in TWOS for a in TWOS)
        ).encode(),
        None,
        None,
    ),
}


@pytest.mark.parametrize("case", HAND_WRITTEN)
def test_bytes_written_from_the_description_read_as_the_table(case: str, tmp_path: Path) -> None:
    name, data, signed, order = HAND_WRITTEN[case]
    path = tmp_path / f"table{FORMATS[name].suffix}"
    path.write_bytes(data)
    assert read_table(path, name, signed=signed, order=order) == skewed_table(True)


def test_unsigned_words_above_32767_stay_positive(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(b"".join(struct.pack("<H", a * b) for a in range(256) for b in range(256)))
    assert read_table(path, "tf-approximate", signed=False) == exact_table(8, 8)
    assert write_table(exact_table(8, 8), tmp_path / "u.bin", "tf-approximate") == "ab"
    assert (tmp_path / "u.bin").read_bytes() == path.read_bytes()


def test_unsigned_rows_of_approxtorch_run_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(rows_by_value(False))
    assert read_table(path, "approxtorch", signed=False) == skewed_table(False)


def test_appmult_files_have_remarks_before_and_gradients_after(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    lines = [f"{a} {b} {a * b + 2 * a}" for a in range(16) for b in range(16)]
    gradients = [f"{a} {b} {-b}" for a in range(16) for b in range(16)]
    remark = "INFO: Mean error distance: 39.78"
    which = "LUT for the gradient of the approximate multiplier w.r.t. the first operand:"
    path.write_text(
        "\n".join([remark, "LUT for approximate multiplier:", *lines, which, *gradients])
    )
    table = read_table(path)
    assert format_of(path).name == "appmult"
    assert np.array_equal(table.products, table.exact + 2 * np.arange(16)[:, None])


@pytest.mark.parametrize(
    ("name", "data"),
    [(name, data) for name, data, _, _ in HAND_WRITTEN.values() if name in ("adapt", "csv", "npy")],
)
def test_files_that_say_what_they_are_need_no_format(
    name: str, data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"t{FORMATS[name].suffix}"
    path.write_bytes(data)
    assert format_of(path).name == name


@st.composite
def held(draw: st.DrawFn) -> tuple[str, ProductTable, str]:
    """A format, a table that it can hold, and an order."""
    name = draw(st.sampled_from(list(FORMATS)))
    known = FORMATS[name]
    widths = known.widths or ((2, 5), (4, 3), (6, 6))
    width_a, width_b = draw(st.sampled_from(widths))
    signs = draw(st.sampled_from(known.signs))
    low, high = known.limits_for(signs[0] or signs[1])
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    products = rng.integers(low, high, (1 << width_a, 1 << width_b), endpoint=True)
    return name, ProductTable(products, *signs), draw(st.sampled_from(["ab", "ba"]))


@settings(max_examples=40, deadline=None)
@given(case=held())
def test_what_is_written_is_read_back(
    case: tuple[str, ProductTable, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, table, order = case
    path = tmp_path_factory.mktemp("round") / "t"
    write_table(table, path, name, order=order)
    again = read_file(
        path,
        name,
        signed=(table.signed_a, table.signed_b),
        order=order,
        width_a=table.width_a,
        width_b=table.width_b,
    )
    assert again.table == table
    assert again.operands == parse_operands(str(again.operands))


@pytest.mark.parametrize("name", FORMATS)
def test_the_other_order_reads_the_transpose(name: str, tmp_path: Path) -> None:
    side = 256 if FORMATS[name].widths is None or (8, 8) in (FORMATS[name].widths or ()) else 16
    signs = FORMATS[name].signs[-1] if len(FORMATS[name].signs) == 1 else (False, False)
    products = np.random.default_rng(1).integers(0, 255, (side, side))
    path = tmp_path / "t"
    write_table(ProductTable(products, *signs), path, name, order="ab")
    assert np.array_equal(read_table(path, name, signed=signs, order="ba").products, products.T)


REFUSED = [
    ("tf-approximate", exact_table(8, 4), "operands of 8 and 8 bits"),
    ("tf-approximate", ProductTable(np.full((256, 256), -1)), "0 to 65535"),
    ("tf-approximate", ProductTable(np.full((256, 256), 40000), True, True), "-32768 to 32767"),
    ("adapt", exact_table(8, 8), "a signed, b signed"),
    ("transaxx", exact_table(7, 7, signed=True), "operands of 8 and 8 bits"),
    ("approxtorch", ProductTable(np.full((256, 256), (1 << 24) + 1)), "-16777216 to 16777216"),
    ("torchapprox", ProductTable(np.zeros((256, 256), int), True, False), "a unsigned, b unsigned"),
    ("appmult", exact_table(8, 8, signed=True), "a unsigned, b unsigned"),
    ("appmult", exact_table(5, 5), "operands of 4 and 4 bits or 6 and 6 bits"),
    ("appmult", ProductTable(np.full((16, 16), 1 << 16)), "0 to 65535"),
]


@pytest.mark.parametrize(("name", "table", "expected"), REFUSED)
def test_a_table_that_a_format_cannot_hold_is_refused(
    name: str, table: ProductTable, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot hold") as refused:
        write_table(table, tmp_path / "t", name, order="ab")
    assert expected in str(refused.value)
    assert not (tmp_path / "t").exists()


def test_entries_beyond_int16_make_the_header_int32(tmp_path: Path) -> None:
    table = ProductTable(np.full((256, 256), 40000), True, True)
    for name, word in (("adapt", "const int32_t lut"), ("transaxx", "const __device__ int lut")):
        write_table(table, tmp_path / "t.h", name, order="ab")
        assert word in (tmp_path / "t.h").read_text()
        assert read_table(tmp_path / "t.h", name, order="ab") == table


TRIPLES = "".join(f"{a},{b},{a * b}\n" for a in range(4) for b in range(4))
SQUARE = "lut[4][4] = {{0,1,2,3},{0,1,2,3},{0,1,2,3},{0,1,2,3}};"
BAD: list[tuple[bytes, str | None, dict[str, object], str]] = [
    (bytes(131071), "tf-approximate", {"signed": False}, "131071 bytes"),
    (bytes(131072), "tf-approximate", {}, "does not say whether operands are signed"),
    (bytes(131072), None, {}, "does not say which format"),
    (b"\x93NUMPY broken", "npy", {"signed": False, "order": "ab"}, "not a readable .npy"),
    (npy(np.zeros((4, 4))), "npy", {"signed": False, "order": "ab"}, "float64 array"),
    (npy(np.zeros((4, 4), int)), "npy", {"signed": False}, "does not settle which operand"),
    (npy(np.zeros((4, 4), int)), "npy", {"order": "ab"}, "does not say whether"),
    (npy(np.zeros((4, 6), int)), "npy", {"signed": False, "order": "ab"}, "every code"),
    (npy(np.zeros((2, 4), int)), "npy", {"signed": False, "order": "ab"}, "1 and 2 bits"),
    (
        npy(np.full((4, 4), (1 << 64) - 1, np.uint64)),
        "npy",
        {"signed": False, "order": "ab"},
        "do not fit int64",
    ),
    (
        npy(np.zeros((4, 8), int)),
        "npy",
        {"signed": False, "order": "ab", "width_a": 3},
        "not the width that was said",
    ),
    (npy(np.zeros((256, 256), int)), "torchapprox", {"signed": True, "order": "ab"}, "int64 array"),
    (b"a;b;c\n", "csv", {}, "what its columns are"),
    (b"a,b,product\n", "csv", {}, "holds no entries"),
    (b"a,b,product\n0,0,x\n", "csv", {}, "not a text table"),
    (b"a,b,product\n0,0\n", "csv", {}, "a line has 2 numbers"),
    (f"a,b,product\n{TRIPLES}".encode(), "csv", {"signed": True}, "not signed as was said"),
    (f"a,b,product\n{TRIPLES[6:]}".encode(), "csv", {}, "every pair of operands once"),
    (f"a,b,product\n{TRIPLES[6:]}3,3,9\n".encode(), "csv", {}, "pair 3, 3 more than once"),
    (b"a,b,product\n0,0,1\n5,5,2\n", "csv", {}, "does not run over all values"),
    (b"0 0 0\n", "appmult", {}, "LUT for approximate multiplier:"),
    (b"1 2\n3\n", "approxtorch", {"signed": True}, "not a text table"),
    (b"1 2 3 4\n" * 4, "approxtorch", {"signed": True}, "tables of this size"),
    (b"int other[2][2] = {{1,2},{3,4}};", "adapt", {"order": "ab"}, "arrays other"),
    (b"int x;", "adapt", {"order": "ab"}, "no two-dimensional array"),
    (f"double {SQUARE}".encode(), "adapt", {"order": "ab"}, "entries of type 'double'"),
    (b"int lut[2][2] = {{1,2},{3}};", "adapt", {"order": "ab"}, "2 rows of 1 to 2 entries"),
    (b"int lut[2][2] = {{1,2},{3,N}};", "adapt", {"order": "ab"}, "not an integer constant"),
    (
        b"int8_t lut[2][2] = {{1,2},{3,200}};",
        "adapt",
        {"order": "ab"},
        "do not fit its type int8_t",
    ),
    (
        header("const int16_t lut[256][256]", first_is_a=True),
        "adapt",
        {},
        "does not settle which operand",
    ),
    (
        header("const int16_t lut[256][256]", first_is_a=True),
        "adapt",
        {"order": "ab", "signed": False},
        "not signed as was said",
    ),
    (b"x", "nosuch", {}, "tf-approximate"),
    (b"x", "npx", {}, "did you mean 'npy'"),
    (b"x", "csv", {"order": "backwards"}, "order of operands"),
]


@pytest.mark.parametrize(("data", "name", "options", "says"), BAD)
def test_what_cannot_be_read_says_why(
    data: bytes, name: str | None, options: dict[str, object], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.dat"
    path.write_bytes(data)
    with pytest.raises((ConfigError, UnknownNameError)) as refused:
        read_table(path, name, **options)  # type: ignore[arg-type]
    assert says in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_table(tmp_path / "none.csv")


def test_comments_and_strings_are_no_part_of_a_header(tmp_path: Path) -> None:
    path = tmp_path / "t.h"
    good = header("const int16_t lut[256][256]", first_is_a=True).decode()
    path.write_text(
        f'// lut[1][1] = {{{{9}}}};\n/* {{ */ const char *s = "lut[1][1] = {{";\n{good}'
    )
    assert read_table(path, order="ab") == skewed_table(True)


@pytest.mark.parametrize(
    ("text", "operands"),
    [("u8xu8", Operands(8, 8, False, False)), ("S12 x u4", Operands(12, 4, True, False))],
)
def test_operands_are_read_as_listings_print_them(text: str, operands: Operands) -> None:
    assert parse_operands(text) == operands


@pytest.mark.parametrize("text", ["8x8", "u8", "u8xu13", "u1xu4", "x", "f8xf8"])
def test_other_operands_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_operands(text)


def test_an_order_is_ab_or_ba() -> None:
    assert parse_order("BA") == "ba"
    with pytest.raises(RtlgradError, match="not an order"):
        parse_order("rows")
