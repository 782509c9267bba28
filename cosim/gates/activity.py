"""Counts how often each net changes while operand pairs follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .evaluate import BLOCK, check_ports, packed_operands, settle
from .packed import count_ones, previous, transition_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ..interface import Interface
    from .functions import Words
    from .netlist import Netlist
    from .stimulus import Stimulus


@dataclass(frozen=True, eq=False, slots=True)
class Activity:
    """Toggles of the nets of a netlist over a stream of operand pairs.

    Attributes:
        zero_delay: int64 [nets], changes of the settled value: every gate answers at once.
        unit_delay: int64 [nets], changes when every gate answers one time unit after its inputs
            and follows every pulse: includes glitches, and more of them than real gates, which
            swallow short pulses, let through.
        transitions: how often the operands changed hands: pairs - 1. In a clocked netlist, the
            operations.
    """

    zero_delay: NDArray[np.int64]
    unit_delay: NDArray[np.int64]
    transitions: int


def count_toggles(netlist: Netlist, interface: Interface, stimulus: Stimulus) -> Activity:
    """Count the toggles of every net, from the first operand pair's settled state on.

    Raises:
        DesignError: the netlist's ports differ from the interface's.
    """
    check_ports(netlist, interface)
    zero = np.zeros(netlist.nets, dtype=np.int64)
    unit = np.zeros(netlist.nets, dtype=np.int64)
    sinks = sinks_of(netlist)
    # Neighbouring blocks share a vector, so that no transition is lost between them.
    for start in range(0, stimulus.pairs - 1, BLOCK - 1):
        part = slice(start, start + BLOCK)
        a, b = stimulus.a[part], stimulus.b[part]
        inputs = packed_operands(netlist, interface, a, b)
        settled = settle(netlist, inputs)
        mask = transition_mask(len(a))
        started = [(previous(words) & mask) | (words & ~mask) for words in settled]
        zero += [count_ones(x ^ y) for x, y in zip(settled, started, strict=True)]
        add_unit_delay(netlist, sinks, settled, started, inputs, unit)
    return Activity(zero, unit, stimulus.pairs - 1)


def add_unit_delay(
    netlist: Netlist,
    sinks: list[list[int]],
    settled: list[Words],
    started: list[Words],
    inputs: Iterable[int],
    counts: NDArray[np.int64],
) -> None:
    """Let all transitions of a block run side by side, one time unit after the other.

    Only the gates whose inputs changed in the last time unit are evaluated.
    """
    state = list(started)
    changed = _apply(state, {net: settled[net] for net in inputs}, counts)
    while changed:
        due = sorted({index for net in changed for index in sinks[net]})
        answers = {}
        for index in due:
            stage = netlist.stages[index]
            answers[stage.net] = stage.answer(*[state[net] for net in stage.operands])
        changed = _apply(state, answers, counts)


def _apply(state: list[Words], new: dict[int, Words], counts: NDArray[np.int64]) -> list[int]:
    """Take over new values at one instant; return the nets that changed."""
    changed = []
    for net, words in new.items():
        toggles = count_ones(state[net] ^ words)
        if toggles:
            counts[net] += toggles
            state[net] = words
            changed.append(net)
    return changed


def sinks_of(netlist: Netlist) -> list[list[int]]:
    """Return, for each net, the stages that read it."""
    sinks: list[list[int]] = [[] for _ in range(netlist.nets)]
    for index, stage in enumerate(netlist.stages):
        for net in set(stage.operands):
            sinks[net].append(index)
    return sinks
