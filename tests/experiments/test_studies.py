"""Studies: what their stages ask for, and a small one from end to end."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from experiments.perform import Means, gather, perform
from experiments.studies.noise import hybrid, normal, sigma_of
from experiments.study import Arm, Study, runs_of
from experiments.tally import summaries
from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.training import TrainConfig, parse_phases, with_multiplier

BASE = TrainConfig("lenet300100", "digits", epochs=2, limit_train=300, limit_test=100, threads=1)


def test_runs_have_a_folder_each():
    arms = [Arm("a b:c", BASE, (0, 1)), Arm("d", BASE, (1,))]
    runs = runs_of(arms, Path("root"))
    assert [run.folder.name for run in runs] == ["a_b_c-s0", "a_b_c-s1", "d-s1"]
    assert [run.config.seed for run in runs] == [0, 1, 1]
    with pytest.raises(ConfigError, match="one folder"):
        runs_of([Arm("a b", BASE), Arm("a:b", BASE)], Path("root"))


@pytest.mark.parametrize("exact_epochs", [0, 1, 4])
def test_hybrid_schedules_cover_the_epochs(exact_epochs):
    phases = parse_phases(hybrid(normal(10.0), exact_epochs, 20), 20)
    assert sum(phase.end - phase.first for phase in phases if phase.name == "exact") == exact_epochs
    assert phases[0].sigma == pytest.approx(sigma_of(10.0), rel=1e-5)


def test_normal_noise_has_the_mean_relative_error_that_it_is_named_after():
    # E|e| of a normal e with standard deviation s is s * sqrt(2 / pi).
    assert sigma_of(38.0) * math.sqrt(2 / math.pi) == pytest.approx(0.38)


def test_a_study_goes_on_where_it_was_left_and_later_stages_see_earlier_rows(tmp_path):
    def first(_):
        return [Arm("start", BASE, (0, 1))]

    def second(bench):
        if not bench.rows:
            raise ConfigError("nothing to go on from")
        noisy = with_multiplier(BASE, "noise(0.1):0-1,exact:1-2")
        return [Arm(f"after {bench.rows[0].arm}", noisy)]

    study = Study("small", "?", (first, second), lambda _: "", lambda _: None)
    store = tmp_path / "luts"
    store.mkdir()
    assert gather(study, tmp_path / "runs", store).rows == ()
    said = []
    bench, failed = perform(study, tmp_path / "runs", Means(store, {}), said.append)
    assert failed == []
    assert [row.arm for row in bench.rows] == ["start", "start", "after start"]
    assert len(said) == 3
    assert all(len(row.curve) == 2 for row in bench.rows)
    again, _ = perform(study, tmp_path / "runs", Means(store, {}), said.append)
    assert len(said) == 3  # nothing was done twice
    assert again.rows == bench.rows == gather(study, tmp_path / "runs", store).rows
    assert summaries(bench.rows)["start"].count == 2


def test_a_run_that_fails_stops_only_what_cannot_do_without_it(tmp_path):
    diverges = replace(BASE, lr=1e30, epochs=1)

    def second(bench):
        if "good" not in {row.arm for row in bench.rows}:
            raise ConfigError("nothing to go on from")
        return [Arm("after", replace(BASE, epochs=1))]

    store = tmp_path / "luts"
    store.mkdir()
    bad, good = Arm("bad", diverges), Arm("good", replace(BASE, epochs=1))
    for arms, names in (((bad, good), ["good", "after"]), ((bad,), [])):
        study = Study("small", "?", (lambda _, arms=arms: arms, second), str, lambda _: None)
        root = tmp_path / f"runs{len(arms)}"
        bench, failed = perform(study, root, Means(store, {}), lambda _: None)
        assert [row.arm for row in bench.rows] == names
        assert "diverged" in failed[0]
        assert len(failed) == (1 if names else 2)
