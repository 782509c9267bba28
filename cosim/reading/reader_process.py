"""Runs the front ends in a process of their own: ``python -m rtlgrad.cosim.reading.reader_process``.

A parser may crash, or never end, on a text that somebody made by mistake; here it takes nothing
else with it. Requests and answers are pickles, each after its length in four bytes; the process
ends when its standard input does. A request names how much processor time it may take, so that
an answer that never comes ends this process even if nobody waits for it any more.
"""

from __future__ import annotations

import pickle
import resource
import sys
from typing import TYPE_CHECKING, Any

from ...core.errors import RtlgradError, VerilogError
from ..frontend.read import ReadModule, read_module

if TYPE_CHECKING:
    from typing import BinaryIO

MEMORY_BYTES = 4 << 30


def main() -> None:
    """Answer requests until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5_000)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a parser prints must not get between the answers
    while (request := receive(requests)) is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime)
        limit = spent + request.pop("limit_s")
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        send(answers, _answer(request))


def _answer(request: dict[str, Any]) -> ReadModule | RtlgradError:
    try:
        return read_module(**request)
    except RtlgradError as error:
        return error
    except (RecursionError, MemoryError, OverflowError) as error:
        # The text goes beyond what any tool reads, and this is how a parser says so.
        return VerilogError(
            f"{request['path']} cannot be parsed",
            got=f"{type(error).__name__} while reading it",
            remedy="look for enormous constants, widths or nesting",
        )


def send(stream: BinaryIO, message: object) -> None:
    """Write one message."""
    data = pickle.dumps(message)
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    return pickle.loads(stream.read(int.from_bytes(head, "big")))


if __name__ == "__main__":
    main()
