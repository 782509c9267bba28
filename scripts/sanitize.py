"""Runs the native engine's tests with sanitizers; exits with status 1 if one finds something.

The engine is compiled by ``$CXX`` (else g++) with the sanitizer's flags, under names of its own in the
cache. Python itself is not instrumented, so the sanitizer's run-time library is loaded before it:

- address and undefined behaviour: all tests of the engine;
- threads: those in which several threads meet.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """One run.

    Attributes:
        flags: for the compiler.
        library: that must be loaded first.
        options: variables that the library reads.
        tests: for pytest.
    """

    flags: tuple[str, ...]
    library: str
    options: dict[str, str]
    tests: tuple[str, ...]


_TESTS = (
    *("tests/nn/test_engines.py", "tests/nn/test_engine_routes.py"),
    *("tests/nn/test_engine_mantissa.py", "tests/nn/test_engine_threads.py"),
    *("tests/nn/test_fused_layers.py", "tests/nn/test_lowrank_route.py"),
)
# What a sanitizer's own memory, a compiler without it or a second library would decide.
_NOT_OF_THE_ENGINE = (
    "not memory and not compiler and not failing and not machines and not same_time and not share_no "
    "and not cupy "
    "and not forked_during "  # whose memory another thread may hold locked
    "and not bad_scales and not torch_can"  # torch throws, which a sanitizer loaded early cannot follow
)
SANITIZERS = {
    "address": Sanitizer(
        flags=("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        library="libasan.so",
        # Python leaves memory to the end of the process on purpose.
        options={"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
        tests=(*_TESTS, "-k", _NOT_OF_THE_ENGINE),
    ),
    "thread": Sanitizer(
        flags=("-fsanitize=thread",),
        library="libtsan.so",
        options={"TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0:report_signal_unsafe=0"},
        tests=(*_TESTS, "-k", "callers or at_once or tile_bounds or large_shapes"),
    ),
}


def main(names: list[str]) -> int:
    """Run the sanitizers of these names, or all, and return the exit status."""
    unknown = set(names) - set(SANITIZERS)
    if unknown:
        print(f"no such sanitizer: {', '.join(sorted(unknown))}; there are {', '.join(SANITIZERS)}")
        return 2
    failed = False
    for name in names or SANITIZERS:
        print(f"== {name}", flush=True)
        failed |= run(SANITIZERS[name]) != 0
    return int(failed)


def run(sanitizer: Sanitizer) -> int:
    """Run the tests under one sanitizer and return pytest's exit status."""
    compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    command = [*compiler, f"-print-file-name={sanitizer.library}"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(answer).is_absolute():
        print(f"{shlex.join(compiler)} has no {sanitizer.library}: install its sanitizers")
        return 1
    environment = {
        **os.environ,
        **sanitizer.options,
        "CXX": shlex.join([*compiler, "-g", "-fno-omit-frame-pointer", *sanitizer.flags]),
        "LD_PRELOAD": answer,
    }
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sanitizer.tests]
    return subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
