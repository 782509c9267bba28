"""Architecture matrices against brute force; the regression against NumPy; accuracies predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, IdentityError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import approximate, calibrate
from rtlgrad.nn.kinds import approx_layers
from rtlgrad.nn.prediction import (
    AccuracyPredictor,
    Measured,
    analyse,
    choose_spread,
    compare,
    design_metrics,
    fit_predictor,
    fit_quadratic,
    spearman,
)
from rtlgrad.nn.prediction.architecture import MAX_DIRECTIONS, Architecture, class_directions
from rtlgrad.nn.prediction.predictor import severity
from rtlgrad.nn.statistics import record_operands
from torch import nn

BITS = 4


class Net(nn.Module):
    """Convolutions with everything that moves a tap, a residual sum, and two linear layers."""

    def __init__(self, classes=3):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, (2, 3), padding="same", dilation=2, groups=2)
        self.hidden = nn.Linear(4, 5)
        self.last = nn.Linear(5, classes)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm(self.first(x)))
        x = x + torch.nn.functional.silu(self.second(x))
        return self.last(torch.tanh(self.hidden(x.mean((2, 3)))))


def network(signed=False, classes=3, seed=0):
    torch.manual_seed(seed)
    model = Net(classes)
    approximate(model, exact_table(BITS, BITS, signed=signed), engine="numpy")
    images = torch.randn(6, 2, 7, 6)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(images)  # statistics for the batch normalisation
    calibrate(model, [images])
    return model.eval(), images


def with_errors(errors, signed=False):
    return ProductTable(exact_table(BITS, BITS, signed=signed).exact + errors, signed, signed)


def random_table(rng, signed=False, reach=9):
    return with_errors(rng.integers(-reach, reach + 1, (1 << BITS, 1 << BITS)), signed)


def change_of_logits(model, images, layer, table):
    """Return the centred change of the mean logits by a table in one layer."""
    own, found = layer.table, []
    with torch.no_grad():
        for used in (own, table):
            layer.set_table(used)
            found.append(model(images).double())
    layer.set_table(own)
    change = found[1] - found[0]
    return (change - change.mean(1, keepdim=True)).mean(0).numpy()


@pytest.mark.parametrize("signed", [False, True])
def test_errors_of_the_last_layer_shift_the_logits_as_its_matrix_says(signed):
    """Nothing comes after it, so the first order is all there is, however large the errors."""
    model, images = network(signed)
    found = analyse(model, images)
    rng = np.random.default_rng(1)
    for _ in range(3):
        table = random_table(rng, signed)
        np.testing.assert_allclose(
            found.shifts(table)[found.index("last")],
            change_of_logits(model, images, model.last, table),
            rtol=1e-4,
            atol=1e-6,
        )


def test_one_entry_shifts_the_logits_by_its_element_of_the_matrix():
    model, images = network()
    found = analyse(model, images)
    (histogram,) = (one for one in record_operands(model, [images]) if one.layer == "last")
    for a, b in np.argwhere(histogram.counts > 0)[::5]:
        errors = np.zeros((1 << BITS, 1 << BITS), dtype=np.int64)
        errors[a, b] = 1
        change = change_of_logits(model, images, model.last, with_errors(errors))
        element = found.matrices[found.index("last"), :, a, b]
        assert np.abs(change).max() > 0
        np.testing.assert_allclose(element, change, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_inner_layers_against_finite_differences_of_a_float_network(signed):
    """The same network with float64 layers in place of quantized ones behind the error."""
    model, images = network(signed)
    found = analyse(model, images)
    rng = np.random.default_rng(2)
    for name in ("first", "second", "hidden"):
        errors = rng.integers(-9, 10, (1 << BITS, 1 << BITS))
        expected = straight_through_difference(model, images, name, errors)
        shift = found.shifts(with_errors(errors, signed))[found.index(name)]
        np.testing.assert_allclose(shift, expected, rtol=2e-3, atol=1e-5)


def straight_through_difference(model, images, name, errors, eps=1e-3):
    """Difference the mean logits of a float64 network that equals the quantized one at eps = 0.

    Each layer computes ``x_hat * w_hat`` in float64, where x_hat is the quantized activation of the
    unperturbed run plus what the perturbed activation gained, unless it was clamped.
    """
    layers = dict(approx_layers(model))
    inputs, sums = {}, {}

    def note(layer, given, output, key):
        inputs[key] = given[0].detach()
        own = layer.table
        zero = ProductTable(np.zeros_like(own.products), own.signed_a, own.signed_b)
        if key == name:
            parts = []
            for table in (ProductTable(errors, own.signed_a, own.signed_b), zero):
                layer.set_table(table)
                parts.append(type(layer).forward(layer, given[0]))
            layer.set_table(own)
            sums[key] = (parts[0] - parts[1]).double()

    with torch.no_grad():
        handles = [
            layer.register_forward_hook(lambda m, i, o, key=key: note(m, i, o, key))
            for key, layer in layers.items()
        ]
        model(images)
        for handle in handles:
            handle.remove()
        results = [_float_run(model, images, inputs, sums, name, s * eps) for s in (1, -1)]
    centred = [(one - one.mean(1, keepdim=True)).mean(0).numpy() for one in results]
    return (centred[0] - centred[1]) / (2 * eps)


def _float_run(model, images, inputs, sums, name, eps):
    def run(key):
        layer = model.get_submodule(key)

        def forward(x):
            with torch.enable_grad():  # without, a.x_hat is not rounded
                a, w = layer._operands(inputs[key].clone().requires_grad_())
            open_ = ((a.x_hat.detach() - inputs[key]).abs() <= a.params.scale * 0.5001).double()
            moved = a.x_hat.detach().double() + open_ * (x - inputs[key].double())
            weight = w.x_hat.detach().double()
            if isinstance(layer, nn.Linear):
                y = torch.nn.functional.linear(moved, weight)
            else:
                left, right, top, bottom = layer._reversed_padding_repeated_twice
                y = torch.nn.functional.conv2d(
                    torch.nn.functional.pad(moved, (left, right, top, bottom)),
                    weight, None, layer.stride, 0, layer.dilation, layer.groups,
                )  # fmt: skip
            if layer.bias is not None:
                y = y + layer.bias.double().view(-1, *[1] * (y.ndim - 2))
            return y + eps * sums[key] if key == name else y

        return forward

    norm = model.norm
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    x = run("first")(images.double())
    x = (x - norm.running_mean.double().view(-1, 1, 1)) * gain.view(-1, 1, 1)
    x = torch.nn.functional.silu(x + norm.bias.double().view(-1, 1, 1))
    x = x + torch.nn.functional.silu(run("second")(x))
    return run("last")(torch.tanh(run("hidden")(x.mean((2, 3)))))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.integers(-4, 4))
def test_the_shift_is_linear_in_the_errors_and_zero_without(seed, factor):
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(3, 4, 1 << BITS, 1 << BITS)).astype(np.float32)
    found = Architecture(("a", "b", "c"), matrices, False, False, 1.0, 1)
    one, two = (rng.integers(-9, 10, (1 << BITS, 1 << BITS)) for _ in range(2))
    both = found.shifts(with_errors(one + factor * two))
    parts = found.shifts(with_errors(one)) + factor * found.shifts(with_errors(two))
    np.testing.assert_allclose(both, parts, rtol=1e-4, atol=1e-3)
    table = with_errors(one)
    np.testing.assert_allclose(found.shift(table), found.shifts(table).sum(0), rtol=1e-4, atol=1e-3)
    assert found.ame(exact_table(BITS, BITS)) == 0.0
    assert found.ame(with_errors(-one)) == pytest.approx(found.ame(with_errors(one)), rel=1e-6)


def test_what_the_network_is_analysed_with_does_not_matter_and_is_left_as_it_was():
    model, images = network()
    before = analyse(model, images)
    table = random_table(np.random.default_rng(3))
    for _, layer in approx_layers(model):
        layer.set_table(table)
    model.train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    np.testing.assert_array_equal(analyse(model, images).matrices, before.matrices)
    assert model.training
    assert all(layer.table == table for _, layer in approx_layers(model))
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_images_are_averaged_whatever_the_chunks(monkeypatch):
    model, images = network()
    whole = analyse(model, images)
    monkeypatch.setattr("rtlgrad.nn.prediction.architecture._CHUNK", 4)  # 4 and 2 images
    parts = analyse(model, images)
    np.testing.assert_allclose(parts.matrices, whole.matrices, rtol=1e-4, atol=1e-6)
    assert parts.margin == pytest.approx(whole.margin, rel=1e-5)


def test_pairs_that_never_meet_weigh_nothing():
    model, images = network()
    found = analyse(model, images)
    for histogram in record_operands(model, [images]):
        matrix = found.matrices[found.index(histogram.layer)]
        assert (matrix[:, histogram.counts == 0] == 0).all()
        assert (matrix[:, histogram.counts > 0] != 0).any()


def test_directions_measure_centred_shifts():
    rng = np.random.default_rng(4)
    shift = rng.normal(size=7)
    along = class_directions(7).numpy() @ shift
    assert np.mean(along**2) == pytest.approx(np.var(shift), rel=1e-5)
    np.testing.assert_allclose(class_directions(7).numpy() @ np.ones(7), 0, atol=1e-6)
    many = class_directions(400).numpy()
    assert many.shape == (MAX_DIRECTIONS, 400)
    squares = [np.mean((many @ one) ** 2) / np.var(one) for one in rng.normal(size=(300, 400))]
    assert np.mean(squares) == pytest.approx(1.0, abs=0.1)


def test_an_assignment_adds_its_layers_and_one_table_everywhere_is_the_whole():
    model, images = network()
    found = analyse(model, images)
    rng = np.random.default_rng(5)
    tables = [random_table(rng, reach=reach) for reach in (1, 2, 4, 8, 16)]
    known = [(table, 0.9 - 0.1 * i) for i, table in enumerate(tables)]
    predictor = fit_predictor(found, known, exact=0.95, chance=1 / 3)
    one, two = tables[2], tables[3]
    expected = found.shifts(one)[found.index("first")] + found.shifts(two)[found.index("last")]
    assert predictor.ame({"first": one, "last": two}) == pytest.approx(
        np.sqrt(np.mean(expected**2)), rel=1e-5
    )
    everywhere = predictor.predict(dict.fromkeys(found.layers, one))
    assert everywhere.ame == pytest.approx(predictor.predict(one).ame, rel=1e-4)
    assert predictor({}) == pytest.approx(float(predictor.regression.value(0.0)))
    assert predictor({"first": one}) == predictor.predict({"first": one}).accuracy
    with pytest.raises(ConfigError, match="no approximate layer 'third'"):
        predictor({"third": one})
    with pytest.raises(ConfigError, match="operands"):
        predictor.predict(exact_table(8, 8))


def test_networks_that_cannot_be_analysed_are_refused():
    model, images = network()
    with pytest.raises(ConfigError, match="no image"):
        analyse(model, images[:0])
    with pytest.raises(ConfigError, match="no approximate layer"):
        analyse(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
    approximate(model, exact_table(BITS, BITS), rules={"last": exact_table(5, 5)})
    calibrate(model, [images])
    with pytest.raises(ConfigError, match="different widths"):
        analyse(model, images)
    line = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten())
    approximate(line, exact_table(BITS, BITS))
    calibrate(line, [torch.randn(2, 1, 3)])
    with pytest.raises(ConfigError, match="'0' cannot be weighed"):
        analyse(line, torch.randn(2, 1, 3))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(4, 12))
def test_the_regression_is_numpys_and_its_residuals_leave_one_out(seed, count):
    rng = np.random.default_rng(seed)
    x, y = rng.permutation(20)[:count] / 20 + rng.uniform(0, 0.02, count), rng.uniform(0, 1, count)
    fitted = fit_quadratic(x, y, low=-9.0, high=9.0)
    np.testing.assert_allclose(fitted.value(x), np.polyval(np.polyfit(x, y, 2), x), atol=1e-6)
    for i in range(count):
        rest = np.polyfit(np.delete(x, i), np.delete(y, i), 2)
        assert fitted.residuals[i] == pytest.approx(
            abs(y[i] - np.clip(np.polyval(rest, x[i]), -9, 9)), abs=1e-5
        )


def test_a_parabola_is_found_without_error_and_its_interval_is_a_point():
    x = np.linspace(0, 1, 12)
    fitted = fit_quadratic(x, 0.8 - 0.3 * x - 0.2 * x**2, low=0.1, high=0.8)
    np.testing.assert_allclose(fitted.interval(0.33), 0.8 - 0.099 - 0.2 * 0.33**2, atol=1e-9)
    assert fitted.value(-5.0) == 0.1
    assert fitted.value(9.0) == 0.1


def test_jackknife_intervals_hold_about_the_share_that_they_promise():
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(300):
        x = rng.uniform(0, 1, 21)
        y = 0.7 - 0.5 * x**2 + rng.normal(0, 0.03, 21)
        fitted = fit_quadratic(x[:20], y[:20], low=0.0, high=1.0, level=0.8)
        low, high = fitted.interval(float(x[20]))
        inside.append(low <= y[20] <= high)
    assert 0.72 < np.mean(inside) < 0.9
    few = fit_quadratic([0, 1, 2, 3], [0.4, 0.3, 0.3, 0.1], low=0, high=1)
    assert few.attained == pytest.approx(4 / 5)


def test_regressions_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="too few measured designs"):
        fit_quadratic([0, 1, 1, 1, 2], [1, 1, 1, 1, 1], low=0, high=1)
    with pytest.raises(ConfigError, match="one length"):
        fit_quadratic([0, 1, 2, 3], [1, 1, 1], low=0, high=1)
    with pytest.raises(ConfigError, match="illegal level"):
        fit_quadratic([0, 1, 2, 3], [1, 1, 1, 1], low=0, high=1, level=1.0)


def test_designs_to_measure_are_spread_over_their_errors():
    assert choose_spread([0.0, 0.01, 0.02, 0.5, 0.49, 1.0], 3) == [0, 3, 5]
    assert choose_spread([0.3, 0.3, 0.3], 2) == [0, 1]
    assert choose_spread([0.3, 0.1], 9) == [0, 1]
    with pytest.raises(ConfigError, match="no design"):
        choose_spread([0.3], 0)


def test_spearman_of_ties_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(7)
    for _ in range(20):
        x, y = rng.integers(0, 5, 12), rng.integers(0, 9, 12)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1, 2], [2, 1]) is None


def test_the_comparison_finds_the_metric_that_accuracy_follows():
    rng = np.random.default_rng(8)
    good, other = rng.uniform(0.1, 9, 40), rng.uniform(0.1, 9, 40)
    accuracy = 0.9 - 0.7 * severity(good, 2.0)
    rows = {
        row.metric: row
        for row in compare(
            {"good": good, "other": other}, accuracy, units={"good": 2.0}, exact=0.9, chance=0.1,
            fit=8,
        )
    }  # fmt: skip
    assert rows["good"].spearman == pytest.approx(1.0)
    assert rows["good"].held_out == pytest.approx(0.0, abs=1e-9)
    assert abs(rows["other"].spearman) < 0.5
    assert rows["other"].held_out > 0.05


def test_data_weighted_metrics_are_means_over_the_products_that_happen():
    model, images = network()
    rng = np.random.default_rng(9)
    table = random_table(rng)
    histograms = record_operands(model, [images])
    found = design_metrics([table], analyse(model, images), histograms)
    pairs = [one.counts / one.products for one in histograms]
    mean = sum((one.counts * table.error).sum() for one in histograms)
    total = sum(one.products for one in histograms)
    assert found["data-weighted |mean error|"][0] == pytest.approx(abs(mean / total))
    assert found["data-weighted |mean error|, sum over layers"][0] == pytest.approx(
        sum(abs((share * table.error).sum()) for share in pairs)
    )


def test_measured_accuracies_are_kept_and_belong_to_one_network(tmp_path):
    table = random_table(np.random.default_rng(10))
    file, identity = tmp_path / "measured.json", {"checkpoint_sha256": "abc", "test_images": 5}
    Measured.read(file, identity).add(table, 0.625)
    assert Measured.read(file, identity).get(table) == 0.625
    with pytest.raises(IdentityError, match="another network: test_images differs"):
        Measured.read(file, identity | {"test_images": 6})
    file.write_text('{"network": {}, "accuracy": {"x": 62.5}}')
    with pytest.raises(ConfigError, match=r"62\.5"):
        Measured.read(file, identity)
    file.write_text("[1]")
    with pytest.raises(ConfigError, match="holds no measured accuracies"):
        Measured.read(file, identity)
    plain = tmp_path / "measured.csv"
    plain.write_text("design,accuracy\ntable,0.5\n")
    assert Measured.read(plain, identity).get(table) == 0.5
    plain.write_text("table,0.5,0.6\n")
    with pytest.raises(ConfigError, match=r"not design,accuracy"):
        Measured.read(plain, identity)


def test_a_predictor_is_a_callable_for_a_search():
    model, images = network()
    found = analyse(model, images)
    tables = [random_table(np.random.default_rng(i), reach=i) for i in (1, 3, 9, 27)]
    known = [(table, 0.9 / (1 + i)) for i, table in enumerate(tables)]
    predictor = fit_predictor(found, known, exact=0.9, chance=0.1)
    assert isinstance(predictor, AccuracyPredictor)
    values = [predictor({"first": table}) for table in tables]
    assert all(0.1 <= value <= 0.9 for value in values)
    with pytest.raises(ConfigError, match="worse than chance"):
        fit_predictor(found, known, exact=0.05, chance=0.1)
