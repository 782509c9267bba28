"""Live co-simulation: a running simulation of a design that answers batches of operand pairs.

It is the ground truth that tables and engines are audited against, and the way to use a design
that is too wide for a table.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import select
import tempfile
import threading
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ConfigError, RtlgradError, SimulationError
from .simulator import Model, Simulator, build, require_simulator, simulate
from .sources import first_error
from .sweep import decode

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from .design import Design
    from .interface import Interface, Port
    from .process import Completed

TOP = "rtlgrad_live"
TEST_MODULE = "rtlgrad.testbenches.live"
BATCH = 4096
"""Operand pairs in one request: small enough that request and answers fit the pipes' buffers,
so that neither side ever waits for the other to make room."""

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

    Raises:
        MissingToolError: something that simulation needs is not installed.
        SimulationError: the design cannot be compiled.
    """

    def __init__(self, design: Design, *, time_limit_s: float = 60.0) -> None:
        require_simulator(Simulator.VERILATOR)
        self.design = design
        self._time_limit_s = time_limit_s
        self._ended: Completed | BaseException | None = None
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="rtlgrad-live-"))
            self._folder = Path(name)
            model = self._build()
            self._requests = self._pipe("requests", stack)
            self._answers = self._pipe("answers", stack)
            self._thread = threading.Thread(target=self._simulate, args=(model,), daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()

    def multiply(self, a: Any, b: Any) -> NDArray[np.int64]:
        """Return the products of operand values.

        Args:
            a: integers of any shape, values of operand a (negative ones where it is signed).
            b: integers that broadcast with ``a``, values of operand b.

        Returns:
            int64, in the broadcast shape: the outputs, sign-decoded.

        Raises:
            ConfigError: a value does not fit its port.
            SimulationError: the simulation ended, or does not answer in time.
        """
        ports = self.design.interface
        return self.multiply_codes(_codes(a, ports.a, "a"), _codes(b, ports.b, "b"))

    def multiply_codes(self, a: Any, b: Any) -> NDArray[np.int64]:
        """Return the products of operand codes (bit patterns, never negative); see `multiply`."""
        ports = self.design.interface
        left, right = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        for codes, port in ((left, ports.a), (right, ports.b)):
            if codes.size and (int(codes.min()) < 0 or int(codes.max()) >= 1 << port.width):
                raise ConfigError(
                    f"operand codes for port {port.name!r} are out of range",
                    got=f"{codes.min()} to {codes.max()}",
                    expected=f"0 to {(1 << port.width) - 1}",
                )
        pairs = np.stack([left.ravel(), right.ravel()], axis=1).astype(">u4")
        answers = [self._ask(pairs[i : i + BATCH]) for i in range(0, len(pairs), BATCH)]
        codes = np.concatenate(answers) if answers else np.zeros(0, np.uint64)
        return decode(codes, ports.out.width, ports.out.signed).reshape(left.shape)

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
        source = self._folder / f"design{self.design.path.suffix}"
        source.write_text(f"`resetall\n{self.design.sources.text}\n`resetall\n")
        top = self._folder / f"{TOP}.sv"
        top.write_text(_testbench(self.design))
        model, done = build(
            Simulator.VERILATOR,
            [source, top],
            TOP,
            self._folder,
            jobs=len(os.sched_getaffinity(0)),
            limit_s=_BUILD_LIMIT_S,
        )
        if not done.ok:
            raise SimulationError(
                f"the simulation of {self.design.path} cannot be compiled",
                got=first_error(done.output, self.design.path),
            )
        return model

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
                ],
                variables={},
                limit_s=_LIFE_S,
            )
        except RtlgradError as error:
            self._ended = error

    def _ask(self, pairs: NDArray[Any]) -> NDArray[np.uint64]:
        self._check_alive()
        os.write(self._requests, np.array(len(pairs), ">u4").tobytes() + pairs.tobytes())
        wanted = 8 * len(pairs)
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
        return np.frombuffer(bytes(received), np.uint64)

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


def _testbench(design: Design) -> str:
    interface: Interface = design.interface
    passed = ", ".join(
        f".{key}({value})" for key, value in sorted(design.reference.overrides.items())
    )
    text = importlib.resources.files("rtlgrad.testbenches").joinpath("live.sv").read_text()
    return Template(text).substitute(
        width_a=interface.a.width,
        width_b=interface.b.width,
        width_out=interface.out.width,
        batch=BATCH,
        module=interface.module,
        overrides=f"#({passed})" if passed else "",
        port_a=interface.a.name,
        port_b=interface.b.name,
        port_out=interface.out.name,
    )


def _codes(values: Any, port: Port, role: str) -> NDArray[np.int64]:
    """Return the codes of operand values, checked to fit the port."""
    array = np.asarray(values)
    low, high = port.limits
    if not np.issubdtype(array.dtype, np.integer):
        raise ConfigError(f"operand {role} is not integer", got=array.dtype, expected="integers")
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise ConfigError(
            f"operand {role} does not fit port {port.name!r}",
            got=f"{array.min()} to {array.max()}",
            expected=f"{low} to {high} ({'signed' if port.signed else 'unsigned'}, {port.width} bits)",
        )
    return array.astype(np.int64) & ((1 << port.width) - 1)
