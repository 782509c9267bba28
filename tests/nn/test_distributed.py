"""Training by torchrun: two processes do what one does, and go on where they stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import EpochDone, TrainConfig, distributed, load_checkpoint, train
from rtlgrad.nn.training.distributed import Processes

BASE = TrainConfig("lenet300100", "digits", epochs=2, batch_size=32)

SCRIPT = """
import shutil, sys
from pathlib import Path

sys.path.insert(0, {tests!r})
from test_distributed import train_in

train_in(Path(sys.argv[1]), "rough", copy_to=Path(sys.argv[2]))
train_in(Path(sys.argv[2]), "rough")
train_in(Path(sys.argv[1]), None)
"""


def train_in(folder, design, copy_to=None):
    """Train below a folder; after the first epoch, keep what a kill would leave."""
    rough = ProductTable(exact_table(8, 8).products >> 7 << 7, name="rough")
    config = TrainConfig(
        *("lenet300100", "digits", design),
        epochs=3, batch_size=32, limit_train=200, limit_test=100, lr=0.05,
    )  # fmt: skip
    place = folder / str(design)

    def watch(event):
        if copy_to is not None and isinstance(event, EpochDone) and event.epoch == 1:
            shutil.copytree(place, copy_to / str(design))

    return train(config, load_data("digits"), design and rough, place, progress=watch)


def torchrun(tmp_path, *folders):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    # Left to torchrun, a process has one thread.
    environment = {name: v for name, v in os.environ.items() if name != "OMP_NUM_THREADS"}
    start = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return subprocess.run(
        [sys.executable, *start, "--nproc-per-node", "2", str(script), *map(str, folders)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | {"OMP_WAIT_POLICY": "PASSIVE"},
    )


def curve(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["train_loss"], line["validation"]["loss"]) for line in lines]


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one_and_resume_exactly(tmp_path):
    folders = one, two, parts = [tmp_path / name for name in ("one", "two", "parts")]
    done = torchrun(tmp_path, two, parts)
    assert done.returncode == 0, done.stderr
    for design in ("rough", None):
        train_in(one, design)
        curves = [torch.tensor(curve(folder / str(design))) for folder in (one, two)]
        assert curves[0][-1, 0] < 0.95 * curves[0][0, 0]
        # Gradients are averaged in another order; with a table, a rounding may change a code.
        torch.testing.assert_close(*curves, rtol=1e-2 if design else 1e-4, atol=1e-3)
        result = json.loads((two / str(design) / "result.json").read_text())
        assert result["processes"] == 2
        assert result["threads"] == 1  # of each process: two of them share the cores
    whole, again = (load_checkpoint(folder / "rough" / "checkpoint.pt") for folder in folders[1:])
    assert (whole.sessions, again.sessions) == (1, 2)
    assert all(torch.equal(whole.model[name], again.model[name]) for name in whole.model)


def test_processes_of_one_host_share_its_cores_and_meet_on_its_loopback(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 9)
    for name in ("OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    distributed._share_cores()
    distributed._stay_on_this_host()
    assert set_to == [4]
    assert "GLOO_SOCKET_IFNAME" not in os.environ  # the others are elsewhere
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    distributed._share_cores()
    distributed._stay_on_this_host()
    assert set_to == [4]
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"


def test_shares_are_a_batch_s_images_each_once():
    images, labels = torch.arange(12.0).view(6, 2), torch.arange(6)
    shares = [Processes(rank, 3).share(images, labels) for rank in range(3)]
    assert sorted(torch.cat([part for _, part in shares]).tolist()) == list(range(6))
    assert all(torch.equal(part[:, 0], 2.0 * which) for part, which in shares)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 33}, "multiple of 2"),
        ({"gradient": "table", "design": "rough"}, "one process"),
        ({"multipliers": "noise(0.1):0-2"}, "one process"),
    ],
)
def test_what_several_processes_would_do_otherwise_is_refused(changes, said):
    config = replace(BASE, **changes)
    Processes().check(config)
    with pytest.raises(ConfigError, match=said):
        Processes(0, 2).check(config)
