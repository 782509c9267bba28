"""C functions tabulated by calling them: bound by name, decoded, and contained when they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import (
    ConfigError,
    MissingToolError,
    RtlgradError,
    SimulationError,
    TimeLimitError,
    UnknownNameError,
)
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.exchange.c_model import tabulate
from rtlgrad.lutgen.exchange.operands import Order, parse_operands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = "#include <stdint.h>\n#include <stdlib.h>\n"
# One table, however it is declared: products of 4 bits less a, so that a and b cannot be confused.
BY_NAME = {
    "uint8_t A, uint8_t B": Order.AB,
    "uint8_t B, uint8_t A": Order.BA,
    "const uint64_t B,const uint64_t A": Order.BA,
    "const uint64_t A /* 4-bit operand */, const uint64_t B /* (4-bit) */": Order.AB,
    "unsigned b, unsigned a": Order.BA,
}


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Write a C file."""

    def write(text: str, name: str = "model.c") -> Path:
        path = tmp_path / name
        path.write_text(HEAD + text)
        return path

    return write


@pytest.mark.parametrize("parameters", BY_NAME)
def test_operands_are_bound_by_name_not_by_position(
    parameters: str, source: Callable[..., Path]
) -> None:
    upper = "A" in parameters
    a, b = ("A", "B") if upper else ("a", "b")
    path = source(f"uint64_t mul4u_X({parameters})\n{{ return {a} * {b} + 15 - {a}; }}\n")
    made = tabulate(path, "mul4u_X")
    assert made.order is BY_NAME[parameters]
    assert np.array_equal(made.table.products, made.table.exact + 15 - np.arange(16)[:, None])
    assert not made.order_stated
    assert made.out_bits == 8


@pytest.mark.parametrize(
    "definition",
    [
        # The forms of EvoApproxLib: bits assembled into an unsigned word, or into a wider signed
        # one without extending the sign; and plain arithmetic on values.
        "uint16_t mul4s_X(uint8_t A, uint8_t B) { return (A_ * B_) & 0xff; }",
        "int32_t mul4s_X(int16_t A, int16_t B) { int32_t P = (A_ * B_) & 0xff; return P; }",
        "uint64_t mul4s_X(uint64_t A, uint64_t B) { return (uint64_t)(A_ * B_); }",
        "int mul4s_X(int8_t A, int8_t B) { return A * B; }",
    ],
)
def test_signed_results_are_decoded(definition: str, source: Callable[..., Path]) -> None:
    low_bits = "#define V(x) ((int)(((x) & 15) ^ 8) - 8)\n#define A_ V(A)\n#define B_ V(B)\n"
    made = tabulate(source(low_bits + definition), "mul4s_X")
    assert made.table == exact_table(4, 4, signed=True)


def test_unequal_widths_and_signs_can_be_said_or_named(source: Callable[..., Path]) -> None:
    path = source("uint32_t mul5x3u_X(uint8_t A, uint8_t B) { return A * B; }")
    assert tabulate(path, "mul5x3u_X").table == exact_table(5, 3)
    path = source("int f(int x, unsigned char y) { return x * y; }")
    made = tabulate(path, "f", operands=parse_operands("s3xu4"))
    assert np.array_equal(made.table.products, made.table.exact)
    assert made.operands_stated


def test_the_order_can_be_said(source: Callable[..., Path]) -> None:
    path = source("int mul3u_X(int first, int second) { return 8 * first + second; }")
    made = tabulate(path, "mul3u_X", order=Order.BA)
    assert int(made.table.products[2, 5]) == 8 * 5 + 2
    assert made.order_stated


def test_a_model_may_include_files_beside_it_and_have_a_main(
    source: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "part.h").write_text("static int twice(int x) { return 2 * x; }\n")
    path = source(
        '#include "part.h"\nint mul2u_X(int a, int b) { return twice(a) * b; }\n'
        "int main(void) { return 7; }\n"
    )
    assert int(tabulate(path, "mul2u_X").table.products[3, 3]) == 18
    cpp = source("template <class T> T m(T a, T b) { return a * b; }\n"
                 "int mul2u_Y(int a, int b) { return m<int>(a, b); }", "model.cpp")  # fmt: skip
    assert tabulate(cpp, "mul2u_Y").table == exact_table(2, 2)


