"""Evaluation of netlists: against single bits, against models of real designs, and the proof."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from reference import MODELS
from rtlgrad.core.errors import DesignError, SimulationError
from rtlgrad.cosim.gates.evaluate import netlist_codes, prove_equal, stream_codes
from rtlgrad.cosim.gates.packed import pack_codes, unpack_codes

from .conftest import MAPPED, WITH_ADDERS, interface
from .random_netlists import OPERANDS, circuits, settle_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rtlgrad.cosim.gates.netlist import Instance, Netlist

    from .conftest import Mapped

SWAPS = {
    "NAND2X1": "NOR2X1",
    "NOR2X1": "NAND2X1",
    "AND2X1": "OR2X1",
    "OR2X1": "AND2X1",
    "XOR2X1": "XNOR2X1",
    "XNOR2X1": "XOR2X1",
    "INVX1": "BUFX2",
}


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(circuits())
def test_every_pair_of_a_random_netlist(
    build: Callable[..., Netlist], circuit: tuple[Any, list[Any]]
) -> None:
    netlist = build(OPERANDS, {"o": circuit[1]}, circuit[0])
    codes = netlist_codes(netlist, interface(2, 2, 3))
    for a in range(4):
        for b in range(4):
            values = settle_by_hand(netlist, a, b)
            expected = sum(values[net] << k for k, net in enumerate(netlist.outputs["o"]))
            assert int(codes[a, b]) == expected


@pytest.mark.parametrize("name", [*MAPPED, WITH_ADDERS])
def test_a_mapped_netlist_computes_what_the_design_is_published_to_compute(
    mapped: dict[str, Mapped], name: str
) -> None:
    item = mapped[name]
    products = MODELS[item.design.name]()
    codes = netlist_codes(item.netlist, item.design.interface)
    prove_equal(codes, products, item.design.interface)
    rng = np.random.default_rng(1)
    a = rng.integers(0, codes.shape[0], 70_001, dtype=np.uint64)
    b = rng.integers(0, codes.shape[1], 70_001, dtype=np.uint64)
    stream = stream_codes(item.netlist, item.design.interface, a, b)
    assert np.array_equal(stream, codes[a, b])


@pytest.mark.parametrize("name", ["mul4u_kulkarni", "mul8s_exact"])
def test_a_wrong_gate_anywhere_is_found(mapped: dict[str, Mapped], name: str) -> None:
    item = mapped[name]
    products = MODELS[name]()
    codes = netlist_codes(item.netlist, item.design.interface)
    candidates = [
        index
        for index, instance in enumerate(item.netlist.instances)
        if instance.cell.name in SWAPS
    ]
    assert len(candidates) > 20
    for index in candidates[:: max(1, len(candidates) // 25)]:
        instances = list(item.netlist.instances)
        instances[index] = swapped(instances[index], item.netlist)
        wrong = netlist_codes(
            replace(item.netlist, instances=tuple(instances)), item.design.interface
        )
        first = np.argwhere(wrong != codes)[0]
        with pytest.raises(SimulationError, match=rf"a={first[0]} b={first[1]};"):
            prove_equal(wrong, products, item.design.interface)


def swapped(instance: Instance, netlist: Netlist) -> Instance:
    return replace(instance, cell=netlist.library.by_name[SWAPS[instance.cell.name]])


def test_the_proof_compares_bit_patterns_of_the_outputs_width() -> None:
    sides = interface(1, 1, 4)
    codes = np.array([[0, 15], [8, 7]], dtype=np.uint64)
    prove_equal(codes, np.array([[0, -1], [-8, 7]]), sides)
    prove_equal(codes, np.array([[16, -1], [8, 7]]), sides)  # as wide as the port, no wider
    with pytest.raises(SimulationError, match="output code 8 for operand codes a=1 b=0; 1 of 4"):
        prove_equal(codes, np.array([[0, -1], [-7, 7]]), sides)
    with pytest.raises(SimulationError, match="one shape"):
        prove_equal(codes, np.zeros((4, 1), dtype=np.int32), sides)


def test_wide_operands_are_evaluated_block_by_block(build: Callable[..., Netlist]) -> None:
    a, b = list(range(2, 13)), list(range(13, 21))  # 11 and 8 bits: 8 blocks
    netlist = build(
        {"a": a, "b": b},
        {"o": [30, 31, 32]},
        [
            ("HALF", {"A": a[10], "B": b[0], "S": 30}),
            ("HALF", {"A": a[5], "B": b[7], "C": 31}),
            ("INV", {"A": a[0], "Y": 32}),
        ],
    )
    row, column = np.arange(1 << 11)[:, None], np.arange(1 << 8)[None, :]
    expected = (row >> 10 ^ column & 1) | (row >> 5 & column >> 7 & 1) << 1 | (1 - (row & 1)) << 2
    assert np.array_equal(netlist_codes(netlist, interface(11, 8, 3)), expected)


def test_operands_too_wide_for_a_table_and_other_ports_are_refused(
    build: Callable[..., Netlist],
) -> None:
    wide = build({"a": list(range(2, 15)), "b": list(range(15, 27))}, {"o": [2]}, [])
    with pytest.raises(DesignError, match="too wide"):
        netlist_codes(wide, interface(13, 12, 1))
    with pytest.raises(DesignError, match="ports are not those"):
        netlist_codes(wide, interface(12, 12, 1))


@pytest.mark.parametrize("width", [1, 7, 8, 9, 17, 64])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_packing_and_unpacking_undo_each_other(width: int, count: int) -> None:
    codes = np.random.default_rng(width).integers(0, 2**width - 1, count, np.uint64, endpoint=True)
    assert np.array_equal(unpack_codes(pack_codes(codes, width), count), codes)
