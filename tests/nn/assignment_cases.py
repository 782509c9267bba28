"""A small network, designs of known error and energy, and a search over them without a network."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import approximate, calibrate
from rtlgrad.nn.assignment.outcome import Candidate
from rtlgrad.nn.assignment.search import Budget, SharedStudy
from rtlgrad.nn.assignment.space import Accelerator, SearchSpace
from torch import nn

EXACT = exact_table(4, 4)


class Net(nn.Module):
    """Three layers with a shortcut around the second, and activations in place."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4 * 36, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.first(x))
        return self.last(self.relu(self.second(x) + x).flatten(1))


def tables(count=3, seed=0):
    """Designs "d0" (exact), "d1", ... of growing error."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        errors = rng.integers(-9 * number, 9 * number + 1, (16, 16))
        found[f"d{number}"] = ProductTable(EXACT.products + errors, name=f"d{number}")
    return found


def model(seed=0):
    torch.manual_seed(seed)
    net = Net()
    approximate(net, EXACT)
    calibrate(net, [images(64, seed)])
    return net.eval()


def images(count, seed=1):
    """Dim noise with one bright quarter, so that the network tells them apart."""
    found = 0.3 * torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    for number in range(count):
        down, right = 3 * (number % 4 // 2), 3 * (number % 2)
        found[number, 0, down : down + 3, right : right + 3] += 0.7
    return found


LOSS = {"exact": (0.0, 0.0, 0.0), "half": (0.5, 3.0, 1.0), "bad": (2.5, 9.0, 4.0)}
ENERGY = {"exact": (10.0, 40.0, 20.0), "half": (6.0, 25.0, 11.0), "bad": (3.0, 9.0, 5.0)}
"""Design -> points lost, and nJ, in each of three layers: the toy problem."""


def toy_space(accelerator=Accelerator.GATED, tiles=2):
    return SearchSpace(accelerator, ("a", "b", "c"), tuple(LOSS), tiles)


def toy_candidate(number, assignment, earlier=None):
    """Return a candidate whose figures are sums over the layers."""
    designs = assignment.by_layer
    loss = sum(LOSS[design][at] for at, design in enumerate(designs))
    energy = sum(ENERGY[design][at] for at, design in enumerate(designs))
    return Candidate(number, assignment, loss, energy, {}, measured(loss), reused=bool(earlier))


def measured(loss):
    from rtlgrad.nn.assignment.evaluation import Measurement

    return Measurement(round(10 * loss), 0, 1000, 1000, stopped=False, seconds=0.0)


def toy_worker(folder: str, trials: int, hangs_from: int | None = None) -> None:
    """Take part in the toy search; hang in the first candidate from a number on, and say so."""

    def objective(number, assignment, earlier):
        if hangs_from is not None and number >= hangs_from:
            Path(folder, f"hangs-{number}").touch()
            time.sleep(600)
        time.sleep(0.02)
        return toy_candidate(number, assignment, earlier)

    SharedStudy(Path(folder), toy_space(), Budget(trials, population=8)).work(objective)
