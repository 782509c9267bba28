"""Models that we did not write, from Hugging Face transformers, by configuration alone."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from reference.mantissas import MANTISSA_MODELS, cut_off
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn import approximate, calibrate, restore, table_ids
from rtlgrad.nn.matmul_sites import approximate_matmuls
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install 'rtlgrad[models]'"
    )

pytestmark = pytest.mark.filterwarnings("ignore")  # of that package's own
FINE = exact_table(10, 10)
MANTISSAS = MantissaTable(10, *cut_off(MANTISSA_MODELS["mant10_exact"][1](), 10), name="fine")


def resnet():
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def mobilenet():
    config = transformers.MobileNetV2Config(
        depth_multiplier=0.1, num_labels=3, hidden_act="relu6", classifier_dropout_prob=0.0
    )
    return transformers.MobileNetV2ForImageClassification(config)


def convnext():
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1] * 4, num_labels=3)
    return transformers.ConvNextForImageClassification(config)


def vit(attention="sdpa"):
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        image_size=32, patch_size=8, num_labels=3, attn_implementation=attention,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config)


MODELS = {"resnet": resnet, "mobilenet": mobilenet, "convnext": convnext, "vit": vit}
MULTIPLYING = (nn.Conv2d, nn.Linear)


def images(count=2):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_every_convolution_and_linear_layer_is_converted_and_comes_back(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    exact, x = copy.deepcopy(model), images()
    wanted = [n for n, m in model.named_modules() if isinstance(m, MULTIPLYING)]
    report = approximate(model, FINE)
    by_type = [n for c in report.changed for n in c.names]
    # What is left is a class of the model's own; it is named, with the reason.
    left = {n: e.reason for e in report.exact for n in e.names}
    assert set(by_type) | set(left) >= set(wanted)
    assert all(reason for reason in left.values())
    assert len(by_type) >= 6
    calibrate(model, [x])
    with torch.no_grad():
        got, want = model(x).logits, exact(x).logits
    assert (got - want).abs().max() < 0.05 * want.abs().max() + 0.02
    twin = MODELS[name]().eval()
    approximate(twin, FINE)
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(twin(x).logits, got)
        restore(model)
        assert torch.equal(model(x).logits, want)
    assert model.state_dict().keys() == exact.state_dict().keys()


def test_rules_by_name_pattern():
    model = resnet()
    first = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    coarse = exact_table(4, 4)
    report = approximate(model, FINE, rules={first: "exact", "*layer.1*": coarse})
    assert next(e for e in report.exact if first in e.names).reason == "a rule leaves it exact"
    ids = table_ids(model)
    assert {coarse.id, FINE.id} == set(ids.values())
    assert all((ids[n] == coarse.id) == ("layer.1" in n) for n in ids)
    assert first in str(report)


def test_a_training_step_reaches_every_parameter():
    model = convnext().train()
    approximate(model, exact_table(8, 8))
    model(images(), labels=torch.tensor([0, 2])).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_same_models_take_float_tables(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    exact, x = copy.deepcopy(model), images()
    converted = approximate(model, MANTISSAS)
    assert len(converted.changed) == len(approximate(copy.deepcopy(exact), FINE).changed)
    if name == "vit":
        assert len(approximate_matmuls(model, MANTISSAS, x)) == 2
    with torch.no_grad():
        got, want = model(x).logits, exact(x).logits
    assert 0 < (got - want).abs().max() < 0.05 * want.abs().max() + 0.02
    model(x, labels=torch.tensor([0, 2])).loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_of_a_model_that_calls_functions(attention):
    torch.manual_seed(0)
    model = vit(attention).eval()
    exact, x = copy.deepcopy(model), images()
    sites = approximate_matmuls(model, FINE, x)
    assert len(sites) == 2
    one = ("scaled_dot_product_attention",) if attention == "sdpa" else ("matmul", "matmul")
    assert all(site.calls == one for site in sites)
    assert len(table_ids(model)) == 4
    calibrate(model, [x])
    with torch.no_grad():
        got, want = model(x).logits, exact(x).logits
        assert 0 < (got - want).abs().max() < 0.05 * want.abs().max() + 0.02
        assert torch.equal(copy.deepcopy(model)(x).logits, got)
