"""The search finds the front, is shared by processes, and loses nothing when one is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from itertools import product

import pytest
from assignment_cases import LOSS, measured, toy_candidate, toy_space, toy_worker
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import IdentityError, RecordError
from rtlgrad.nn.assignment.file import (
    AssignmentFile,
    Tile,
    check_tables,
    load_assignment,
    save_assignment,
)
from rtlgrad.nn.assignment.outcome import Candidate, candidate_from_json, front
from rtlgrad.nn.assignment.search import JOURNAL, Budget, SharedStudy
from rtlgrad.nn.assignment.space import Accelerator, TileMap


def best_of_all(space):
    """The front by trying everything: (loss, energy) that nothing else dominates."""
    figures = set()
    for values in product(*space.genes.values()):
        made = space.decode(dict(zip(space.genes, values, strict=True)))
        one = toy_candidate(0, made)
        figures.add((one.loss_points, one.energy_nj))
    return {
        p for p in figures if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in figures)
    }


@pytest.mark.parametrize("accelerator", Accelerator)
def test_the_search_finds_the_front_that_trying_everything_finds(accelerator, tmp_path):
    space = toy_space(accelerator)
    study = SharedStudy(tmp_path, space, Budget(trials=150, population=12))
    assert study.work(toy_candidate) == 150
    found = {(one.loss_points, one.energy_nj) for one in front(study.candidates)}
    assert found == best_of_all(space)


def test_the_first_candidates_are_the_single_designs(tmp_path):
    study = SharedStudy(tmp_path, toy_space(), Budget(trials=3))
    study.work(toy_candidate)
    assert [set(one.assignment.by_layer) for one in study.candidates] == [{d} for d in LOSS]


def test_a_search_goes_on_where_it_was_left_and_repeats_itself(tmp_path):
    def run(folder, *limits):
        for limit in limits:
            SharedStudy(folder, toy_space(), Budget(40, population=8)).work(
                toy_candidate, limit=limit
            )
        return [one.assignment for one in SharedStudy(folder, toy_space(), Budget(40)).candidates]

    whole = run(tmp_path / "whole", None)
    assert whole == run(tmp_path / "again", None)
    parts = run(tmp_path / "parts", 5, 7, None)
    assert len(parts) == len(whole) == 40
    assert parts[:5] == whole[:5]


def test_a_limit_keeps_a_candidate_off_the_front(tmp_path):
    def limited(number, assignment, earlier):
        one = toy_candidate(number, assignment, earlier)
        excess = float("bad" in assignment.designs)
        return Candidate(
            number, assignment, one.loss_points, one.energy_nj, {"area": excess}, one.measurement
        )

    study = SharedStudy(tmp_path, toy_space(), Budget(60, population=10))
    study.work(limited)
    assert any("bad" in one.assignment.designs for one in study.candidates)
    assert front(study.candidates)
    assert not any("bad" in one.assignment.designs for one in front(study.candidates))


@pytest.mark.slow
def test_two_processes_share_a_search_and_a_killed_one_loses_nothing(tmp_path):
    trials, spawn = 16, multiprocessing.get_context("spawn")
    doomed = spawn.Process(target=toy_worker, args=(str(tmp_path), trials, 4))
    doomed.start()
    wait_until(lambda: list(tmp_path.glob("hangs-*")))
    other = spawn.Process(target=toy_worker, args=(str(tmp_path), trials))
    other.start()
    study = SharedStudy(tmp_path, toy_space(), Budget(trials))
    wait_until(lambda: study.counts.complete >= 6)
    assert study.counts.running >= 1, "what hangs in the first is left alone while it lives"
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join()
    other.join(60)
    assert other.exitcode == 0
    study.work(toy_candidate)  # if the other had ended already
    counts = study.counts
    assert (counts.complete, counts.running, counts.waiting, counts.lost) == (trials, 0, 0, 1)
    everything = study._study.get_trials(deepcopy=False)
    (lost,) = [trial for trial in everything if trial.state.name == "FAIL"]
    (again,) = [trial for trial in everything if trial.user_attrs.get("retry of") == lost.number]
    assert (tmp_path / f"hangs-{lost.number}").exists()
    assert again.params == lost.params
    assert again.state.name == "COMPLETE"
    assert len({trial.user_attrs["worker"] for trial in everything}) >= 2


def test_what_a_lone_process_was_at_is_tried_again_when_the_search_goes_on(tmp_path):
    study = SharedStudy(tmp_path, toy_space(), Budget(6))

    def failing(number, assignment, earlier):
        if number == 2:
            raise RuntimeError("the machine goes away")
        return toy_candidate(number, assignment, earlier)

    with pytest.raises(RuntimeError):
        study.work(failing)
    assert study.counts.running == 1
    again = SharedStudy(tmp_path, toy_space(), Budget(6))
    again.work(toy_candidate)
    assert again.counts.complete == 6
    assert {"bad"} in [set(one.assignment.by_layer) for one in again.candidates]


def test_a_journal_whose_last_line_was_cut_short_goes_on(tmp_path):
    SharedStudy(tmp_path, toy_space(), Budget(6)).work(toy_candidate)
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(b'{"op_code":4,"wor')
    study = SharedStudy(tmp_path, toy_space(), Budget(10))
    study.work(toy_candidate)
    assert study.counts.complete == 10
    assert all(json.loads(line) for line in (tmp_path / JOURNAL).read_bytes().splitlines())


figures = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(figures, figures, st.booleans(), st.booleans()), max_size=12))
def test_the_front_is_what_no_other_dominates(rows):
    candidates = [
        Candidate(n, TileMap((f"d{n}",), (0,)), loss, energy, {"area": float(bad)}, stopped(not ok))
        for n, (loss, energy, bad, ok) in enumerate(rows)
    ]
    legal = [one for one, (_, _, bad, ok) in zip(candidates, rows, strict=True) if ok and not bad]

    def dominated(one):
        mine = (one.loss_points, one.energy_nj)
        others = [(o.loss_points, o.energy_nj) for o in legal]
        return any(o != mine and o[0] <= mine[0] and o[1] <= mine[1] for o in others)

    expected = {one.number for one in legal if not dominated(one)}
    assert {one.number for one in front(candidates)} == expected
    assert [
        candidate_from_json(json.loads(json.dumps(c.to_json()))) for c in candidates
    ] == candidates


def stopped(is_stopped):
    return replace(measured(1.0), stopped=is_stopped, seconds=0.25)


def test_an_assignment_is_read_as_it_was_written(tmp_path):
    tiles = (Tile("d1+tuned", "1" * 64, "2" * 64), Tile("d0", "3" * 64, "3" * 64))
    content = AssignmentFile(Accelerator.GATED, tiles, {"z": 0, "a": 1, "m": 0}, {"candidate": 7})
    path = tmp_path / "chosen.json"
    save_assignment(content, path)
    read = load_assignment(path)
    assert read == content
    assert read.layers == (("z", "d1+tuned"), ("a", "d0"), ("m", "d1+tuned"))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("tiles"),
        lambda content: content["layers"][0].update(tile=5),
        lambda content: content["layers"][0].update(design="d9"),
        lambda content: content.update(layers=[]),
        lambda content: content.update(schema=99),
        lambda content: content.update(format="recipe"),
        lambda content: content.update(accelerator="steam"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(change, tmp_path):
    path = tmp_path / "chosen.json"
    tiles = (Tile("d1", "1" * 64, "1" * 64),)
    save_assignment(AssignmentFile(Accelerator.GATED, tiles, {"a": 0}), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=r"chosen\.json is no assignment"):
        load_assignment(path)


def test_other_tables_under_the_same_names_are_refused(tmp_path):
    from assignment_cases import tables

    found = tables()
    tile = Tile("d1", found["d2"].id, found["d2"].id)
    content = AssignmentFile(Accelerator.GATED, (tile,), {"a": 0})
    with pytest.raises(IdentityError, match="the table of 'd1' is not the one"):
        check_tables(content, found, tmp_path / "chosen.json")


def wait_until(condition, limit_s=60.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the workers did not begin"
        time.sleep(0.02)
