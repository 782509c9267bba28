"""Noise in place of a circuit, schedules of multipliers, early stop, sweeps, TOML."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.core.errors import ConfigError, IdentityError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn.data import ImageData, load_data
from rtlgrad.nn.noise import EXACT, RelativeError, add_noise
from rtlgrad.nn.report import make_report
from rtlgrad.nn.training import (
    EpochDone,
    RunResult,
    StepDone,
    TrainConfig,
    build_config,
    evaluate_checkpoint,
    exact_like,
    load_checkpoint,
    load_model,
    parse_phases,
    plan_sweep,
    run_sweep,
    summarize,
    tables_for,
    train,
)
from rtlgrad.nn.training.prepare import with_table
from torch import nn


def table_named(name, cut):
    exact = exact_table(8, 8).products
    return ProductTable(exact >> cut << cut, name=name)


ROUGH, FINE = table_named("rough", 9), table_named("fine", 4)
TABLES = {"rough": ROUGH, "fine": FINE}


def blobs():
    rng = np.random.default_rng(0)
    means = rng.integers(40, 216, (3, 1, 8, 8))

    def split(count):
        labels = rng.integers(0, 3, count)
        pixels = means[labels] + rng.normal(0, 40, (count, 1, 8, 8))
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)

    return ImageData("blobs", *split(120), *split(40), classes=tuple("abc"), source="test")


DATA = blobs()
BASE = TrainConfig(
    "lenet300100", "blobs", epochs=3, batch_size=16, lr=0.05, threads=1, val_fraction=0.2
)


def run(folder, config, **options):
    table, tables = tables_for(config, TABLES.__getitem__)
    return train(config, DATA, table, folder, tables=tables, **options)


# --- noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["product", "weight"])
@pytest.mark.parametrize("layer", ["conv", "linear"])
def test_noise_has_the_mean_and_variance_of_its_products(per, layer):
    torch.manual_seed(0)
    plain = nn.Conv2d(2, 3, 3, padding=1) if layer == "conv" else nn.Linear(18, 3)
    model = nn.Sequential(plain)
    x = torch.randn(1, 2, 4, 4) if layer == "conv" else torch.randn(1, 18)
    exact = model(x).detach()
    squares = nn.Sequential(plain.__class__(*((2, 3, 3) if layer == "conv" else (18, 3)), bias=False, **({"padding": 1} if layer == "conv" else {})))  # fmt: skip
    squares[0].weight.data = plain.weight.detach().square()
    variance = squares(x.square()).detach() * 0.2**2
    error = RelativeError(0.2, mean=0.1, per=per)
    add_noise(model, error)
    draws = torch.stack([model(x).detach() for _ in range(3000)])
    bias = model[0].bias.detach().view(-1, 1, 1) if layer == "conv" else model[0].bias.detach()
    spread = variance.sqrt() / math.sqrt(3000)
    assert ((draws.mean(0) - ((exact - bias) * 1.1 + bias)).abs() < 5 * spread + 1e-5).all()
    torch.testing.assert_close(draws.var(0), variance, rtol=0.2, atol=1e-6)


def test_the_error_of_a_table_is_what_is_drawn():
    error = RelativeError.of_table(ROUGH, per="weight")
    rows, columns = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    exact = (rows * columns).astype(float)
    share = ((ROUGH.products - exact) / np.where(exact == 0, 1, exact))[exact != 0]
    assert error.mean == pytest.approx(share.mean())
    assert error.sigma == pytest.approx(share.std())
    torch.manual_seed(0)
    drawn = error.draw(torch.Size([20000])).numpy()
    assert np.isin(drawn, share.astype(np.float32)).all()
    assert abs(drawn.mean() - share.mean()) < 5 * share.std() / math.sqrt(20000)


@pytest.mark.parametrize("drawn", ["0.2", "table:rough"])
def test_the_errors_of_weights_are_drawn_one_by_one(tmp_path, drawn):
    """What a layer makes of unit inputs is its weights, each with an error of its own."""
    config = replace(BASE, multipliers=f"noise(weight:{drawn}):0-3")
    (phase,) = config.phases
    assert (phase.per, phase.drawn_from) == ("weight", "rough" if "rough" in drawn else None)
    model = nn.Sequential(nn.Linear(64, 8, bias=False))
    table, tables = tables_for(config, TABLES.__getitem__)
    with_table(model, config, table, tables)
    weight = model[0].weight.detach()
    error = model(torch.eye(64)).detach().t() / weight - 1
    assert len(error.unique()) > 64
    if drawn == "0.2":
        assert error.std() == pytest.approx(0.2, rel=0.2)
    else:
        entries = RelativeError.of_table(ROUGH).drawn_from.unique()
        gap = (error.flatten()[:, None] - entries[None]).abs().min(dim=1).values
        assert gap.max() < 1e-5
    result = run(tmp_path, config)
    assert result.config.multipliers == config.multipliers


def test_sigma_of_a_mean_relative_error():
    torch.manual_seed(0)
    error = RelativeError.of_mre(0.1)
    assert error.draw(torch.Size([200_000])).abs().mean() == pytest.approx(0.1, rel=0.02)


def test_no_error_is_the_layer_itself():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    x = torch.randn(2, 1, 4, 4)
    want, keys = model(x), model.state_dict().keys()
    assert add_noise(model, EXACT) == ("0", "2")
    torch.testing.assert_close(model(x), want)
    assert model.state_dict().keys() == keys
    with pytest.raises(ConfigError, match="sigma"):
        RelativeError(-0.1)
    with pytest.raises(ConfigError, match="no Conv2d"):
        add_noise(nn.Sequential(nn.ReLU()), EXACT)


# --- schedules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rough", "FIRST-END"),
        ("rough:0-2", "0 to 3"),
        ("rough:1-3", "0 to 3"),
        ("rough:0-2,exact:1-3", "where the one before ends"),
        ("rough:2-2,exact:2-3", "below"),
        ("noise(x):0-3", "noise"),
        ("noise(table:):0-3", "noise"),
        ("noise(weights:0.1):0-3", "noise"),
        ("noise(table:rough):0-1,fine:1-3", "one or the other"),
        ("noise(0.1):0-1,rough:1-3", "one or the other"),
        ("exact:0-3", "at least one"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_phases(text, 3)


def test_each_epoch_has_the_multiplier_of_its_phase(tmp_path):
    config = build_config(
        None,
        {**BASE.to_json(), "multipliers": "rough:0-1,fine:1-2,exact:2-3"} | {"design": "exact"},
    )
    result = run(tmp_path / "run", config)
    state = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert [record["multiplier"] for record in state.history] == ["rough", "fine", "exact"]
    ids = {
        name.removeprefix("schedule: "): id_
        for name, id_ in state.table_ids.items()
        if name.startswith("schedule")
    }
    assert ids == {"rough": ROUGH.id, "fine": FINE.id, "exact": exact_like(ROUGH).id}
    # What the run ends with is what evaluates it, and what reads it back.
    assert result.design == "exact"
    model = load_model(tmp_path / "run", exact_like(ROUGH)).model
    assert {layer.table.id for layer in model.modules() if hasattr(layer, "table")} == {
        ids["exact"]
    }
    with pytest.raises(IdentityError):
        load_model(tmp_path / "run", ROUGH)


def test_a_schedule_of_one_design_throughout_is_that_design(tmp_path):
    plain = run(tmp_path / "plain", replace(BASE, design="rough"))
    scheduled = run(tmp_path / "all", replace(BASE, design="rough", multipliers="rough:0-3"))
    assert plain.test.loss == scheduled.test.loss
    assert plain.test.accuracy == scheduled.test.accuracy


class StopError(Exception):
    pass


@pytest.mark.parametrize(
    "multipliers",
    [
        "rough:0-2,exact:2-3",
        "exact:0-1,rough:1-3",
        "noise(0.2):0-2,exact:2-3",
        "noise(table:rough):0-2,noise(table:fine):2-3",
    ],
)
def test_a_hybrid_run_resumes_exactly(tmp_path, multipliers):
    design = None if "noise" in multipliers else multipliers.split(",")[-1].split(":")[0]
    config = replace(BASE, design=design, multipliers=multipliers)
    whole = run(tmp_path / "whole", config)

    def stop(event):
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path / "parts", config, progress=stop)
    resumed = run(tmp_path / "parts", config)
    assert resumed.sessions == 2
    assert (resumed.test.loss, resumed.test.correct) == (whole.test.loss, whole.test.correct)


def test_another_table_under_a_scheduled_name_is_refused(tmp_path):
    config = replace(BASE, design="exact", multipliers="rough:0-2,exact:2-3")

    def stop(event):
        if isinstance(event, EpochDone):
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path, config, progress=stop)
    table, tables = tables_for(config, lambda _: table_named("rough", 6))
    with pytest.raises(IdentityError, match="rough"):
        train(config, DATA, table, tmp_path, tables=tables)
    with pytest.raises(ConfigError, match="does not fit"):
        train(config, DATA, table, tmp_path / "new", tables={"exact": table})


def test_noise_of_a_table_is_that_of_its_mean_and_deviation(tmp_path):
    multipliers = "noise(table:rough):0-3"
    config = build_config(
        None, {"model": "lenet300100", "data": "blobs", "epochs": 3, "multipliers": multipliers}
    )
    assert config.design is None
    result = run(tmp_path / "run", replace(BASE, multipliers=multipliers))
    table, tables = tables_for(result.config, TABLES.__getitem__)
    assert (table, tables) == (None, {"rough": ROUGH})
    loaded = load_model(tmp_path / "run", None, tables=tables)
    error = RelativeError.of_table(ROUGH)
    found = loaded.model.fc1.error
    assert (found.mean, found.sigma) == (error.mean, error.sigma)
    assert error.mean < -0.01  # a table of this kind has a mean error, which noise(SIGMA) has not
    again, _ = evaluate_checkpoint(tmp_path / "run", DATA, None, tables=tables, threads=1)
    assert again.count == result.test.count
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").table_ids == {
        "schedule: rough": ROUGH.id
    }
    with pytest.raises(IdentityError, match=FINE.id):
        load_model(tmp_path / "run", None, tables={"rough": FINE})
    with pytest.raises(ConfigError, match="are to be drawn"):
        load_model(tmp_path / "run", None)


def test_noise_of_a_mantissa_table_is_its_published_error():
    for name, bias in (("mant7_mitchell", -3.849), ("mant7_mbm", 0.447), ("mant7_exact", -0.271)):
        bits, products = MANTISSA_MODELS[name]
        error = RelativeError.of_table(MantissaTable(bits, *cut_off(products(), bits)))
        assert round(100 * error.mean, 3) == bias


def test_progress_tells_the_products_of_the_forward_pass(tmp_path):
    seen = []
    run(tmp_path, BASE, progress=seen.append)
    steps = [event for event in seen if isinstance(event, StepDone)]
    assert steps
    per_image = 64 * 300 + 300 * 100 + 100 * 3
    assert all(e.products_per_s == pytest.approx(per_image * e.images_per_s) for e in steps)


@pytest.mark.parametrize(
    "options",
    [
        {"gradient": "lut"}, {"gradient": "slope"}, {"gradient": "table"}, {"quantizer": "lsq"},
        {"accumulator": "wrap:26"}, {"correct_bias": True},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_of_the_layers_trains_resumes_and_is_read_back(tmp_path, options):
    config = replace(BASE, design="rough", epochs=2, **options)
    whole = run(tmp_path / "whole", config)

    def stop(event):
        if isinstance(event, EpochDone):
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path / "parts", config, progress=stop)
    assert run(tmp_path / "parts", config).test.loss == whole.test.loss
    loaded = load_model(tmp_path / "whole", ROUGH)
    layers = [m for m in loaded.model.modules() if hasattr(m, "options")]
    assert len(layers) == 3
    for name, value in options.items():
        if name != "correct_bias":
            assert all(getattr(layer.options, name) == value for layer in layers)


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    config = replace(BASE, epochs=30, lr=1e-9, keep="best", patience=3)
    result = run(tmp_path, config)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state.epoch == result.selected_epoch + 3 < 30
    with pytest.raises(ConfigError, match="patience"):
        replace(config, keep="last")


# --- configuration and sweeps -----------------------------------------------------------------


def test_a_toml_file_is_a_configuration_and_a_misspelt_key_is_named(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        'model = "lenet5"\ndata = "mnist"\nepochs = 10\nrules = [["conv1", "exact"]]\n'
        'multipliers = "mul8u_trunc8:0-8,exact:8-10"\n'
    )
    config = build_config(file, {"seed": 3})
    assert (config.design, config.seed, config.rules) == ("exact", 3, (("conv1", "exact"),))
    file.write_text('model = "lenet5"\ndata = "mnist"\ngradeint = "lut"\n')
    with pytest.raises(ConfigError, match="'gradeint'") as caught:
        build_config(file, {})
    assert "did you mean 'gradient'?" in str(caught.value)
    file.write_text("model = \n")
    with pytest.raises(ConfigError, match="not TOML"):
        build_config(file, {})


def test_a_sweep_is_the_same_runs_one_by_one_and_is_resumed(tmp_path):
    base = replace(BASE, epochs=1, threads=None)
    axes = (["fp32", "rough", "rough:0-1", "noise(0.1):0-1"], ["ste", "lut:4"], [0, 1])
    runs = plan_sweep(base, *axes, tmp_path)
    assert len(runs) == 2 * (1 + 2 + 2 + 1)
    assert len({one.folder for one in runs}) == len(runs)
    told = []
    outcomes = run_sweep(runs, lambda: DATA, TABLES, done=lambda one, _: told.append(one))
    assert told == list(runs)
    results = list(outcomes.values())
    assert all(isinstance(result, RunResult) for result in results)
    rows = {(row.multiplier, row.gradient): row for row in summarize(results)}
    assert set(rows) == {
        ("fp32", "-"), ("rough", "ste"), ("rough", "lut:4"), ("rough:0-1", "ste"),
        ("rough:0-1", "lut:4"), ("noise(0.1):0-1", "-"),
    }  # fmt: skip
    row = rows["rough", "lut:4"]
    alone = run(tmp_path / "alone", replace(runs[4].config))
    assert alone.test.loss == outcomes[runs[4].folder].test.loss
    both = [100 * outcomes[one.folder].test.accuracy for one in runs[4:6]]
    assert (row.mean, row.spread) == (
        pytest.approx(np.mean(both)),
        pytest.approx(np.std(both, ddof=1)),
    )
    again = run_sweep(runs, lambda: DATA, TABLES)
    assert [r.ended for r in again.values()] == [r.ended for r in results]


def test_a_sweep_over_processes_gives_the_same_bits_and_a_failure_stops_no_other(tmp_path):
    base = TrainConfig("lenet300100", "digits", epochs=1, limit_train=300, limit_test=50)
    runs = plan_sweep(base, ["rough", "missing"], ["slope"], [0], tmp_path / "runs")
    tables = {**TABLES, "missing": FINE}  # a table of another name than the design's
    load = partial(load_data, "digits")
    good, bad = run_sweep(runs, load, tables, jobs=2).values()
    assert isinstance(bad, ConfigError)
    alone = train(runs[0].config, load(), ROUGH, tmp_path / "alone")
    assert good.test.loss == alone.test.loss
    with pytest.raises(ConfigError, match="seeds of a sweep"):
        plan_sweep(base, ["rough"], ["ste"], [1, 1], tmp_path)


def test_a_report_takes_no_noisy_or_scheduled_run_for_an_fp32_one(tmp_path):
    for name in ("fp32", "rough", "noise(0.1):0-3"):
        config = plan_sweep(BASE, [name], ["slope"], [0], tmp_path)[0]
        run(config.folder, config.config)
    rows = {row.design: row for row in make_report(tmp_path).rows}
    assert set(rows) == {"fp32", "rough", "noise(0.1):0-3"}
    assert rows["fp32"].fp32 is None
    for name in ("rough", "noise(0.1):0-3"):
        assert rows[name].fp32 == rows["fp32"].after
    assert "gradient slope" in rows["rough"].note
