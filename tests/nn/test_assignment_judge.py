"""What a candidate costs: limits on area and delay, and evaluations that a predictor spares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from assignment_cases import EXACT, images, model, tables
from rtlgrad.nn.assignment.energy import EnergyFigure, EnergyModel, ProductEnergy
from rtlgrad.nn.assignment.evaluation import AssignmentEvaluator
from rtlgrad.nn.assignment.outcome import Predicted, front
from rtlgrad.nn.assignment.search import Budget
from rtlgrad.nn.assignment.space import Accelerator, SearchSpace, TileMap
from rtlgrad.nn.assignment.worker import Judge, Limits, Size, Task
from rtlgrad.nn.data import Batches

LAYERS = ("first", "second", "last")
SIZES = {"d0": Size(900, 1600), "d1": Size(500, 1700), "d2": Size(300, 1200)}


@pytest.fixture
def task():
    pixels = (255 * images(32)).to(torch.uint8)
    labels = torch.zeros(32, dtype=torch.long)
    energies = {
        d: {layer: ProductEnergy(s.area_um2, 0, 0) for layer in LAYERS} for d, s in SIZES.items()
    }
    return Task(
        folder=Path(),
        checkpoint=Path(),
        base=EXACT,
        space=SearchSpace(Accelerator.GATED, LAYERS, tuple(SIZES), 2),
        budget=Budget(1),
        tables=tables(),
        sizes=SIZES,
        energy=EnergyModel(dict.fromkeys(LAYERS, 10**6), energies),
        figure=EnergyFigure.SETTLED,
        images=Batches(pixels, labels, torch.zeros(1), torch.ones(1), 16),
        limits=Limits(5.0),
    )


def judge(task):
    pixels = list(task.images.epoch())
    return Judge(task, AssignmentEvaluator(model(), pixels, task.tables))


def test_area_is_that_of_all_tiles_and_delay_that_of_the_slowest(task):
    limited = replace(task, limits=Limits(5.0, area_um2=1000, delay_ps=1650))
    found = judge(limited)(0, TileMap(("d0", "d1"), (0, 1, 1)), None)
    assert found.violations["area"] == pytest.approx(1400 / 1000 - 1)
    assert found.violations["delay"] == pytest.approx(1700 / 1650 - 1)
    assert not found.is_feasible
    assert found.energy_nj == pytest.approx(900 + 500 + 500)
    within = judge(limited)(1, TileMap(("d2",), (0, 0, 0)), None)
    assert within.violations["area"] < 0
    assert within.violations["delay"] < 0


def test_a_predictor_spares_what_is_surely_too_bad_and_nothing_else(task):
    asked = []

    class Oracle:
        def __init__(self, high):
            self.high = high

        def predict(self, designs):
            asked.append(dict(designs))
            return Predicted(self.high - 0.1, self.high - 0.2, self.high)

    assignment = TileMap(("d0", "d1"), (0, 1, 1))
    plain = judge(task)(0, assignment, None)
    reference = plain.measurement.reference_correct / 32
    hopeful = judge(replace(task, predictor=Oracle(reference - 0.04)))(0, assignment, None)
    assert hopeful.loss_points == plain.loss_points
    assert hopeful.measurement is not None
    spared = judge(replace(task, predictor=Oracle(reference - 0.06)))(1, assignment, None)
    assert spared.measurement is None
    assert spared.loss_points == pytest.approx(16)
    assert not spared.is_feasible
    assert front([spared]) == []
    assert asked == [{"first": "d0", "second": "d1", "last": "d1"}] * 2


def test_what_was_measured_before_is_neither_measured_nor_predicted_again(task):
    first = judge(task)(0, TileMap(("d0",), (0, 0, 0)), None)
    again = judge(task)(7, TileMap(("d0",), (0, 0, 0)), first.measurement)
    assert again.reused
    assert again.measurement is first.measurement
    assert again.number == 7
