"""Random netlists over the small library, and what they do, one bit and one vector at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtlgrad.cosim.gates.netlist import Netlist

WIDTH = 2
OPERANDS = {"a": [2, 3], "b": [4, 5]}
FIRST = 6
Cells = list[tuple[str, dict[str, Any]]]

_ANSWERS = {
    "INV": lambda pins: {"Y": not pins["A"]},
    "AND": lambda pins: {"Y": pins["A"] and pins["B"]},
    "HALF": lambda pins: {"C": pins["A"] and pins["B"], "S": pins["A"] != pins["B"]},
}


@st.composite
def circuits(draw: st.DrawFn) -> tuple[Cells, list[Any]]:
    """Draw cells over the operands of 2 bits each, and an output of 3 bits."""
    nets: list[Any] = ["0", "1", *OPERANDS["a"], *OPERANDS["b"]]
    cells: Cells = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(sorted(_ANSWERS)))
        pins = {"A": draw(st.sampled_from(nets))}
        if kind != "INV":
            pins["B"] = draw(st.sampled_from(nets))
        for name in ("C", "S") if kind == "HALF" else ("Y",):
            pins[name] = FIRST + len(nets) - 6
            nets.append(pins[name])
        cells.append((kind, pins))
    order = draw(st.permutations(cells))
    return order, [draw(st.sampled_from(nets)) for _ in range(3)]


def settle_by_hand(netlist: Netlist, a: int, b: int) -> list[bool]:
    """Return every net's value for one operand pair."""
    values = [False] * netlist.nets
    values[1] = True
    _drive(netlist, values, a, b)
    while step(netlist, values):
        pass
    return values


def step(netlist: Netlist, values: list[bool]) -> list[int]:
    """Let every gate answer to the present values at once; return the nets that changed."""
    new = {}
    for instance in netlist.instances:
        names = [pin.name for pin in instance.cell.inputs]
        pins = {n: values[net] for n, net in zip(names, instance.inputs, strict=True)}
        answers = _ANSWERS[instance.cell.name](pins)
        for pin, net in zip(instance.cell.outputs, instance.outputs, strict=True):
            if net is not None:
                new[net] = answers[pin.name]
    changed = [net for net, value in new.items() if values[net] != value]
    for net in changed:
        values[net] = new[net]
    return changed


def toggles_by_hand(
    netlist: Netlist, pairs: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Return zero-delay and unit-delay toggles of every net."""
    zero, unit = [0] * netlist.nets, [0] * netlist.nets
    values = settle_by_hand(netlist, *pairs[0])
    for a, b in pairs[1:]:
        before = list(values)
        _drive(netlist, values, a, b)
        changed = [net for net in range(netlist.nets) if values[net] != before[net]]
        while changed:
            for net in changed:
                unit[net] += 1
            changed = step(netlist, values)
        for net in range(netlist.nets):
            zero[net] += values[net] != before[net]
    return zero, unit


def _drive(netlist: Netlist, values: list[bool], a: int, b: int) -> None:
    for name, code in (("a", a), ("b", b)):
        for k, net in enumerate(netlist.inputs[name]):
            values[net] = bool((code >> k) & 1)
