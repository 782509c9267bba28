"""Evaluates a clocked netlist for operand pairs, as its latency says, 64 pairs a word.

The inputs come as in the simulation (testbenches/sweep_clocked.sv): a reset, if there is one, for
`RESET_CYCLES` edges, as many idle cycles, one operation with other operands, then the pair's own;
in a pipeline further ones behind it. Each pair does so in a lane of its own, and twice. The other
operands are random ones, another in each of 64 lanes, and the second time their complements; and
flip-flops without an initial value in the source hold 0 at power-up, and the second time 1. Both
times the product must be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DesignError, SimulationError
from ..interface import ClockStyle
from .evaluate import BLOCK, table_bits
from .packed import counting_bit, pack_codes, unpack_codes, word_count
from .sequential import Lanes, begin, make_machine, operate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..interface import Interface, Latency
    from .functions import Words
    from .netlist import Netlist
    from .sequential import Machine, Operands

_WORD = 64
_SEED = 0
"""Of the operands around the pairs."""


def sequential_codes(
    netlist: Netlist, interface: Interface, latency: Latency
) -> NDArray[np.uint64]:
    """Evaluate every operand pair.

    Args:
        netlist: the mapped netlist.
        interface: which ports are which, with clocking; up to 24 operand bits together.
        latency: when the product appears.

    Returns:
        uint64 [2^wa, 2^wb]: the output's code for operand codes a (row) and b (column).

    Raises:
        DesignError: the ports differ from the interface's or are too wide, a flip-flop takes
            another clock, or a product depends on what was before it.
        SimulationError: done does not come within the latency.
    """
    bits = table_bits(interface)
    machine = make_machine(netlist, interface)
    width = interface.b.width
    codes = np.empty(1 << bits, dtype=np.uint64)
    for start in range(0, len(codes), BLOCK):
        count = min(BLOCK, len(codes) - start)
        # Pair number a * 2^wb + b: its low bits are those of b.
        nets = [counting_bit(k, start, word_count(count)) for k in range(bits)]
        found = _twice(machine, latency, (nets[width:], nets[:width]), count)
        codes[start : start + count] = found[:, 0]
    return codes.reshape(1 << interface.a.width, 1 << interface.b.width)


def sequential_words(
    netlist: Netlist,
    interface: Interface,
    latency: Latency,
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Evaluate chosen operand pairs, each on its own; ports may be of any width.

    Args:
        netlist: the mapped netlist.
        interface: which ports are which, with clocking.
        latency: when the product appears.
        a: uint64 [N], operand codes.
        b: uint64 [N], operand codes.

    Returns:
        uint64 [N, words]: the output's codes, the low 64 bits first.

    Raises:
        DesignError, SimulationError: as :func:`sequential_codes`.
    """
    machine = make_machine(netlist, interface)
    words = word_count(interface.out.width)
    codes = np.empty((len(a), words), dtype=np.uint64)
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        pair = (
            pack_codes(a[part], interface.a.width),
            pack_codes(b[part], interface.b.width),
        )
        codes[part] = _twice(machine, latency, pair, len(a[part]))
    return codes


def _twice(machine: Machine, latency: Latency, pair: Operands, count: int) -> NDArray[np.uint64]:
    """Return the products, uint64 [count, words], after both pasts."""
    first, second = (_after(machine, latency, pair, count, ones=ones) for ones in (False, True))
    wrong = np.flatnonzero((first != second).any(axis=1))
    if not wrong.size:
        return first
    lane = int(wrong[0])
    a, b = (int(unpack_codes(bits, count)[lane]) for bits in pair)
    raise DesignError(
        f"{machine.interface.module}: a product depends on what was before it",
        got=f"output code {_number(first[lane])} or {_number(second[lane])} for operand codes "
        f"a={a} b={b}; {wrong.size} of {count} products differ",
        expected="a product that depends on its operands alone",
        remedy="reset every register that matters, and name the reset under [clock] in the sidecar",
    )


def _after(
    machine: Machine, latency: Latency, pair: Operands, count: int, *, ones: bool
) -> NDArray[np.uint64]:
    """Return the products after one of the two pasts."""
    words = len(pair[0][0])
    # The past of one word of lanes is that of all words.
    narrow, wide = (_others(pair, size, complement=ones) for size in (1, words))
    past = Lanes(machine, machine.start(1, ones=ones))
    idle = begin(past, narrow)
    if latency.style is ClockStyle.PIPELINED:
        for _ in range(latency.cycles):
            past.edge(machine.inputs(*narrow, start=True))
        return _numbers(_stream(past.widened(words), latency, pair, wide), count)
    operate(past, latency, narrow, idle)
    rest = machine.inputs(*narrow)
    for _ in range(latency.idle_cycles):
        past.edge(rest)
    bits, waiting = operate(past.widened(words), latency, pair, machine.inputs(*wide))
    late = int(unpack_codes([waiting], count).sum())
    if latency.style is ClockStyle.HANDSHAKE and late:
        raise SimulationError(
            f"{machine.interface.module}: done does not come in the mapped netlist",
            got=f"{late} of {count} operand pairs are not done",
            expected=f"{machine.clocking.done} within {latency.cycles} clock cycles, as simulated",
        )
    return _numbers(bits, count)


def _stream(lanes: Lanes, latency: Latency, pair: Operands, behind: Operands) -> list[Words]:
    """Let one pair into a pipeline, others behind it; return the bits of its product."""
    machine = lanes.machine
    inputs = machine.inputs(*pair, start=True)
    following = machine.inputs(*behind, start=True)
    for cycle in range(latency.cycles):
        inputs = following if cycle else inputs
        lanes.edge(inputs)
    values = lanes.values(inputs)
    return [values[net] for net in machine.netlist.outputs[machine.interface.out.name]]


def _others(pair: Operands, words: int, *, complement: bool) -> Operands:
    """Return random operands, the same in every word."""
    generator = np.random.default_rng(_SEED)
    drawn = [
        [np.full(words, bits) for bits in generator.integers(0, 1 << 64, len(side), np.uint64)]
        for side in pair
    ]
    a, b = ([~bits for bits in side] if complement else side for side in drawn)
    return a, b


def _numbers(bits: Sequence[Words], count: int) -> NDArray[np.uint64]:
    """Return the codes whose bits these are: uint64 [count, words], the low 64 bits first."""
    parts = [bits[low : low + _WORD] for low in range(0, len(bits), _WORD)]
    return np.stack([unpack_codes(part, count) for part in parts], axis=1)


def _number(words: NDArray[np.uint64]) -> int:
    return sum(int(word) << _WORD * place for place, word in enumerate(words))
