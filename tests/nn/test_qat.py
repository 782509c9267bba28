"""Learned steps, folded batch normalisation, corrected biases."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import ApproxConv2d, ApproxLinear, approximate, calibrate
from rtlgrad.nn.bias_correction import correct_biases
from rtlgrad.nn.folding import fold_batch_norms
from rtlgrad.nn.learned import learned_quantize
from torch import nn

EXACT = exact_table(8, 8)


@pytest.mark.parametrize(("low", "high", "zero"), [(0, 15, 5), (-7, 7, 0)])
def test_learned_step_has_the_published_gradient(low, high, zero):
    torch.manual_seed(0)
    x = (4 * torch.randn(200)).requires_grad_()
    step = torch.tensor(0.4, requires_grad=True)
    upstream = torch.randn(200)
    offset = torch.tensor(zero, dtype=torch.int32)
    x_hat, codes = learned_quantize(x, step, offset, low, high, 4, 0.125)
    grad_x, grad_step = torch.autograd.grad((x_hat * upstream).sum(), (x, step))
    want = 0.0
    for number, up, gradient in zip(x.tolist(), upstream.tolist(), grad_x.tolist(), strict=True):
        v = number / step.item()
        value = round(v) + zero
        if low <= value <= high:
            want += up * (round(v) - v)
            assert gradient == pytest.approx(up)
        else:
            want += up * ((low if value < low else high) - zero)
            assert gradient == 0
    assert grad_step.item() == pytest.approx(0.125 * want, rel=1e-4)
    assert torch.equal(codes, ((x_hat / step).round().int() + zero).remainder(16).to(torch.uint8))


@pytest.mark.parametrize("operand", ["low", "step"])
def test_learned_step_passes_torchs_own_checks(operand):
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=operand == "low")
    step = torch.rand(3, 1).add_(0.1).requires_grad_(operand == "step")
    zero = torch.tensor(0, dtype=torch.int32)
    torch.library.opcheck(learned_quantize, (x, step, zero, -7, 7, 4, 0.5))


@pytest.mark.parametrize("signed", [False, True])
def test_a_learned_scale_begins_where_the_range_leaves_it(signed):
    torch.manual_seed(0)
    table = exact_table(6, 5, signed=signed)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 4))
    learning = copy.deepcopy(plain)
    approximate(plain, table)
    approximate(learning, table, quantizer="lsq")
    x = torch.randn(4, 2, 6, 6)
    for model in (plain, learning):
        calibrate(model, [x])
        model.eval()
    assert torch.equal(plain(x), learning(x))
    names = {name for name, _ in learning.named_parameters()}
    steps = {n for n in names if n.endswith("step")}
    assert steps == {f"{i}.{q}.step" for i in (0, 3) for q in ("activation", "weight_quantizer")}
    assert learning[0].weight_quantizer.step.shape == (3,)
    # The state of a model that does not learn its scales loads, and gives the same model.
    again = copy.deepcopy(learning)
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again(x), plain(x))


def test_learned_scales_shrink_to_where_the_error_of_quantization_is_less():
    # One outlier among normal numbers: the range is 100 wide, nearly all numbers within 3.
    torch.manual_seed(0)
    layer = ApproxLinear(1, 1, bias=False, table=exact_table(4, 4, signed=True), quantizer="lsq")
    layer.weight.data.fill_(1.0)
    x = torch.randn(4096, 1).clamp(-3, 3)
    x[0] = 100.0
    optimizer = torch.optim.SGD([layer.activation.step], lr=5.0)
    errors = []
    for _ in range(100):
        error = (layer(x) - x)[1:].square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.2 * errors[0]
    assert 0 < layer.activation.step.item() < 100 / 7 / 2


def test_gradient_of_a_step_is_scaled_by_the_number_of_weights():
    torch.manual_seed(0)
    layer = ApproxLinear(9, 4, table=exact_table(8, 8, signed=True), quantizer="lsq")
    x, upstream = torch.randn(6, 9), torch.randn(6, 4)
    (layer(x) * upstream).sum().backward()
    w, step = layer.weight.detach(), layer.weight_quantizer.step.detach()[:, None]
    slope = ((w / step).round() - w / step) * (
        upstream.T @ layer.activation(x, layer.operands[0]).x_hat
    )
    want = slope.sum(1) / math.sqrt(4 * 9 * 127)
    torch.testing.assert_close(layer.weight_quantizer.step.grad, want, rtol=1e-3, atol=1e-6)


def test_narrower_operands_make_learned_scales_begin_anew():
    layer = ApproxLinear(3, 2, table=EXACT, quantizer="lsq")
    layer(torch.randn(4, 3))
    assert not layer.activation.step.isnan()
    layer.set_table(exact_table(8, 8))
    assert not layer.activation.step.isnan()
    layer.set_table(exact_table(4, 4))
    assert layer.activation.step.isnan()
    assert layer.weight_quantizer.step.isnan().all()


def test_an_unknown_quantizer_is_refused():
    with pytest.raises(UnknownNameError, match="lsq"):
        ApproxLinear(3, 2, table=EXACT, quantizer="lsk")
    layer = ApproxLinear(3, 2, table=EXACT)
    with pytest.raises(ConfigError, match="in place"):
        layer.set_options(quantizer="lsq")


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = (
            nn.Conv2d(4, 4, 3, padding=1, groups=2),
            nn.BatchNorm2d(4, affine=False),
        )
        self.conv3, self.bn3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.up, self.bn4 = nn.ConvTranspose2d(4, 6, 2, 2, groups=2), nn.BatchNorm2d(6)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = x + self.bn2(self.conv2(x))
        seen_twice = self.conv3(x)
        return self.bn4(self.up(self.bn3(seen_twice) + seen_twice))


def settled_network():
    torch.manual_seed(0)
    model = Residual()
    for norm in (model.bn1, model.bn2, model.bn3, model.bn4):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        if norm.affine:
            norm.weight.data.uniform_(0.5, 2)
            norm.bias.data.normal_()
    return model.eval()


def test_folding_keeps_the_function_and_leaves_what_is_used_elsewhere():
    model, x = settled_network(), torch.randn(2, 3, 6, 6)
    before = model(x)
    assert fold_batch_norms(model) == (("conv1", "bn1"), ("conv2", "bn2"), ("up", "bn4"))
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)
    assert isinstance(model.bn1, nn.Identity)
    assert isinstance(model.bn3, nn.BatchNorm2d)  # conv3's output is also used as it is


@pytest.mark.parametrize("quantizer", ["range", "lsq"])
def test_folding_a_positive_gain_changes_no_weight_code(quantizer):
    model, x = settled_network(), torch.randn(2, 3, 6, 6)
    approximate(model, exact_table(8, 8), quantizer=quantizer)
    calibrate(model, [x])
    before, layer = model(x), model.conv1
    codes = layer._operands(x)[1].codes
    fold_batch_norms(model)
    after = layer._operands(x)[1].codes
    # A weight that lies on a boundary between two codes may round the other way.
    assert (codes.int() - after.int()).abs().max() <= 1
    assert (codes != after).float().mean() < 0.02
    torch.testing.assert_close(model(x), before, rtol=0.02, atol=0.1)


def test_a_model_that_cannot_be_traced_is_folded_by_names():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)

        def forward(self, x):
            return self.norm(self.conv(x)) if x.sum() > 0 else x

    model, x = Branching().eval(), torch.rand(1, 1, 2, 2)
    model.norm.running_mean.fill_(0.5)
    before = model(x)
    with pytest.raises(ConfigError, match="traced"):
        fold_batch_norms(model)
    with pytest.raises(ConfigError, match="NoneType"):
        fold_batch_norms(model, [("conv", "bn")])
    fold_batch_norms(model, [("conv", "norm")])
    torch.testing.assert_close(model(x), before)


def test_correcting_biases_takes_off_a_multipliers_mean_error():
    torch.manual_seed(0)
    # Every product comes out 700 short: each output by exactly 700 * K * scale, padding too.
    short = ProductTable(EXACT.products - 700, name="short")
    exact = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(75, 4))
    approximate(exact, EXACT)
    x = torch.randn(8, 2, 5, 5)
    calibrate(exact, [x])
    model = copy.deepcopy(exact)
    for layer in (model[0], model[2]):
        layer.set_table(short)
    exact.eval(), model.eval()
    assert (model(x) - exact(x)).abs().max() > 0.5
    shifts = correct_biases(model, [x[:4], x[4:]])
    first = model[0]
    scale = first._operands(x)[0].params.scale * first._operands(x)[1].params.scale
    torch.testing.assert_close(shifts["0"], 700 * 18 * scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(x), exact(x), rtol=1e-4, atol=1e-4)
    assert model[0].bias.shape == (3,)
    assert model[0].table == short


def test_correcting_the_exact_multiplier_changes_nothing():
    model = nn.Sequential(ApproxConv2d(2, 3, 3, table=EXACT))
    x = torch.randn(2, 2, 5, 5)
    calibrate(model, [x])
    before = model[0].bias.detach().clone()
    correct_biases(model, [x])
    assert torch.equal(model[0].bias, before)
    with pytest.raises(ConfigError, match="no batch"):
        correct_biases(model, [])
    with pytest.raises(ConfigError, match="no approximate layer"):
        correct_biases(nn.Linear(2, 2), [x])
