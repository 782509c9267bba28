"""The benchmark of `make bench-gpu` runs to its end, on the emulator and without a clock."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from cuda_cases import engine_on
from rtlgrad.nn.engines.types import Availability

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "bench_gpu.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_gpu", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "milliseconds", lambda run: (run(), 2.0)[1])
    monkeypatch.setattr(module, "availability", lambda: Availability(True, "emulated"))
    monkeypatch.setattr(module, "load_engine", lambda: engine_on("ascending"))
    return module


def test_layers_are_measured_and_written(script, monkeypatch, tmp_path, capsys):
    small = script.Layer("resnet20", 3, 5, 3, 2, 7)
    monkeypatch.setattr(script, "layers", lambda: iter([small]))
    out = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--batch", "2", "--json", str(out)])
    assert script.main() == 0
    (layer,) = json.loads(out.read_text())["layers"]
    # 2 images of 4 x 4 outputs, 5 of them, of 3 x 3 x 3 taps.
    assert layer["products"] == 2 * 16 * 5 * 27
    assert layer["routes"]["low rank"] == "lowrank"
    assert set(layer["milliseconds"]) == {"table", "low rank", "mantissas", "fp32", "tf32", "fp16"}
    assert "lowrank" in capsys.readouterr().out


def test_the_networks_layers_are_those_of_their_papers(script):
    found = list(script.layers())
    assert {layer.model for layer in found} == {"resnet20", "resnet18", "resnet50"}
    # He et al., 2016: the first layer of ResNet-18 has 118 million products for one image of 224 x 224.
    (first,) = (layer for layer in found if layer.kernel == 7)
    assert first.products(1) == 118_013_952
