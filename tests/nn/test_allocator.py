"""What malloc keeps: page faults of a process that frees and asks again, counted by the kernel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from rtlgrad.nn.training.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(12_000_000)  # above the 32 MiB up to which malloc adapts by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
kept = keep_freed_memory()
faults()
print(kept, first, faults())
"""


def counted(**environment: str) -> tuple[bool, int, int]:
    text = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC")} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return text[0] == "True", int(text[1]), int(text[2])


def test_freed_memory_is_not_faulted_in_again() -> None:
    kept, before, after = counted()
    if not kept:
        pytest.skip("malloc is not glibc's, or tuned by the environment")
    assert before > 8 * 11_000  # 48 MB are 11,718 pages of 4 KiB
    assert after < before / 10


def test_who_tunes_malloc_by_the_environment_is_obeyed() -> None:
    assert counted(MALLOC_TRIM_THRESHOLD_="131072")[0] is False
