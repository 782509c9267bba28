"""TensorBoard: the same figures as in metrics.jsonl, and a clear word where it is missing."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import ClassVar

import pytest
from rtlgrad.core.errors import ConfigError
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import EpochDone, TrainConfig, silent, train
from rtlgrad.nn.training.tensorboard import TensorBoardProgress

CONFIG = TrainConfig(
    "lenet300100", "digits", epochs=2, batch_size=32, limit_train=100, limit_test=50, threads=1
)


class Writer:
    """Stands for torch's SummaryWriter: keeps what it is given, by the rule of purge_step."""

    kept: ClassVar[dict] = {}

    def __init__(self, folder, purge_step):
        self.folder = folder
        for step in [key for key in self.kept if key[1] >= purge_step]:
            del self.kept[step]

    def add_scalar(self, name, value, step):
        assert (name, step) not in self.kept
        self.kept[name, step] = value

    def flush(self):
        pass

    def close(self):
        self.folder = None


@pytest.fixture
def writer(monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "kept", {})
    return Writer


def test_an_interrupted_run_has_each_figure_once_as_in_its_metrics(writer, tmp_path):
    data = load_data("digits")

    def stop(event):
        if isinstance(event, EpochDone) and event.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, data, None, tmp_path, progress=TensorBoardProgress(stop))
    result = train(CONFIG, data, None, tmp_path, progress=TensorBoardProgress(silent))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        epoch = line["epoch"]
        assert writer.kept["loss/train", epoch] == line["train_loss"]
        assert writer.kept["loss/validation", epoch] == line["validation"]["loss"]
        assert writer.kept["accuracy/validation", epoch] == line["validation"]["accuracy"]
    assert writer.kept["accuracy/test", 0] == result.accuracy


def test_its_absence_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"rtlgrad\[tensorboard\]"):
        TensorBoardProgress(silent)
