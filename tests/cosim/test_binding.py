"""Which port is which operand, and how its codes are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtlgrad.cosim.frontend.declaration import ModuleDeclaration, PortDeclaration
from rtlgrad.cosim.frontend.read import ReadModule
from rtlgrad.cosim.interface import Interface, OrderRule, Port, SignRule
from rtlgrad.cosim.reading.binding import OPERAND_NAMES, bind
from rtlgrad.cosim.reading.sidecar import Sidecar

KEYWORD, NAME, PLAIN = SignRule.KEYWORD, SignRule.NAME, SignRule.UNSIGNED


def bound(
    inputs: tuple[str, str] = ("A", "B"),
    signs: tuple[bool, bool, bool] = (False, False, False),
    *,
    file: str = "design.v",
    module: str = "design",
    sidecar: Sidecar | None = None,
) -> Interface:
    ports = (
        PortDeclaration(inputs[0], "input", 4, signs[0]),
        PortDeclaration(inputs[1], "input", 5, signs[1]),
        PortDeclaration("O", "output", 9, signs[2]),
    )
    read = ReadModule(ModuleDeclaration(module, ports, {}), "pyverilog")
    return bind(read, sidecar or Sidecar(), Path(file))


@pytest.mark.parametrize("pair", OPERAND_NAMES)
@pytest.mark.parametrize("change", [str, str.upper, str.capitalize])
def test_known_names_decide_the_order_whatever_was_declared_first(pair, change) -> None:  # type: ignore[no-untyped-def]
    first, second = (change(name) for name in pair)
    for inputs in ((first, second), (second, first)):
        interface = bound(inputs)
        assert (interface.a.name, interface.b.name) == (first, second)
        assert interface.order_from is OrderRule.NAMES


@pytest.mark.parametrize("inputs", [("p", "q"), ("q", "p"), ("A", "X"), ("a", "A"), ("b", "c")])
def test_other_names_leave_the_order_of_declaration(inputs: tuple[str, str]) -> None:
    interface = bound(inputs)
    assert (interface.a.name, interface.b.name) == inputs
    assert (interface.a.width, interface.b.width) == (4, 5)
    assert interface.order_from is OrderRule.DECLARATION


@pytest.mark.parametrize(
    "ports", [{"a": "B"}, {"b": "A"}, {"a": "B", "b": "A"}, {"a": "B", "out": "O"}]
)
def test_the_sidecar_outweighs_the_names(ports: dict[str, str]) -> None:
    interface = bound(sidecar=Sidecar(ports=ports))
    assert (interface.a.name, interface.b.name) == ("B", "A")
    assert interface.order_from is OrderRule.SIDECAR


@pytest.mark.parametrize(
    ("file", "module", "signed"),
    [
        ("mul8s_1L2H.v", "x", True),
        ("mul8u_1L2H.v", "x", False),
        ("mul8s.v", "x", True),
        ("MUL8S_X.v", "x", True),
        ("mul8x4s_x.v", "x", True),
        ("mul12s_x.v", "x", True),
        ("x.v", "mul8s_exact", True),
        ("mul8u_x.v", "mul8s_x", False),
    ],
)
def test_a_name_of_the_field_decides_the_sign(file: str, module: str, signed: bool) -> None:
    interface = bound(file=file, module=module)
    for port in (interface.a, interface.b, interface.out):
        assert (port.signed, port.signed_from) == (signed, NAME)


@pytest.mark.parametrize(
    "stem",
    ["mul8_s", "mul8sx", "muls_8", "xmul8s_", "mul_8s_", "multiplier8s_x", "add8s_x", "mul8"],
)
def test_other_names_do_not(stem: str) -> None:
    interface = bound(file=f"{stem}.v")
    assert (interface.a.signed, interface.a.signed_from) == (False, PLAIN)


def test_the_keyword_outweighs_the_name() -> None:
    interface = bound(signs=(True, False, False), file="mul4u_x.v")
    assert (interface.a.signed, interface.a.signed_from) == (True, KEYWORD)
    assert (interface.b.signed, interface.b.signed_from) == (False, NAME)


def test_the_sidecar_outweighs_keyword_and_name() -> None:
    sidecar = Sidecar(signed={"a": False, "b": False, "out": False})
    interface = bound(signs=(True, True, True), file="mul4s_x.v", sidecar=sidecar)
    for port in (interface.a, interface.b, interface.out):
        assert (port.signed, port.signed_from) == (False, SignRule.SIDECAR)


@given(st.booleans(), st.booleans())
def test_an_undecided_output_is_signed_where_an_operand_is(a: bool, b: bool) -> None:
    out = bound(signs=(a, b, False)).out
    assert out.signed == (a or b)
    assert out.signed_from is (SignRule.OPERANDS if a or b else PLAIN)


PORTS = st.builds(Port, st.just("P"), st.integers(2, 6), st.booleans(), st.just(PLAIN))


@given(PORTS, PORTS, st.booleans())
def test_the_bits_of_a_product_are_just_enough(a: Port, b: Port, signed: bool) -> None:
    out = Port("O", 12, signed or a.signed or b.signed, PLAIN)
    interface = Interface("m", a, b, out, OrderRule.NAMES, {}, "pyverilog")
    products = {
        x * y
        for x in range(a.limits[0], a.limits[1] + 1)
        for y in range(b.limits[0], b.limits[1] + 1)
    }

    def fits(bits: int) -> bool:
        low, high = Port("O", bits, out.signed, PLAIN).limits
        return low <= min(products) and max(products) <= high

    assert fits(interface.exact_product_bits)
    assert not fits(interface.exact_product_bits - 1)
