"""Reads a module in a child process, so that a text that ends or stops a parser ends only that."""

from __future__ import annotations

import atexit
import contextlib
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ...core.errors import RtlgradError, ToolFailedError, VerilogError
from ..programs.process import killable
from .reader_process import receive, send

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from ..frontend.read import ReadModule

READ_LIMIT_S = 30
"""Reading takes a fraction of a second for any design that a table can be made of."""
_MAX_IDLE = 16


def read_in_child(
    text: str,
    path: Path,
    *,
    top: str | None,
    overrides: Mapping[str, int],
    own: Collection[str] = (),
    limit_s: int = READ_LIMIT_S,
) -> ReadModule:
    """Find the top module of a text and resolve its ports, within a time limit.

    Arguments and errors are those of `rtlgrad.cosim.frontend.read.read_module`; a parser that
    crashes, or does not end within ``limit_s`` seconds, is a VerilogError.
    """
    request = {
        "text": text,
        "path": path,
        "top": top,
        "overrides": dict(overrides),
        "own": tuple(own),
        "limit_s": limit_s,
    }
    reader = _take()
    answer = reader.ask(request, limit_s)
    if answer is None:
        raise VerilogError(
            f"{path} cannot be parsed",
            got=f"the parser did not end within {limit_s} s"
            if reader.timed_out
            else f"the parser crashed (status {reader.status})",
            remedy="look for enormous constants, widths or nesting",
        )
    _give_back(reader)
    if isinstance(answer, RtlgradError):
        raise answer
    return cast("ReadModule", answer)


class _Reader:
    """One child process, which answers one request at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtlgrad.cosim.reading.reader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.timed_out = False

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def ask(self, request: Mapping[str, Any], limit_s: float) -> Any:
        """Return the answer, or None if there is none; the process has ended then."""
        requests, answers = self._streams()
        # The child's own limit is processor time; this one is for a child that does nothing.
        alarm = threading.Timer(4 * limit_s, self._stop)
        alarm.start()
        answer = None
        try:
            with killable(self._process), contextlib.suppress(BrokenPipeError):
                send(requests, request)
                answer = receive(answers)
        finally:
            alarm.cancel()
            if answer is None:
                self.close()
        self.timed_out |= self.status == -signal.SIGXCPU
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in self._streams():
            with contextlib.suppress(OSError):
                stream.close()

    def _stop(self) -> None:
        self.timed_out = True
        self._process.kill()

    def _streams(self) -> tuple[BinaryIO, BinaryIO]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ToolFailedError("the parser's process has no pipes")
        return cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)


_idle: list[_Reader] = []
_lock = threading.Lock()


def _take() -> _Reader:
    with _lock:
        while _idle:
            reader = _idle.pop()
            if reader.status is None:
                return reader
            reader.close()
    return _Reader()


def _give_back(reader: _Reader) -> None:
    with _lock:
        if len(_idle) < _MAX_IDLE:
            _idle.append(reader)
            return
    reader.close()


@atexit.register
def _close_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().close()
