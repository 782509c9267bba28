"""Cached and stopped evaluations say what whole ones say, and energies are sums over layers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from assignment_cases import EXACT, images, model, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.histogram import OperandRecording
from rtlgrad.lutgen.layer_energy import with_mapped_weights
from rtlgrad.lutgen.tuning import TUNED, tuned, weight_map
from rtlgrad.nn.assignment.energy import EnergyFigure, EnergyModel, ProductEnergy
from rtlgrad.nn.assignment.evaluation import AssignmentEvaluator, Measurement
from rtlgrad.nn.layer_tables import set_tables
from rtlgrad.nn.statistics import record_operands


def batches(net, count=48, size=16):
    """Images labelled as the exact network sees them, so that every loss is a change."""
    pixels = images(count)
    with torch.no_grad():
        labels = net(pixels).argmax(1)
    return [(pixels[at : at + size], labels[at : at + size]) for at in range(0, count, size)]


def logits(net, found, designs, pixels):
    set_tables(
        net, {n: found[d] for n, d in zip(("first", "second", "last"), designs, strict=True)}
    )
    with torch.no_grad():
        return net(pixels)


@pytest.mark.parametrize("cache_bytes", [0, 65_000, 1 << 30])
def test_cached_evaluation_is_that_of_the_plain_network_bit_for_bit(cache_bytes):
    found, net = tables(), model()
    evaluator = AssignmentEvaluator(net, batches(net), found, cache_bytes=cache_bytes)
    seen = []
    net.last.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    order = np.random.default_rng(0).permutation(list(product(found, repeat=3)))
    plain = model()
    for designs in [*order, *order[:5]]:
        seen.clear()
        measured = evaluator.measure(tuple(designs))
        expected = logits(plain, found, designs, images(48))
        assert torch.equal(torch.cat(seen), expected)
        labels = torch.cat([labels for _, labels in evaluator._batches])
        assert measured.correct == int((expected.argmax(1) == labels).sum())
        assert measured.count == measured.reference_correct == 48
    assert (evaluator.reused > 0) == (cache_bytes > 0)
    assert evaluator._cache._bytes <= cache_bytes


@pytest.mark.parametrize("outputs", [2, 4, 5, 7])
def test_a_full_memory_changes_no_result(outputs):
    found, net = tables(), model()
    whole = batches(net, 16)
    order = np.random.default_rng(outputs).permutation(list(product(found, repeat=3)))
    limit = outputs * 16 * 4 * 36 * 4 + 600  # bytes of so many outputs of a convolution
    small = AssignmentEvaluator(net, whole, found, cache_bytes=limit)
    kept = [small.measure(tuple(designs)).correct for designs in order]
    plain = AssignmentEvaluator(model(), whole, found)
    assert kept == [plain.measure(tuple(designs)).correct for designs in order]
    assert 0 < small._cache._bytes <= limit


def test_the_network_computes_as_before_after_an_evaluation():
    net = model()
    before = {name: layer.forward for name, layer in net.named_children()}
    AssignmentEvaluator(net, batches(net), tables(), cache_bytes=1 << 20).measure(("d0",) * 3)
    assert {name: layer.forward for name, layer in net.named_children()} == before


def test_a_hopeless_candidate_stops_early_and_another_does_not():
    net = model()
    bad = -tables()["d0"].products
    found = {"good": EXACT, "negative": type(EXACT)(bad, name="negative")}
    evaluator = AssignmentEvaluator(net, batches(net, 160), found)
    stopped = evaluator.measure(("negative",) * 3, stop_points=5)
    assert stopped.stopped
    assert stopped.count < 160
    assert stopped.loss_points > 5
    whole = evaluator.measure(("good",) * 3, stop_points=5)
    assert not whole.stopped
    assert whole.loss_points == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 400), st.floats(0, 1), st.floats(0.5, 20), st.integers(0, 2**32))
def test_losses_are_means_of_paired_differences(count, share, points, seed):
    rng = np.random.default_rng(seed)
    right, reference = (torch.from_numpy(rng.random(count) < p) for p in (share, 0.8))
    nothing = Measurement(0, 0, 0, 0, stopped=False, seconds=0.0)
    whole = nothing.with_batch(right, reference)
    parts = nothing.with_batch(right[:7], reference[:7]).with_batch(right[7:], reference[7:])
    assert whole == parts
    assert whole.correct == int(right.sum())
    differences = 100 * (reference.double() - right.double())
    assert whole.loss_points == pytest.approx(float(differences.mean()))
    if differences.abs().sum():
        spread = float(differences.std(correction=0)) / count**0.5
        assert whole.error_points >= spread - 1e-9
        assert whole.error_points == pytest.approx(spread) or spread < 100 / count
    if whole.is_surely_above(points):
        assert whole.loss_points > points
    better = nothing.with_batch(reference, right & reference)
    assert not better.is_surely_above(points)


def test_a_table_of_other_operands_is_refused():
    net = model()
    with pytest.raises(ConfigError, match="does not take the operands of layer") as caught:
        AssignmentEvaluator(net, batches(net), {"signed": exact_table(4, 4, signed=True)})
    assert caught.value.got == "s4 x s4"
    assert caught.value.expected == "u4 x u4"
    with pytest.raises(UnknownNameError):
        AssignmentEvaluator(net, batches(net), tables()).measure(("d0", "d1", "d9"))


def test_a_layer_that_runs_twice_cannot_be_assigned():
    net = model()
    net.forward = lambda x: net.last(net.relu(net.first(x) + net.first(x)).flatten(1))
    with pytest.raises(ConfigError, match="one by one"):
        AssignmentEvaluator(net, [(images(4), torch.zeros(4, dtype=torch.long))], tables())


def test_energy_is_products_times_energy_of_a_product():
    rng = np.random.default_rng(0)
    layers = {"a": 1000, "b": 250, "c": 40}
    figures = rng.uniform(1, 900, (2, 3, 3))
    energy = EnergyModel(
        layers,
        {
            design: {
                layer: ProductEnergy(*map(float, figures[d, at])) for at, layer in enumerate(layers)
            }
            for d, design in enumerate(("p", "q"))
        },
    )
    for chosen in product((0, 1), repeat=3):
        designs = [("p", "q")[d] for d in chosen]
        for kind, figure in enumerate(EnergyFigure):
            femtojoule = np.einsum(
                "l,l->", list(layers.values()), figures[list(chosen), range(3), kind]
            )
            assert energy.total_nj(designs, figure) == pytest.approx(femtojoule / 1e6)
    with pytest.raises(ConfigError, match="each layer needs a design"):
        energy.total_nj(["p"])


def test_mapped_histograms_are_those_of_a_network_with_mapped_weights():
    net, design = model(), tables()["d2"]
    mapping = weight_map(design)
    assert mapping.changed
    before = record_operands(net, [images(8)])
    mapped = with_mapped_weights(OperandRecording(before), mapping.codes)
    for one, two in zip(before, mapped, strict=True):
        assert two.counts.sum() == one.counts.sum()
        # What a layer adds up through the tuned table of its own weights, it adds up through the
        # plain table of the mapped ones.
        through_tuned = (one.counts * tuned(design, mapping).products.astype(np.int64)).sum()
        assert (two.counts * design.products.astype(np.int64)).sum() == through_tuned
    assert tuned(design, mapping).name == f"d2{TUNED}"


def test_tables_are_set_by_layer_or_not_at_all():
    net, found = model(), tables()
    set_tables(net, {"second": found["d1"]})
    assert [net.first.table.name, net.second.table.name] == [EXACT.name, "d1"]
    with pytest.raises(UnknownNameError, match="middle"):
        set_tables(net, {"first": found["d2"], "middle": found["d2"]})
    with pytest.raises(ConfigError):
        set_tables(net, {"first": found["d2"], "last": exact_table(5, 4)})
    assert net.first.table.name == EXACT.name
