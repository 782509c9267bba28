"""A sweep on a Dask cluster of two workers, one of which is killed in the middle of a run."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from clusters import cluster_of_two, needs_dask
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.executors import dask_workers
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import RunResult, TrainConfig, plan_sweep, run_sweep, train

ROUGH = ProductTable(exact_table(8, 8).products >> 7 << 7, name="rough")
BASE = TrainConfig(
    *("lenet300100", "digits"),
    epochs=15, batch_size=32, limit_train=200, limit_test=50, lr=0.02,
)  # fmt: skip


@pytest.mark.slow
@needs_dask
def test_a_killed_worker_loses_nothing(tmp_path, monkeypatch):
    from distributed import Client

    monkeypatch.setattr("rtlgrad.lutgen.executors.CONNECT_LIMIT_S", 60.0)
    monkeypatch.chdir(tmp_path)
    runs = plan_sweep(BASE, ["rough"], ["ste"], [0, 1, 2], Path("runs"))
    load = partial(load_data, "digits")
    with cluster_of_two(tmp_path / "cluster") as (address, workers), dask_workers(address) as found:
        while found.slots() < 2:  # both have joined
            time.sleep(0.05)
        with Client(address, set_as_default=False) as client:
            client.run(import_module, "rtlgrad.nn.training")  # so that they begin together

        def under_way(run):
            metrics, result = run.folder / "metrics.jsonl", run.folder / "result.json"
            return metrics.exists() and metrics.stat().st_size > 0 and not result.exists()

        def kill_one():
            limit = time.monotonic() + 60
            while sum(map(under_way, runs)) < 2 and time.monotonic() < limit:
                time.sleep(0.01)  # until each has finished an epoch of a run
            os.kill(workers[0].pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        outcomes = run_sweep(runs, load, {"rough": ROUGH}, executor=found.executor)
        killer.join()
        assert workers[0].wait() == -signal.SIGKILL
    results = list(outcomes.values())
    assert all(isinstance(result, RunResult) for result in results), results
    assert sorted(result.sessions for result in results) == [1, 1, 2]
    (broken,) = (run for run, result in zip(runs, results, strict=True) if result.sessions == 2)
    whole = train(broken.config, load(), ROUGH, tmp_path / "whole")
    assert outcomes[broken.folder].test.loss == whole.test.loss
    # Nothing is left to do: given again, the sweep only reads.
    again = run_sweep(runs, load, {"rough": ROUGH})
    assert [one.ended for one in again.values()] == [one.ended for one in results]


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    class Elsewhere:
        def submit(self, task, *arguments):
            (tmp_path / "runs" / ".sweep").unlink()
            future = Future()
            future.set_result(task(*arguments))
            return future

    monkeypatch.chdir(tmp_path)
    runs = plan_sweep(BASE, ["rough"], ["ste"], [0], Path("runs"))
    (outcome,) = run_sweep(runs, list, {"rough": ROUGH}, executor=Elsewhere()).values()
    assert isinstance(outcome, ConfigError)
    with pytest.raises(ConfigError, match="shared file system"):
        raise outcome
