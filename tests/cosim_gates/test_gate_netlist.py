"""Netlists: order, loads, areas, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rtlgrad.core.errors import ConfigError, DesignError, ToolFailedError
from rtlgrad.cosim.gates.netlist import read_netlist

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rtlgrad.cosim.gates.library import Library
    from rtlgrad.cosim.gates.netlist import Netlist

PORTS: tuple[dict[str, list[Any]], dict[str, list[Any]]] = ({"a": [2], "b": [3]}, {"o": [5, 6]})
# In the reverse of topological order.
CELLS: list[tuple[str, dict[str, Any]]] = [
    ("AND", {"A": 2, "B": 4, "Y": 5}),
    ("INV", {"A": 3, "Y": 6}),
    ("INV", {"A": 2, "Y": 4}),
]


def test_loads_areas_and_leakage_are_sums_over_the_cells(build: Callable[..., Netlist]) -> None:
    netlist = build(*PORTS, CELLS)
    (a,), (b,), (y, nb) = netlist.inputs["a"], netlist.inputs["b"], netlist.outputs["o"]
    inverted = next(s.net for s in netlist.stages if s.pins == {"A": a})
    loads = netlist.loads_ff
    assert [loads[net] for net in (a, b, inverted, y, nb)] == [7.0, 3.0, 6.0, 0.0, 0.0]
    assert netlist.area_um2 == 4.0
    assert netlist.leakage_nw == pytest.approx(4.0)
    loaded = build(*PORTS, CELLS, wire_capacitance_ff=0.5, output_load_ff=2.0).loads_ff
    assert [loaded[net] for net in (a, b, inverted, y, nb)] == [8.0, 3.5, 6.5, 2.0, 2.0]


def test_cells_come_after_those_that_drive_them(build: Callable[..., Netlist]) -> None:
    known = {0, 1}
    netlist = build(*PORTS, CELLS)
    for nets in netlist.inputs.values():
        known |= set(nets)
    for stage in netlist.stages:
        assert set(stage.pins.values()) <= known
        known.add(stage.net)


def test_constants_and_open_outputs_are_legal(build: Callable[..., Netlist]) -> None:
    netlist = build(
        {"a": [2], "b": [3]},
        {"o": ["0", "1", 4]},
        [("HALF", {"A": 2, "B": "1", "S": 4}), ("INV", {"A": 3})],
    )
    assert netlist.outputs["o"][:2] == (0, 1)
    assert len(netlist.stages) == 1
    assert netlist.loads_ff[1] == 0.0, "a constant is no net that could toggle"


@pytest.mark.parametrize(
    ("outputs", "cells", "message"),
    [
        ({"o": ["x"]}, [], r"undefined value at o\[0\]"),
        ({"o": [4]}, [("AND", {"A": 2, "B": "x", "Y": 4})], r"undefined value at u0\.B"),
        ({"o": [4]}, [("AND", {"A": 2, "B": 5, "Y": 4}), ("INV", {"A": 4, "Y": 5})], "loop"),
        ({"o": [4]}, [("INV", {"A": 2, "Y": 4}), ("INV", {"A": 3, "Y": 4})], "more than one"),
        ({"o": [2]}, [("INV", {"A": 3, "Y": 2})], "more than one driver"),
        ({"o": [9]}, [], "no driver"),
        ({"o": [4]}, [("AND", {"A": 2, "Y": 4})], "open inputs"),
    ],
)
def test_a_netlist_without_a_defined_value_is_refused(
    build: Callable[..., Netlist], outputs: dict[str, list[Any]], cells: Any, message: str
) -> None:
    with pytest.raises(DesignError, match=message):
        build({"a": [2], "b": [3]}, outputs, cells)


@pytest.mark.parametrize(
    ("kind", "reason"), [("TRI", "TRI: tri-state"), ("$_NOT_", r"\$_NOT_: not in the library")]
)
def test_a_cell_that_cannot_be_evaluated_is_named(
    build: Callable[..., Netlist], kind: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        build({"a": [2]}, {"o": [4]}, [(kind, {"A": 2, "Y": 4})])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"modules": {}}', '{"modules": {"m": 3}}', '{"modules": {"m": {}}}']
)
def test_what_is_no_netlist_is_an_error_of_the_tool(
    tmp_path: Path, small: Library, text: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ToolFailedError, match=r"bad\.json"):
        read_netlist(path, small)
