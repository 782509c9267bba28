"""Live co-simulation: a running simulation of a design that answers batches of operand pairs.

It is the ground truth that tables and engines are audited against, and the way to use a design
that is too wide for a table.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import select
import threading
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import RtlgradError, SimulationError
from ..clocked.clocked_lanes import measure_alone, plan_arguments
from ..programs.scratch import scratch_folder
from ..reading.sources import first_error
from ..wide import (
    FULL_BATCH,
    WORD,
    answer_words,
    batch_size,
    checked_codes,
    codes_of,
    operand_bits,
    port_values,
    request,
)
from .lanes import clocked_part
from .simulator import Model, Simulator, build, require_simulator, simulate

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from ..design import Design
    from ..interface import Interface, Latency
    from ..programs.process import Completed

TOP = "rtlgrad_live"
TEST_MODULE = "rtlgrad.testbenches.live"
BATCH = FULL_BATCH
"""Operand pairs in one request, or half as many where an operand or a product is too wide for 32
or 64 bits: so few that request and answers fit the pipes' buffers, and neither side ever waits
for the other to make room."""

_BUILD_LIMIT_S = 600.0
_POLL_S = 0.05
_CLOSE_LIMIT_S = 10.0
_LIFE_S = 7 * 86_400.0  # a simulation that nobody closes does not stay for ever


class LiveMultiplier:
    """A design in a simulator that is kept running: NumPy in, NumPy out.

    Use it as a context manager, or `close` it. One thread at a time may ask.

    ::

        with LiveMultiplier(read_design(reference)) as live:
            products = live.multiply(a, b)  # operand values, e.g. -128..127 where signed

    Args:
        design: the design, as `rtlgrad.cosim.design.read_design` reads it.
        time_limit_s: wall seconds that one request of `BATCH` pairs may take.
        latency: of a clocked design, as it was measured before; measured now if None.

    Attributes:
        latency: when the product of a clocked design appears; None for a combinational one.

    Raises:
        MissingToolError: something that simulation needs is not installed.
        SimulationError: the design cannot be compiled, or its latency not be measured.
    """

    def __init__(
        self, design: Design, *, time_limit_s: float = 60.0, latency: Latency | None = None
    ) -> None:
        require_simulator(Simulator.VERILATOR)
        self.design = design
        self._time_limit_s = time_limit_s
        self._ended: Completed | BaseException | None = None
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(scratch_folder("live"))
            self._folder = Path(name)
            model = self._build()
            self.latency = latency or measure_alone(
                design, model, TEST_MODULE, limit_s=time_limit_s
            )
            self._requests = self._pipe("requests", stack)
            self._answers = self._pipe("answers", stack)
            self._thread = threading.Thread(target=self._simulate, args=(model,), daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()

    def multiply(self, a: Any, b: Any) -> NDArray[Any]:
        """Return the products of operand values.

        Args:
            a: integers of any shape, values of operand a (negative ones where it is signed).
            b: integers that broadcast with ``a``, values of operand b.

        Returns:
            int64, in the broadcast shape: the outputs, sign-decoded; Python integers (dtype
            object) where the output port is too wide for int64. Of a floating-point design: the
            output's bit patterns.

        Raises:
            ConfigError: a value does not fit its port.
            SimulationError: the simulation ended, or does not answer in time.
        """
        ports = self.design.interface
        return self.multiply_codes(codes_of(a, ports.a, "a"), codes_of(b, ports.b, "b"))

    def multiply_codes(self, a: Any, b: Any) -> NDArray[Any]:
        """Return the products of operand codes (bit patterns, never negative); see `multiply`."""
        ports = self.design.interface
        left, right = np.broadcast_arrays(checked_codes(a, ports.a), checked_codes(b, ports.b))
        words = self.answer_codes(left.ravel(), right.ravel())
        return port_values(words, ports.out).reshape(left.shape)

    def answer_codes(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the output codes for operand codes, uint64 [N] each: uint64 [N, words].

        Words are the low 64 bits of a code and, for an output wider than that, the rest.
        """
        size = batch_size(self.design.interface)
        answers = [self._ask(a[i : i + size], b[i : i + size]) for i in range(0, len(a), size)]
        none = np.zeros((0, answer_words(self.design.interface)), np.uint64)
        return np.concatenate(answers) if answers else none

    def close(self) -> None:
        """End the simulation and remove its files; closing twice does nothing."""
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                os.write(self._requests, bytes(4))
            self._thread.join(_CLOSE_LIMIT_S)
        self._stack.close()

    def __enter__(self) -> LiveMultiplier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _build(self) -> Model:
        return build_live(self.design, self._folder, jobs=len(os.sched_getaffinity(0)))

    def _pipe(self, name: str, stack: contextlib.ExitStack) -> int:
        path = self._folder / name
        os.mkfifo(path)
        # Opened for both directions, so that opening does not wait for the other side, and a
        # simulator that dies does not turn our next write into a signal.
        handle = os.open(path, os.O_RDWR)
        stack.callback(os.close, handle)
        return handle

    def _simulate(self, model: Model) -> None:
        try:
            self._ended = simulate(
                model,
                TEST_MODULE,
                name="live",
                plusargs=[
                    f"+rtlgrad_requests={self._folder / 'requests'}",
                    f"+rtlgrad_answers={self._folder / 'answers'}",
                    *live_arguments(self.design, self.latency),
                ],
                variables={},
                limit_s=_LIFE_S,
            )
        except RtlgradError as error:
            self._ended = error

    def _ask(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
        self._check_alive()
        words = answer_words(self.design.interface)
        os.write(self._requests, request(self.design.interface, a, b))
        wanted = 8 * words * len(a)
        received = bytearray()
        deadline = time.monotonic() + self._time_limit_s
        while len(received) < wanted:
            if select.select([self._answers], [], [], _POLL_S)[0]:
                received += os.read(self._answers, wanted - len(received))
                continue
            self._check_alive()
            if time.monotonic() > deadline:
                raise SimulationError(
                    f"the live simulation of {self.design.path} does not answer",
                    got=f"nothing within {self._time_limit_s:.0f} s",
                    remedy="look for loops without an end in the source",
                )
        return np.frombuffer(bytes(received), np.uint64).reshape(-1, words)

    def _check_alive(self) -> None:
        if self._thread.is_alive():
            return
        ended = self._ended
        output = "" if ended is None or isinstance(ended, BaseException) else ended.output
        last = [line.strip() for line in output.splitlines() if "rror" in line or "atal" in line]
        raise SimulationError(
            f"the live simulation of {self.design.path} has ended",
            got=str(ended) if isinstance(ended, BaseException) else " | ".join(last[:3]) or None,
            remedy="make a new LiveMultiplier; look for $finish, $stop or $fatal in the source",
        )


def build_live(design: Design, folder: Path, *, jobs: int) -> Model:
    """Compile the simulation that answers operand pairs.

    Args:
        design: the design.
        folder: where to; it gets the sources and the model.
        jobs: compiler processes at a time.

    Raises:
        SimulationError: it cannot be compiled.
    """
    source = folder / f"design{design.path.suffix}"
    # As in the sweep: the time scale is that of a file that states none.
    framed = f"`resetall\n`timescale 1ns / 1ps\n{design.sources.text}\n`resetall\n"
    source.write_text(framed, encoding="utf-8")
    top = folder / f"{TOP}.sv"
    top.write_text(live_testbench(design), encoding="utf-8")
    model, done = build(
        Simulator.VERILATOR, [source, top], TOP, folder, jobs=jobs, limit_s=_BUILD_LIMIT_S
    )
    if not done.ok:
        raise SimulationError(
            f"the simulation of {design.path} cannot be compiled",
            got=first_error(done.output, design.path),
        )
    return model


def live_arguments(design: Design, latency: Latency | None) -> list[str]:
    """Return the arguments that tell a live simulation how its design's operations go."""
    return [] if latency is None else plan_arguments(0, design, latency)


def live_testbench(design: Design) -> str:
    """Return the SystemVerilog that answers operand pairs for a design; its top is `TOP`."""
    interface: Interface = design.interface
    passed = ", ".join(
        f".\\{key} ({value})" for key, value in sorted(design.reference.overrides.items())
    )
    fields = {
        "width_a": interface.a.width,
        "width_b": interface.b.width,
        "width_out": interface.out.width,
        "batch": batch_size(interface),
        "operand_bits": operand_bits(interface),
        "answer_bits": WORD * answer_words(interface),
        "module": interface.module,
        "overrides": f"#({passed})" if passed else "",
        "port_a": interface.a.name,
        "port_b": interface.b.name,
        "port_out": interface.out.name,
    }
    name = "live.sv"
    if interface.clocking is not None:
        name = "live_clocked.sv"
        fields["clocked"] = clocked_part(interface, design.reference.overrides, 0)
    text = importlib.resources.files("rtlgrad.testbenches").joinpath(name).read_text()
    return Template(text).substitute(fields)
