"""Same seed, same bits: random states, threads, and torch's deterministic algorithms."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reproducible(seed: int, threads: int | None) -> Iterator[None]:
    """Seed everything for the block; restore the caller's random states and settings after it.

    Args:
        seed: of Python's, NumPy's and torch's global generators.
        threads: CPU threads for torch, or None to leave its setting.
    """
    states = random_states()
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        # It overwrites every new tensor, a third of a small model's time, and only matters to
        # code that reads memory before writing it.
        memory.fill_uninitialized_memory = False
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(deterministic_before)
        memory.fill_uninitialized_memory = fill_before
        restore_random_states(states)


def random_states() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's global generators, as plain data."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Undo `random_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