GOOD = "int mul2u_X(int a, int b) { return a * b; }\n"
FAILS: list[tuple[str, str, type[RtlgradError], str]] = [
    (GOOD + "int other(int a) { return a; }", "mul2u_Y", UnknownNameError, "mul2u_X, other"),
    ("int g;", "mul2u_X", UnknownNameError, "there is no function"),
    ("int mul2u_X(int a) { return a; }", "mul2u_X", ConfigError, "mul2u_X(int a)"),
    ("int mul2u_X(void) { return 1; }", "mul2u_X", ConfigError, "mul2u_X(void)"),
    ("int mul2u_X(int a, int b, int c) { return a; }", "mul2u_X", ConfigError, "two operands"),
    ("int mul2u_X(int *a, int b) { return b; }", "mul2u_X", ConfigError, "two operands"),
    ("int mul2u_X(int p, int q) { return p; }", "mul2u_X", ConfigError, "do not tell which"),
    ("int f(int a, int b) { return a * b; }", "f", ConfigError, "does not say widths and signs"),
    ("int mul2u_X(int a, int b) { return a * ; }", "mul2u_X", ConfigError, "expected expression"),
    ("int mul13u_X(int a, int b) { return a; }", "mul13u_X", ConfigError, "13 and 13 bits"),
    ("int mul9u_X(uint8_t a, int b) { return a; }", "mul9u_X", ConfigError, "cannot hold"),
    ("int mul8u_X(int8_t a, int8_t b) { return a; }", "mul8u_X", ConfigError, "cannot hold"),
    ("int mul2u_X(double a, int b) { return b; }", "mul2u_X", ConfigError, "cannot hold"),
    ("float mul2u_X(int a, int b) { return a; }", "mul2u_X", ConfigError, "cannot hold"),
    ("int mul2u_X(int a, int b) { abort(); }", "mul2u_X", SimulationError, "signal 6"),
    ("int mul2u_X(int a, int b) { return a / b; }", "mul2u_X", SimulationError, "signal 8"),
    ("int mul2u_X(int a, int b) { exit(3); }", "mul2u_X", SimulationError, "status 3"),
    ("int mul2u_X(int a, int b) { exit(0); }", "mul2u_X", SimulationError, "ended the program"),
    (
        "int mul2u_X(int a, int b) { static int n; return n++ & 7; }",
        "mul2u_X",
        SimulationError,
        "answers differently",
    ),
    ("int mul2u_X(int a, int b) { while (1) {} }", "mul2u_X", TimeLimitError, "--time-limit"),
    ("int mul2u_X(int a, int b) { return a - b; }", "mul2u_X", ConfigError, "-3 to 3"),
    ("int mul2s_X(int a, int b) { return 9 * a * b; }", "mul2s_X", ConfigError, "codes of 4 bits"),
]


@pytest.mark.parametrize(("text", "name", "kind", "says"), FAILS)
def test_a_function_that_cannot_be_tabulated_says_why(
    text: str, name: str, kind: type[RtlgradError], says: str, source: Callable[..., Path]
) -> None:
    # A loop without an effect may be left out by the compiler; this one has one.
    path = source(text.replace("while (1) {}", "volatile int x = 1; while (x) {} return 0;"))
    with pytest.raises(kind) as refused:
        tabulate(path, name, time_limit_s=1.0)
    assert says in str(refused.value)


def test_a_product_narrower_than_was_said_is_refused(source: Callable[..., Path]) -> None:
    path = source(GOOD)
    assert tabulate(path, "mul2u_X", out_bits=4).out_bits == 4
    with pytest.raises(ConfigError, match="do not fit") as refused:
        tabulate(path, "mul2u_X", out_bits=3)
    assert "9 for the operand codes a = 3, b = 3" in str(refused.value)


def test_no_compiler_and_no_file(
    source: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        tabulate(tmp_path / "none.c", "f")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingToolError, match="no-such-compiler"):
        tabulate(source(GOOD), "mul2u_X")
