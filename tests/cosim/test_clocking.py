"""Which ports of a clocked design are taken for what, by name and by sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import InterfaceError, SidecarError, UnknownNameError
from rtlgrad.cosim.frontend.declaration import ModuleDeclaration, PortDeclaration
from rtlgrad.cosim.frontend.read import ReadModule
from rtlgrad.cosim.interface import Clocking, ClockStyle, ControlInput
from rtlgrad.cosim.reading.binding import bind
from rtlgrad.cosim.reading.sidecar import Sidecar, read_sidecar
from rtlgrad.cosim.reading.sidecar_clock import read_clock_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlgrad.cosim.interface import Interface

DESIGN = Path("design.v")


def bound(inputs: str, outputs: str = "", clock: dict[str, object] | None = None) -> Interface:
    """Bind a module with operands and a product, and further ports of one bit."""
    ports = (
        *(PortDeclaration(name, "input", 1, False) for name in inputs.split()),
        PortDeclaration("a", "input", 8, False),
        PortDeclaration("b", "input", 8, False),
        *(PortDeclaration(name, "output", 1, False) for name in outputs.split()),
        PortDeclaration("p", "output", 16, False),
    )
    read = ReadModule(ModuleDeclaration("design", ports, {}), "pyverilog")
    return bind(read, Sidecar(clock=read_clock_table(DESIGN, clock)), DESIGN)


def clocking(inputs: str, outputs: str = "", clock: dict[str, object] | None = None) -> Clocking:
    interface = bound(inputs, outputs, clock)
    assert (interface.a.name, interface.b.name, interface.out.name) == ("a", "b", "p")
    assert interface.clocking is not None
    return interface.clocking


@pytest.mark.parametrize(
    "name", ["clk", "clock", "CLK", "i_clk", "clk_i", "aclk", "clk0", "clk_in"]
)
def test_a_clock_is_known_by_its_name(name: str) -> None:
    assert clocking(name).clock == name


def test_without_a_clock_a_design_is_combinational() -> None:
    assert bound("").clocking is None


@pytest.mark.parametrize(
    ("name", "active_low"),
    [
        *((name, False) for name in ("rst", "reset", "areset", "arst_i", "RST", "clear")),
        *((name, True) for name in ("rst_n", "rstn", "resetn", "aresetn", "reset_n", "nreset")),
        *((name, True) for name in ("n_rst", "rst_ni", "rst_b", "RESET_N", "i_rst_n", "clr_n")),
    ],
)
def test_a_reset_s_level_follows_from_its_name(name: str, active_low: bool) -> None:
    assert clocking(f"clk {name}").reset == ControlInput(name, active_low)


@pytest.mark.parametrize(
    ("name", "active_low"),
    [
        *((name, False) for name in ("en", "ce", "enable", "ENA", "clk_en", "i_en", "out_ready")),
        *((name, True) for name in ("en_n", "cen", "ce_n")),
    ],
)
def test_an_enable_s_level_follows_from_its_name(name: str, active_low: bool) -> None:
    assert clocking(f"clk {name}").enables == (ControlInput(name, active_low),)


@pytest.mark.parametrize(
    "name", ["start", "go", "valid_in", "in_valid", "i_valid", "valid", "req", "start_i", "load"]
)
def test_a_start_is_known_by_its_name(name: str) -> None:
    assert clocking(f"clk {name}").start == ControlInput(name)


@pytest.mark.parametrize(
    ("names", "done", "active_low"),
    [
        *((name, name, False) for name in ("done", "valid", "valid_out", "out_valid", "o_valid")),
        *((name, name, False) for name in ("ready", "ack", "done_o", "rdy")),
        ("busy", "busy", True),
        ("done_n", "done_n", True),
        ("in_ready out_valid", "out_valid", False),
        ("ready valid", "valid", False),
        ("busy done", "done", False),
    ],
)
def test_done_is_known_by_its_name_and_never_the_product(
    names: str, done: str, active_low: bool
) -> None:
    found = clocking("clk start", names)
    assert (found.done, found.done_active_low) == (done, active_low)


def test_a_wide_port_is_no_control() -> None:
    ports = (
        PortDeclaration("clk", "input", 1, False),
        PortDeclaration("valid", "input", 8, False),
        PortDeclaration("go", "input", 8, False),
        PortDeclaration("done", "output", 16, False),
    )
    read = ReadModule(ModuleDeclaration("design", ports, {}), "pyverilog")
    interface = bind(read, Sidecar(), DESIGN)
    assert interface.clocking == Clocking(clock="clk")
    assert (interface.a.name, interface.b.name, interface.out.name) == ("valid", "go", "done")


def test_the_sidecar_outweighs_the_names() -> None:
    found = clocking(
        "clk rst t u v w",
        "done x",
        {
            "clock": "t",
            "edge": "falling",
            "reset": "rst",
            "reset_active": "low",
            "start": "clk",
            "start_active": "low",
            "done": "x",
            "enables": ["u", {"port": "v", "active": "low"}, {"port": "w"}],
            "style": "handshake",
            "cycles": 9,
        },
    )
    assert found == Clocking(
        clock="t",
        falling=True,
        reset=ControlInput("rst", True),
        start=ControlInput("clk", True),
        done="x",
        enables=(ControlInput("u"), ControlInput("v", True), ControlInput("w")),
        style=ClockStyle.HANDSHAKE,
        cycles=9,
        decided_from="sidecar",
    )
    assert found.inputs == ("t", "rst", "clk", "u", "v", "w")


@pytest.mark.parametrize(
    ("inputs", "outputs", "clock", "says"),
    [
        ("clk clk2", "", None, "several clocks"),
        ("clk rst reset", "", None, "several inputs could be the reset"),
        ("clk go start", "", None, "several inputs could be the start"),
        ("clk start", "done finished", None, "several outputs could say"),
        ("clk mode", "", None, "the clock is 'clk'"),
        ("rst", "", None, "rst looks like a control"),
        ("t", "", {"edge": "rising"}, "no input looks like a clock"),
        ("clk", "", {"reset": "a"}, "8 bits wide"),
    ],
)
def test_what_cannot_be_decided_is_asked_for(
    inputs: str, outputs: str, clock: dict[str, object] | None, says: str
) -> None:
    with pytest.raises(InterfaceError, match=says) as caught:
        bound(inputs, outputs, clock)
    assert "design.v" in str(caught.value)


@pytest.mark.parametrize("clock", [{"clock": "cl"}, {"done": "dune"}, {"enables": ["cee"]}])
def test_a_port_that_does_not_exist_is_named(clock: dict[str, object]) -> None:
    with pytest.raises(UnknownNameError, match=r"sidecar of design\.v"):
        bound("clk ce", "done", clock)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clock = 3", "clock makes no sense"),
        ("[clock]\nresett = 'rst'", "did you mean 'reset'"),
        ("[clock]\nedge = 'up'", "clock.edge"),
        ("[clock]\nreset_active = 'low'", "which port"),
        ("[clock]\nreset = 'r'\nreset_active = 'no'", "clock.reset_active"),
        ("[clock]\nstart = 1", "clock.start"),
        ("[clock]\nenables = 'ce'", "clock.enables"),
        ("[clock]\nenables = [{active = 'low'}]", "clock.enables"),
        ("[clock]\nenables = [{port = 'ce', level = 'low'}]", "clock.enables"),
        ("[clock]\nstyle = 'systolic'", "clock.style"),
        ("[clock]\ncycles = -1", "clock.cycles"),
        ("[clock]\ncycles = true", "clock.cycles"),
    ],
)
def test_a_clock_table_that_makes_no_sense_is_refused(
    text: str, says: str, put: Callable[..., Path]
) -> None:
    with pytest.raises(SidecarError, match=says):
        read_sidecar(put("", sidecar=text))
