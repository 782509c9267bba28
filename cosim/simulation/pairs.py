"""Simulates a design for a list of operand pairs, where there are too many pairs to take them all.

As in the sweep, unknowns are looked for by simulating more than once: in both directions, and with
different values in place of every unknown. What the sweep shows for all operands, this shows for
the listed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import SimulationError, TimeLimitError, UnknownOutputError
from ..clocked.clocked_lanes import measure_alone
from ..gates.evaluate import stream_words
from ..gates.sequential_codes import sequential_words
from ..programs.scratch import scratch_folder
from ..wide import answer_words, batch_size, request
from .live import TEST_MODULE, build_live, live_arguments
from .passes import BASE_PASSES, EXTRA_PASSES
from .simulation_errors import last_errors
from .simulator import Simulator, require_simulator, simulate
from .sweep import DEFAULT_TIME_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..design import Design
    from ..gates.netlist import Netlist
    from ..interface import Interface, Latency
    from ..wide import Pairs
    from .lint import LintReport
    from .passes import Pass
    from .simulator import Model

    Codes = NDArray[np.uint64]

_DRAWN_FOR_X = "RAND_RESET_ASSIGN"
"""In Verilator's C++: a value drawn at run time in place of an X."""


@dataclass(frozen=True, eq=False, slots=True)
class Simulated:
    """What a design answered.

    Attributes:
        codes: uint64 [N, words]: the low 64 bits of each output code and, for a wider output, the
            rest.
        latency: when a clocked design's product appears; None for a combinational one.
    """

    codes: Codes
    latency: Latency | None = None


def simulate_pairs(
    design: Design,
    report: LintReport,
    pairs: Pairs,
    *,
    proven: bool = False,
    jobs: int = 1,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
) -> Simulated:
    """Simulate a design for a list of operand pairs.

    Args:
        design: the design; if it is clocked, its latency is measured first.
        report: what `rtlgrad.cosim.simulation.lint.lint` found about it.
        pairs: the operands.
        proven: whether it is known to keep no state and to have no unknown output bit.
        jobs: compiler processes at a time.
        time_limit_s: wall seconds that one pass may take.

    Raises:
        UnknownOutputError: an output bit is unknown, or depends on more than the operands.
        SimulationError: the simulation cannot be compiled, or ended early.
        TimeLimitError: it did not end in time.
    """
    require_simulator(Simulator.VERILATOR)
    if report.may_float:
        raise UnknownOutputError(
            f"{design.path} has tri-state drivers (z): whether an output floats cannot be told of a "
            "design whose operands are too wide to simulate every pair",
            remedy="remove the z",
        )
    with scratch_folder("pairs") as folder:
        model = build_live(design, folder, jobs=jobs)
        latency = measure_alone(design, model, TEST_MODULE, limit_s=time_limit_s)
        plan = live_arguments(design, latency)
        # All registers are unknown at first.
        suspect = design.interface.clocking is not None or (
            not proven and (report.may_keep_state or _has_unknowns(folder))
        )
        chosen = (*BASE_PASSES, *EXTRA_PASSES) if suspect else BASE_PASSES
        first = _run(design, model, chosen[0], pairs, plan, time_limit_s)
        for item in chosen[1:]:
            _check_agreement(
                design, pairs, first, _run(design, model, item, pairs, plan, time_limit_s)
            )
    return Simulated(first, latency)


def _run(
    design: Design,
    model: Model,
    item: Pass,
    pairs: Pairs,
    plan: Sequence[str],
    time_limit_s: float,
) -> Codes:
    order = pairs.reversed() if item.descending else pairs
    requests, answers = model.folder / "requests", model.folder / f"{item.name}.answers"
    size = batch_size(design.interface)
    with requests.open("wb") as stream:
        for start in range(0, len(order), size):
            part = slice(start, start + size)
            stream.write(request(design.interface, order.a[part], order.b[part]))
        stream.write(bytes(4))
    ended = simulate(
        model,
        TEST_MODULE,
        name=item.name,
        plusargs=[
            *item.plusargs,
            *plan,
            f"+rtlgrad_requests={requests}",
            f"+rtlgrad_answers={answers}",
        ],
        variables={},
        limit_s=time_limit_s,
    )
    data = answers.read_bytes() if answers.exists() else b""
    words = answer_words(design.interface)
    if ended.timed_out:
        raise TimeLimitError(
            f"the simulation of {design.path} did not end within {time_limit_s:.0f} s",
            remedy="look for loops without an end, or raise --time-limit",
        )
    if not ended.ok or len(data) != 8 * words * len(pairs):
        raise SimulationError(
            f"the simulation of {design.path} ended before all operands were applied",
            got=last_errors(ended.output),
            remedy="look for $finish, $stop, $fatal or failing assertions in the source",
        )
    codes = np.frombuffer(data, np.uint64).reshape(-1, words)
    return codes[::-1] if item.descending else codes


def _has_unknowns(folder: Path) -> bool:
    return any(
        _DRAWN_FOR_X in file.read_text(errors="replace")
        for file in (folder / "model").glob("*.cpp")
    )


def _check_agreement(design: Design, pairs: Pairs, first: Codes, other: Codes) -> None:
    differing = np.flatnonzero((first != other).any(axis=1))
    if not differing.size:
        return
    at = int(differing[0])
    one, two = (whole_code(codes[at]) for codes in (first, other))
    raise UnknownOutputError(
        f"{design.path}: the output of {design.name} is not a function of its operands",
        got=f"for operand codes a={int(pairs.a[at])} b={int(pairs.b[at])} it is {one:#x} in one "
        f"pass and {two:#x} in another ({differing.size} of {len(pairs)} operand pairs differ)",
        expected="the same output for the same operands, whatever unknown bits are and whatever "
        "was applied before",
        remedy="look for undriven nets, x literals, incomplete case or if (a latch), and "
        "incomplete sensitivity lists",
    )


def whole_code(words: Sequence[int] | NDArray[np.uint64]) -> int:
    """Return the output code whose words, the low 64 bits first, are given."""
    return sum(int(word) << (64 * index) for index, word in enumerate(words))


def check_netlist(
    netlist: Netlist, interface: Interface, pairs: Pairs, simulated: Simulated
) -> int:
    """Check that a netlist computes what was simulated, and return for how many pairs.

    Args:
        netlist: the mapped netlist.
        interface: the design's ports.
        pairs: the operands.
        simulated: what the design answered.

    Raises:
        SimulationError: it does not; names the first operands for which it does not.
    """
    codes = simulated.codes
    if simulated.latency is None:
        found = stream_words(netlist, interface, pairs.a, pairs.b)
    else:
        found = sequential_words(netlist, interface, simulated.latency, pairs.a, pairs.b)
    differing = np.flatnonzero((found != codes).any(axis=1))
    if differing.size:
        at = int(differing[0])
        raise SimulationError(
            f"{interface.module}: the mapped netlist does not compute what was simulated",
            got=f"output code {whole_code(found[at]):#x} for operand codes a={int(pairs.a[at])} "
            f"b={int(pairs.b[at])}; {differing.size} of {len(pairs)} products differ",
            expected=f"{whole_code(codes[at]):#x}, as simulated",
            remedy="the simulator and the synthesizer read the source differently: look for "
            "constructs whose meaning differs between them (initial values, delays, X, casts)",
        )
    return len(pairs)
