"""Mixed precision of the exact parts: what has a table keeps its bits, the rest multiplies in bfloat16."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import RelativeError, add_noise
from rtlgrad.nn.data import load_data
from rtlgrad.nn.training import (
    EpochDone,
    TrainConfig,
    evaluate_checkpoint,
    load_checkpoint,
    train,
)
from torch import nn

ROUGH = ProductTable(exact_table(8, 8).products >> 9 << 9, name="rough")
BASE = TrainConfig(
    *("lenet300100", "digits", "rough"),
    epochs=2, batch_size=32, threads=1, limit_train=160, limit_test=60,
)  # fmt: skip


class StopError(Exception):
    pass


def run(folder, config, progress=lambda event: None):
    table = None if config.design is None else ROUGH
    return train(config, load_data("digits"), table, folder, progress=progress)


def state(folder):
    return load_checkpoint(folder / "checkpoint.pt").model


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_where_every_layer_has_a_table_the_precision_changes_no_bit(tmp_path):
    results = [
        run(tmp_path / name, replace(BASE, precision=name, gradient="lut"))
        for name in ("fp32", "bf16")
    ]
    assert same(state(tmp_path / "fp32"), state(tmp_path / "bf16"))
    assert results[0].test.loss == results[1].test.loss


def test_exact_layers_multiply_in_bfloat16_and_the_run_resumes_exactly(tmp_path):
    config = replace(BASE, rules=(("fc1", "exact"),), precision="bf16")
    whole, plain = (
        run(tmp_path / "bf16", config),
        run(tmp_path / "fp32", replace(config, precision="fp32")),
    )
    assert whole.config.precision == "bf16"
    assert not same(state(tmp_path / "bf16"), state(tmp_path / "fp32"))
    assert whole.test.loss == pytest.approx(plain.test.loss, rel=0.1)
    assert all(t.dtype == torch.float32 for t in state(tmp_path / "bf16").values())

    def stop(event):
        if isinstance(event, EpochDone):
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path / "parts", config, stop)
    assert run(tmp_path / "parts", config).test.loss == whole.test.loss
    assert same(state(tmp_path / "parts"), state(tmp_path / "bf16"))
    # Read back, it is evaluated as it was trained.
    again, _ = evaluate_checkpoint(tmp_path / "bf16", load_data("digits"), ROUGH, threads=1)
    assert again.loss == whole.test.loss
    with pytest.raises(ConfigError, match="precision: 'fp32', not 'bf16'"):
        run(tmp_path / "bf16", replace(config, precision="fp32"))


def test_noisy_products_are_float32_under_autocast():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 4)), torch.randn(3, 6)
    add_noise(model, RelativeError(0.1))
    torch.manual_seed(1)
    want = model(x)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), want)


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="'fp32' or 'bf16'"):
        replace(BASE, precision="fp16")
