"""Training by torchrun: two processes do what one does, and go on where they stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.training import TrainConfig, load_checkpoint
from rtlgrad.nn.training.distributed import Processes

BASE = TrainConfig("lenet300100", "digits", epochs=2, batch_size=32)

SCRIPT = """
import json, sys
from pathlib import Path
from rtlgrad.lutgen import exact_table, ProductTable
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import EpochDone, TrainConfig, tables_for, train

rough = ProductTable(exact_table(8, 8).products >> 7 << 7, name="rough")
folder, stop = Path(sys.argv[1]), int(sys.argv[2])
for design in ("rough", None):
    config = TrainConfig("lenet300100", "digits", design=design, epochs=3, batch_size=32,
                         limit_train=200, limit_test=100, threads=1, lr=0.05)
    def watch(event):
        if design and stop and isinstance(event, EpochDone) and event.epoch == stop:
            raise SystemExit(3)
    table, tables = tables_for(config, lambda name: rough)
    train(config, load_data("digits"), table, folder / str(design), tables=tables, progress=watch)
"""


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def run(folder, processes, stop=0):
    script = folder.parent / "script.py"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*start, str(script), str(folder), str(stop)],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(),
    )


def curve(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["train_loss"], line["validation"]["loss"]) for line in lines]


def test_two_processes_have_the_loss_curve_of_one_and_resume_exactly(tmp_path):
    one, two = run(tmp_path / "one", 1), run(tmp_path / "two", 2)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    for design in ("rough", "None"):
        curves = [torch.tensor(curve(tmp_path / name / design)) for name in ("one", "two")]
        assert curves[0][-1, 0] < 0.95 * curves[0][0, 0]
        # Gradients are averaged in another order; with a table, a rounding may change a code.
        torch.testing.assert_close(*curves, rtol=1e-2 if design == "rough" else 1e-4, atol=1e-3)
        result = json.loads((tmp_path / "two" / design / "result.json").read_text())
        assert result["processes"] == 2
    assert run(tmp_path / "parts", 2, stop=1).returncode != 0
    parts = run(tmp_path / "parts", 2)
    assert parts.returncode == 0, parts.stderr
    whole, again = (
        load_checkpoint(tmp_path / name / "rough" / "checkpoint.pt") for name in ("two", "parts")
    )
    assert (whole.sessions, again.sessions) == (1, 2)
    assert all(torch.equal(whole.model[name], again.model[name]) for name in whole.model)


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
