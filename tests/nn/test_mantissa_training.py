"""Training through floating-point multipliers: the trainer, its files, and the command."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.cli.main import main
from rtlgrad.core.errors import ConfigError, IdentityError, UnknownNameError
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.histogram import load_recording
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn.data import ImageData
from rtlgrad.nn.training import (
    EpochDone,
    TrainConfig,
    evaluate_checkpoint,
    exact_like,
    load_checkpoint,
    load_model,
    tables_for,
    train,
)


def table_of(name):
    bits, products = MANTISSA_MODELS[name]
    return MantissaTable(bits, *cut_off(products(), bits), name=name)


TABLES = {
    **{name: table_of(name) for name in ("mant7_mbm", "mant7_mitchell", "mant5_mbm")},
    "exact8x8u": exact_table(8, 8),
}
MBM = TABLES["mant7_mbm"]


def blobs():
    rng = np.random.default_rng(0)
    means = rng.integers(40, 216, (3, 1, 8, 8))

    def split(count):
        labels = rng.integers(0, 3, count)
        pixels = means[labels] + rng.normal(0, 40, (count, 1, 8, 8))
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)

    return ImageData("blobs", *split(120), *split(40), classes=tuple("abc"), source="test")


DATA = blobs()
FP32 = TrainConfig(
    "lenet300100", "blobs", epochs=3, batch_size=16, lr=0.02, threads=1, val_fraction=0.2
)
BASE = replace(FP32, design="mant7_mbm")


def run(folder, config, **options):
    table, tables = tables_for(config, TABLES.__getitem__)
    return train(config, DATA, table, folder, tables=tables, **options)


class Stop:
    """Interrupts after some epochs."""

    def __init__(self, after):
        self.after = after

    def __call__(self, event):
        if isinstance(event, EpochDone) and event.epoch == self.after:
            raise KeyboardInterrupt


def test_a_run_learns_names_its_table_and_is_read_back(tmp_path):
    result = run(tmp_path / "run", BASE)
    assert result.accuracy > 0.9
    assert (result.design, result.characterization_id) == ("mant7_mbm", MBM.id)
    assert result.table_hash == MBM.content_hash
    assert set(result.table_ids.values()) == {MBM.id}
    again, loaded = evaluate_checkpoint(tmp_path / "run", DATA, MBM, threads=1)
    assert again.correct == result.test.correct
    assert {layer.table for layer in loaded.model.modules() if hasattr(layer, "table")} == {MBM}
    with pytest.raises(IdentityError, match=TABLES["mant7_mitchell"].id):
        load_model(tmp_path / "run", replace_name(TABLES["mant7_mitchell"], "mant7_mbm"))


def replace_name(table, name):
    return MantissaTable(table.mantissa_bits, table.mantissa, table.carry, name=name)


@pytest.mark.parametrize(
    "multipliers", [None, "mant7_mitchell:0-2,mant7_mbm:2-3", "mant7_mbm:0-2,exact:2-3"]
)
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, multipliers):
    config = BASE
    if multipliers is not None:
        ends = multipliers.split(",")[-1].split(":")[0]
        config = replace(BASE, multipliers=multipliers, design=ends)
    whole = run(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", config, progress=Stop(1))
    parts = run(tmp_path / "parts", config)
    assert parts.test.loss == whole.test.loss
    one, other = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)


def test_the_choice_of_products_decides_the_weights(tmp_path):
    """Only the forward pass approximate: gradients are torch's, of the forward's values."""
    config = replace(BASE, epochs=1, approximate="forward", limit_train=40, momentum=0.0)
    config = replace(config, weight_decay=0.0, schedule="constant", batch_size=32, seed=3)
    run(tmp_path / "forward", config)
    every = run(tmp_path / "every", replace(config, approximate=BASE.approximate))
    assert every.config.approximate == "forward,input-grad,weight-grad"
    one, two = (
        load_checkpoint(tmp_path / name / "checkpoint.pt").model for name in ("forward", "every")
    )
    # One step from the same weights with the same logits: the last bias has the same gradient.
    assert torch.equal(one["fc3.bias"], two["fc3.bias"])
    assert not torch.equal(one["fc3.weight"], two["fc3.weight"])


def test_the_exact_multiplier_of_mantissas_is_the_truncating_one():
    for name in ("mant7_mbm", "mant5_mbm"):
        exact = exact_like(TABLES[name])
        bits = exact.mantissa_bits
        products = np.multiply.outer(*[1 + np.arange(1 << bits) / (1 << bits)] * 2)
        assert exact == MantissaTable(bits, *cut_off(products, bits))


def test_float_training_stays_near_fp32(tmp_path):
    """ApproxTrain's finding in small: the loss curve of a mild multiplier is that of fp32."""
    plain = run(tmp_path / "fp32", FP32)
    exact = run(tmp_path / "mbm", BASE)
    assert abs(plain.accuracy - exact.accuracy) <= 0.05
    losses = [
        [
            record["train_loss"]
            for record in load_checkpoint(tmp_path / name / "checkpoint.pt").history
        ]
        for name in ("fp32", "mbm")
    ]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=0.2, atol=0.02)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"gradient": "lut"}, ConfigError, "gradient concerns integer operands"),
        ({"quantizer": "lsq"}, ConfigError, "quantizer concerns integer operands"),
        ({"correct_bias": True}, ConfigError, "integer operands alone"),
        (
            {"multipliers": "mant7_mbm:0-2,exact8x8u:2-3", "design": "exact8x8u"},
            ConfigError,
            "'mant7_mbm' does not fit",
        ),
        (
            {"multipliers": "mant5_mbm:0-2,mant7_mbm:2-3"},
            ConfigError,
            "'mant5_mbm' does not fit",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        run(tmp_path / "run", replace(BASE, **changes))


def test_a_misspelt_product_is_named():
    with pytest.raises(UnknownNameError, match="input-grad"):
        replace(BASE, approximate="forward,input-gradient")


def test_the_command_trains_and_evaluates_through_an_imported_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    carry = MBM.carry.astype(np.uint8) << 7
    (tmp_path / "MBM_7.bin").write_bytes((MBM.mantissa.astype(np.uint8) | carry).tobytes())

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["rtlgrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    assert command("import", "MBM_7.bin", "--format", "approxtrain", "--name", "mbm")[0] in (
        0,
        None,
    )
    flags = ("--model", "lenet300100", "--data", "digits", "--limit-train", 200, "--design", "mbm")
    code, _, said = command("train", *flags, "--approximate", "forward,weight-grad", "--out", "run")
    assert code in (0, None), said
    result = json.loads((tmp_path / "run/result.json").read_text())
    record = json.loads((tmp_path / "out/luts/mbm/record.json").read_text())
    assert set(result["table_ids"].values()) == {record["id"]}
    assert result["config"]["approximate"] == "forward,weight-grad"
    code, text, _ = command("eval", "run", "--json")
    assert code in (0, None)
    assert json.loads(text)["correct"] == result["test"]["correct"]
    code, text, _ = command("trace", "run", "--evaluate", "--json")
    (again,) = [f for f in json.loads(text)["findings"] if "evaluated again" in f["what"]]
    assert again["verdict"] == "verified"
    code, _, said = command("record", "run")
    assert code in (0, None), said
    layers = load_recording(tmp_path / "run" / "operands.npz").layers
    assert all(layer.counts.shape == (128, 128) for layer in layers)  # pairs of 7-bit mantissas
