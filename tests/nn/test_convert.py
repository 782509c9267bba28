"""approximate, restore, calibrate and table_ids on whole module trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rtlgrad.core.errors import ConfigError, EngineError, UnknownNameError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import (
    ApproxConv2d,
    ApproxLinear,
    Conversion,
    approximate,
    calibrate,
    restore,
    table_ids,
)
from torch import nn

EXACT = exact_table(8, 8)
SIGNED = exact_table(8, 8, signed=True)
RANDOM = ProductTable(np.random.default_rng(0).integers(0, 60000, (256, 256)), name="random")


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.ReLU())
        self.again = self.block[0]  # one module, two names
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.again(self.block(self.stem(x).relu()))
        return self.head(x.mean(dim=(2, 3)))


def images(count=4):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_every_convertible_layer_is_changed_and_listed():
    model = Network()
    parameters = dict(model.named_parameters())
    conversion = approximate(model, EXACT)
    assert [layer.names for layer in conversion.changed] == [
        ("stem",),
        ("block.0", "again"),
        ("head",),
    ]
    assert conversion.exact == ()
    assert conversion.engine in ("native", "numpy")
    assert isinstance(model.stem, ApproxConv2d)
    assert isinstance(model.head, ApproxLinear)
    assert model.again is model.block[0]
    assert all(p is parameters[name] for name, p in model.named_parameters())
    text = str(conversion)
    assert "block.0 = again" in text
    assert EXACT.id[:12] in text
    assert "3 of 3 layers approximate" in text


def test_converted_network_stays_near_the_exact_one():
    model, x = Network().eval(), images()
    want = model(x)
    approximate(model, EXACT)
    ranges = calibrate(model, [x[:2], x[2:]])
    assert set(ranges) == {"stem", "block.0", "head"}
    assert ranges["stem"] == (float(x.min()), float(x.max()))
    torch.testing.assert_close(model(x), want, atol=0.03, rtol=0)
    approximate(model, RANDOM)
    assert (model(x) - want).abs().max() > 0.03


@pytest.mark.parametrize("as_mapping", [True, False])
def test_first_matching_rule_decides(as_mapping):
    model = Network()
    rules = {"stem": None, "block.*": SIGNED, "*": "exact", "head": RANDOM}
    conversion = approximate(model, EXACT, rules=rules if as_mapping else list(rules.items()))
    assert [(c.names, c.table) for c in conversion.changed] == [(("block.0", "again"), SIGNED)]
    reasons = {names: e.reason for e in conversion.exact for names in e.names}
    assert reasons == {"stem": "no table is given for it", "head": "a rule leaves it exact"}
    assert type(model.stem) is nn.Conv2d
    assert table_ids(model) == {"block.0": SIGNED.id}


def test_a_rule_that_matches_nothing_is_an_error_and_changes_nothing():
    model = Network()
    with pytest.raises(UnknownNameError, match=r"again, block\.0, head, stem") as error:
        approximate(model, EXACT, rules={"stam": None})
    assert "did you mean 'stem'" in str(error.value)
    with pytest.raises(ConfigError, match="names no table"):
        approximate(model, EXACT, rules={"stem": "exakt"})
    with pytest.raises(EngineError, match="cupy"):
        approximate(model, EXACT, engine="cupy")
    with pytest.raises(ConfigError, match="unsupported width"):
        approximate(model, EXACT, rules={"head": ProductTable(np.zeros((2, 2), np.int32))})
    assert table_ids(model) == {}


def test_restore_gives_back_torchs_layers_with_everything_on_them():
    model, x = Network().eval(), images()
    want, weights = model(x), model.state_dict()
    calls = []
    handle = model.head.register_forward_hook(lambda *_: calls.append("head"))
    approximate(model, RANDOM)
    calibrate(model, [x])
    calls.clear()
    assert not torch.equal(model(x), want)
    assert calls == ["head"]
    assert restore(model) == ("stem", "block.0", "again", "head")
    assert [type(m) for m in (model.stem, model.again, model.head)] == [
        nn.Conv2d,
        nn.Conv2d,
        nn.Linear,
    ]
    assert model.again is model.block[0]
    assert torch.equal(model(x), want)
    assert calls == ["head", "head"]
    handle.remove()
    model(x)
    assert calls == ["head", "head"]
    assert model.state_dict().keys() == weights.keys()
    assert str(model.stem) == str(Network().stem)
    assert not model.head.training


def test_state_of_an_exact_model_loads_into_an_approximate_one():
    source, model = Network(), Network()
    with torch.no_grad():
        source.head.weight.mul_(2)
    approximate(model, EXACT)
    model.load_state_dict(source.state_dict())
    restore(model)
    x = images()
    assert torch.equal(model.eval()(x), source.eval()(x))


def test_optimizer_made_before_the_conversion_trains_the_model_after_it():
    model, x = Network(), images()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    approximate(model, EXACT)
    first = model.stem.weight.detach().clone()
    model(x).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model.stem.weight, first)


def test_converting_again_replaces_tables_and_keeps_ranges():
    model, x = Network().eval(), images()
    approximate(model, EXACT)
    calibrate(model, [x])
    high = float(model.stem.activation.high)
    conversion = approximate(model, RANDOM, rules={"head": "exact"}, engine="numpy")
    assert {c.table for c in conversion.changed} == {RANDOM}
    assert float(model.stem.activation.high) == high
    assert model.stem.engine == "numpy"
    assert type(model.head) is nn.Linear
    assert conversion.exact[0].kind == "Linear"
    assert len([m for m in model.modules() if isinstance(m, ApproxConv2d)]) == 2


class OwnLinear(nn.Linear):
    pass


def test_what_cannot_be_converted_is_left_exact_with_the_reason():
    model = nn.ModuleDict(
        {
            "own": OwnLinear(2, 2),
            "attention": nn.MultiheadAttention(4, 2),
            "encoder": nn.TransformerEncoderLayer(4, 2, 8),
            "up": nn.ConvTranspose3d(1, 1, 2),
            "plain": nn.Linear(2, 2),
        }
    )
    rules = {"encoder.self_attn": "exact"}
    conversion = approximate(model, EXACT, rules=rules)
    assert [c.names for c in conversion.changed] == [("attention",), ("plain",)]
    reasons = {e.names[0]: e.reason for e in conversion.exact}
    assert set(reasons) == {"own", "encoder.self_attn", "encoder.linear1", "encoder.linear2", "up"}
    assert "subclass" in reasons["own"]
    assert "rule" in reasons["encoder.self_attn"]
    assert "without calling it" in reasons["encoder.linear1"]
    assert "no approximate counterpart" in reasons["up"]
    assert isinstance(conversion, Conversion)


@pytest.mark.parametrize("root", [nn.Linear(2, 2), ApproxLinear(2, 2, table=EXACT)])
def test_a_bare_layer_cannot_be_replaced_in_place(root):
    for call in (lambda: approximate(root, EXACT), lambda: restore(root)):
        with pytest.raises(ConfigError, match="cannot be replaced in place"):
            call()


# ---- calibration --------------------------------------------------------------------------------


def test_calibration_does_not_depend_on_the_table_and_leaves_modes_alone():
    x, found = images(), []
    for table in (EXACT, RANDOM):
        model = Network()
        model.block.eval()
        approximate(model, table)
        found.append(calibrate(model, [(x, "target")]))
        assert model.training
        assert not model.block.training
        assert not model.stem.activation.is_observing
    assert found[0] == found[1]


def test_calibration_takes_mappings_and_a_forward_of_ones_own():
    x = images()
    plain, by_name, by_hand = Network(), Network(), Network()
    for model in (plain, by_name, by_hand):
        approximate(model, exact_table(4, 4), calibration="mse")
    want = calibrate(plain, [x])
    assert calibrate(by_name, [{"x": x}]) == want
    assert calibrate(by_hand, [x / 2], forward=lambda model, batch: model(batch * 2)) == want
    assert calibrate(plain, [x], method="minmax") != want


def test_a_calibration_that_fails_leaves_the_old_ranges():
    model, x = Network(), images()
    approximate(model, EXACT)
    before = calibrate(model, [x])
    with pytest.raises(ConfigError, match="no batch"):
        calibrate(model, [])
    with pytest.raises(RuntimeError):
        calibrate(model, [x * 5, x[:, :1]])
    with pytest.raises(UnknownNameError, match="minmax, mse, percentile"):
        calibrate(model, [x], method="median")
    assert float(model.stem.activation.high) == pytest.approx(before["stem"][1])
    assert not model.stem.activation.is_observing
    with pytest.raises(ConfigError, match="nothing to calibrate"):
        calibrate(nn.Sequential(nn.Linear(1, 1)), [x])
