"""Evaluates a netlist for operand pairs, all of them or a stream, 64 pairs a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DesignError, SimulationError
from .netlist import ONE
from .packed import counting_bit, pack_codes, unpack_codes, word_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..interface import Interface
    from .functions import Words
    from .netlist import Netlist

BLOCK = 1 << 16
"""Vectors evaluated at a time: 8 KiB a net, so that a netlist's working set stays in the cache."""

MAX_TABLE_BITS = 24
_MAX_OUTPUT_BITS = 128
_WORD = 64


def settle(netlist: Netlist, inputs: Mapping[int, Words]) -> list[Words]:
    """Return the settled value of every net.

    Args:
        netlist: the netlist.
        inputs: net of an input port -> packed values, uint64 [W]; all of them.

    Returns:
        By net number: uint64 [W]. Arrays may be shared between nets; do not write to them.
    """
    like = next(iter(inputs.values()))
    nothing = np.zeros_like(like)
    values: list[Words] = [nothing] * netlist.nets
    values[ONE] = ~nothing
    for net, words in inputs.items():
        values[net] = words
    for stage in netlist.stages:
        values[stage.net] = stage.answer(*[values[net] for net in stage.operands])
    return values


def netlist_codes(netlist: Netlist, interface: Interface) -> NDArray[np.uint64]:
    """Evaluate every operand pair.

    Args:
        netlist: the mapped netlist.
        interface: which ports are a, b and out; up to 24 operand bits together.

    Returns:
        uint64 [2^wa, 2^wb]: the output's code (bit pattern) for operand codes a (row) and b
        (column).

    Raises:
        DesignError: the ports differ from the interface's, or are too wide.
    """
    check_ports(netlist, interface)
    _check_combinational(netlist, interface)
    bits = table_bits(interface)
    # Pair number a * 2^wb + b: its low bits are those of b.
    nets = [*netlist.inputs[interface.b.name], *netlist.inputs[interface.a.name]]
    out = netlist.outputs[interface.out.name]
    codes = np.empty(1 << bits, dtype=np.uint64)
    for start in range(0, len(codes), BLOCK):
        count = min(BLOCK, len(codes) - start)
        words = word_count(count)
        inputs = {net: counting_bit(k, start, words) for k, net in enumerate(nets)}
        values = settle(netlist, inputs)
        codes[start : start + count] = unpack_codes([values[net] for net in out], count)
    return codes.reshape(1 << interface.a.width, 1 << interface.b.width)


def stream_codes(
    netlist: Netlist, interface: Interface, a: NDArray[np.uint64], b: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Evaluate a stream of operand pairs.

    Args:
        netlist: the mapped netlist.
        interface: which ports are a, b and out.
        a: uint64 [N], operand codes.
        b: uint64 [N], operand codes.

    Returns:
        uint64 [N]: the output's codes, or their low 64 bits.

    Raises:
        DesignError: the ports differ from the interface's.
    """
    return stream_words(netlist, interface, a, b)[:, 0]


def stream_words(
    netlist: Netlist, interface: Interface, a: NDArray[np.uint64], b: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Evaluate a stream of operand pairs as `stream_codes` does, with outputs of any width.

    Returns:
        uint64 [N, words]: the output's codes, the low 64 bits first.
    """
    check_ports(netlist, interface)
    out = netlist.outputs[interface.out.name]
    lanes = [out[i : i + _WORD] for i in range(0, len(out), _WORD)]
    codes = np.empty((len(a), len(lanes)), dtype=np.uint64)
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        values = settle(netlist, packed_operands(netlist, interface, a[part], b[part]))
        for lane, nets in enumerate(lanes):
            codes[part, lane] = unpack_codes([values[net] for net in nets], len(a[part]))
    return codes


def packed_operands(
    netlist: Netlist, interface: Interface, a: NDArray[np.uint64], b: NDArray[np.uint64]
) -> dict[int, Words]:
    """Return the packed values of the operand nets for a stream of codes, uint64 [N] each.

    Raises:
        DesignError: the netlist is clocked.
    """
    _check_combinational(netlist, interface)
    inputs: dict[int, Words] = {}
    for port, codes in ((interface.a, a), (interface.b, b)):
        packed = pack_codes(codes, port.width)
        inputs |= dict(zip(netlist.inputs[port.name], packed, strict=True))
    return inputs


def prove_equal(
    codes: NDArray[np.uint64], products: NDArray[np.signedinteger], interface: Interface
) -> None:
    """Check that a netlist computes a simulated table.

    Args:
        codes: uint64 [2^wa, 2^wb], as :func:`netlist_codes` returns them.
        products: integers [2^wa, 2^wb]: the simulated, sign-decoded products.
        interface: the design's interface, for the width of its output.

    Raises:
        SimulationError: they differ; names the first operand codes for which they do.
    """
    if codes.shape != products.shape:
        raise SimulationError(
            f"{interface.module}: netlist and simulated table do not have one shape",
            got=f"{codes.shape} and {products.shape}",
        )
    mask = np.uint64((1 << interface.out.width) - 1)
    simulated = products.astype(np.int64).view(np.uint64) & mask
    wrong = np.flatnonzero(codes.ravel() != simulated.ravel())
    if not wrong.size:
        return
    a, b = (int(index) for index in np.unravel_index(wrong[0], codes.shape))
    raise SimulationError(
        f"{interface.module}: the mapped netlist does not compute the simulated table",
        got=f"output code {int(codes[a, b])} for operand codes a={a} b={b}; "
        f"{wrong.size} of {codes.size} products differ",
        expected=f"{int(simulated[a, b])}, as simulated",
        remedy="the simulator and the synthesizer read the source differently: look for "
        "constructs whose meaning differs between them (initial values, delays, X, casts)",
    )


def _check_combinational(netlist: Netlist, interface: Interface) -> None:
    if netlist.registers or interface.clocking is not None:
        raise DesignError(
            f"{netlist.module} is clocked: its products take its latency to evaluate",
            got=f"{len(netlist.registers)} flip-flops",
            expected="a combinational netlist",
        )


def table_bits(interface: Interface) -> int:
    """Return the operand bits of a design that can be evaluated exhaustively.

    Raises:
        DesignError: it is too wide for that.
    """
    bits = interface.a.width + interface.b.width
    if bits > MAX_TABLE_BITS or interface.out.width > _WORD:
        raise DesignError(
            f"{interface.module} is too wide to evaluate exhaustively",
            got=f"{bits} operand bits, {interface.out.width} output bits",
            expected=f"at most {MAX_TABLE_BITS} and {_WORD}",
        )
    return bits


def check_ports(netlist: Netlist, interface: Interface) -> None:
    """Check that a netlist has the operands, the output and the clock signals of an interface.

    It may have further outputs: a sidecar says which one carries the product.

    Raises:
        DesignError: it has not.
    """
    inputs = {port.name: port.width for port in (interface.a, interface.b)}
    outputs = {interface.out.name: interface.out.width}
    if (clocking := interface.clocking) is not None:
        inputs |= dict.fromkeys(clocking.inputs, 1)
        outputs |= {clocking.done: 1} if clocking.done else {}
    found = {
        "input": {name: len(nets) for name, nets in netlist.inputs.items()},
        "output": {name: len(nets) for name, nets in netlist.outputs.items() if name in outputs},
    }
    expected = {"input": inputs, "output": outputs}
    if found != expected or interface.out.width > _MAX_OUTPUT_BITS:
        raise DesignError(
            f"{netlist.module}: the netlist's ports are not those of the design",
            got=found,
            expected=f"{expected}, outputs of at most {_MAX_OUTPUT_BITS} bits",
        )
