"""An audit finds every wrong entry that is used, names it, and says what it did not look at.

The RTL is stood in for by the function that the design computes; tests/cli/test_audit_commands.py has the real one.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import AuditError, ConfigError, IdentityError
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.mantissa import MantissaTable, from_significands
from rtlgrad.nn import ApproxConv2d, approximate, calibrate
from rtlgrad.nn.audit import AuditPlan, audit_model
from rtlgrad.nn.audit.live import live_products
from rtlgrad.nn.audit.sample import stratified
from rtlgrad.nn.data import ImageData
from rtlgrad.nn.matmul import ApproxMatmul
from rtlgrad.nn.training import METRICS_NAME, TrainConfig, load_checkpoint, train
from rtlgrad.nn.training.auditing import TrainingAudit
from torch import nn
from torch.nn import functional


class Rtl:
    """Answers as a table did when the design was simulated, and counts what it is asked."""

    def __init__(self, table):
        self.table = table
        self.asked = []

    def entries(self, a, b):
        self.asked.append(np.stack([a, b]))
        if isinstance(self.table, MantissaTable):
            return self.table.codes[a, b].astype(np.int64)
        return self.table.products[a, b].astype(np.int64)


def cut(bits=3, wa=8, wb=8, signed=False):
    exact = exact_table(wa, wb, signed=signed)
    products = (exact.products >> bits) << bits
    return ProductTable(products, signed, signed, name=f"cut{bits}")


def flipped(table, a, b, bit=5):
    """Return the table with one bit of one entry flipped, under the same id."""
    if isinstance(table, MantissaTable):
        mantissa = table.mantissa.copy()
        mantissa[a, b] ^= 1
        return MantissaTable(
            table.mantissa_bits, mantissa, table.carry, name=table.name, id=table.id
        )
    products = table.products.copy()
    products[a, b] ^= 1 << bit
    return ProductTable(products, table.signed_a, table.signed_b, name=table.name, id=table.id)


def network(table, **options):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, groups=2),
        nn.Flatten(), nn.Linear(36, 3),
    )  # fmt: skip
    approximate(model, table, engine="numpy", **options)
    calibrate(model, [torch.rand(4, 1, 8, 8)])
    return model.eval()


IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def used_pairs(model, x):
    """Count the first convolution's pairs one by one, by unfolding the padded codes."""
    layer = model[0]
    a, w = layer._operands(x)
    padded = functional.pad(a.codes.int(), (1, 1, 1, 1), value=int(a.params.zero)).float()
    columns = functional.unfold(padded, 3).long()  # [B, 9, P]
    kernels = w.codes.flatten(1).long()  # [O, 9]
    counts = np.zeros((256, 256), dtype=np.int64)
    for o, k in np.ndindex(*kernels.shape):
        np.add.at(counts, (columns[:, k].numpy(), int(kernels[o, k])), 1)
    return counts


def test_a_network_of_right_products_is_confirmed_in_full():
    table = cut()
    rtl, model = Rtl(table), network(table)
    found = audit_model(model, [IMAGES], lambda _: rtl)
    assert found.is_right
    assert found.products_compared == found.products == 3 * (64 * 4 * 9 + 9 * 4 * 18 + 3 * 36)
    assert [layer.outputs_compared for layer in found.layers] == [768, 108, 9]
    assert [layer.results_compared for layer in found.layers] == [768, 108, 9]
    # Every distinct pair was asked exactly once, whatever the layers and batches.
    asked = np.concatenate(rtl.asked, axis=1)
    assert len(np.unique(asked, axis=1).T) == asked.shape[1] == found.coverage[0].asked
    assert found.coverage[0].not_covered == 65536 - asked.shape[1] > 0


def test_one_flipped_entry_in_use_is_named_with_its_uses():
    table = cut()
    counts = used_pairs(network(table), IMAGES)
    rarely = np.argwhere(counts == counts[counts > 0].min())
    a, b = (int(index) for index in rarely[len(rarely) // 2])
    wrong = flipped(table, a, b)
    found = audit_model(network(wrong), [IMAGES], lambda _: Rtl(table))
    assert not found.is_right
    first = next(one for one in found.wrong if one.layer == "0")
    assert (first.a, first.b, first.uses) == (a, b, counts[a, b])
    assert (first.table, first.rtl) == (wrong.products[a, b], table.products[a, b])
    assert {(one.a_code, one.b_code) for one in found.wrong} == {(a, b)}
    # The outputs that the entry goes into are wrong as well, and no others.
    layer = found.layers[0]
    assert 0 < layer.sums_wrong <= layer.results_wrong <= counts[a, b]


def test_an_entry_that_is_not_used_is_not_covered():
    table = cut()
    counts = used_pairs(network(table), IMAGES)
    model = network(table)
    everywhere = audit_model(model, [IMAGES], lambda _: Rtl(table)).coverage[0]
    # Weights never have code 0, so its column is never used.
    assert counts[:, 0].sum() == 0
    found = audit_model(network(flipped(table, 7, 0)), [IMAGES], lambda _: Rtl(table))
    assert found.is_right
    assert found.coverage[0].not_covered == everywhere.not_covered >= 256


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_outputs_are_summed_as_every_layer_and_accumulator_does(data, seed):
    torch.manual_seed(seed)
    signs = data.draw(st.tuples(st.booleans(), st.booleans()))
    rng = np.random.default_rng(seed)
    table = ProductTable(rng.integers(-500, 500, (16, 64)), *signs, name="any")
    groups = data.draw(st.integers(1, 2))
    layer = ApproxConv2d(
        2 * groups,
        3 * groups,
        data.draw(st.tuples(st.integers(1, 3), st.integers(1, 2))),
        stride=data.draw(st.integers(1, 2)),
        padding=data.draw(st.tuples(st.integers(0, 2), st.integers(0, 1))),
        groups=groups,
        table=table,
        engine=data.draw(st.sampled_from(["numpy", "auto"])),
        accumulator=data.draw(st.sampled_from(["int32", "wrap:9", "saturate:10"])),
    )
    if layer.options.accumulator.startswith("saturate"):
        layer.set_engine("auto")
    layer.activation.low.fill_(-1.0)
    layer.activation.high.fill_(2.0)
    model = nn.Sequential(layer.eval())
    x = torch.randn(2, 2 * groups, 6, 5)
    for plan in (AuditPlan(), AuditPlan(every=True), AuditPlan(pairs=20, outputs=12)):
        found = audit_model(model, [x], lambda _: Rtl(table), plan=plan)
        assert found.is_right
        (one,) = found.layers
        assert one.outputs_compared == (one.outputs if plan.pairs is None else one.outputs_compared)
        if plan.every:
            assert found.coverage[0].asked == one.products
    with live_products(model, lambda _: Rtl(table)):
        live = model(x)
    assert torch.equal(live, model(x))


def test_an_engine_that_sums_otherwise_is_found(monkeypatch):
    table = cut()
    model = network(table)
    sums = torch.ops.rtlgrad.table_conv2d

    def off_by_one(*args, **kwargs):
        made = sums(*args, **kwargs)
        made[0, 0, 0, 0] += 1
        return made

    monkeypatch.setattr("rtlgrad.nn.table_sums.table_conv2d", off_by_one)
    found = audit_model(model, [IMAGES], lambda _: Rtl(table))
    assert not found.is_right
    assert not found.wrong
    assert [layer.sums_wrong for layer in found.layers] == [1, 1, 0]
    assert [layer.outputs_wrong for layer in found.layers] == [1, 1, 0]


def test_a_layer_that_spoils_its_result_after_the_sums_is_found(monkeypatch):
    table = cut()
    model = network(table)
    right, spoilt = model[4].forward, []

    def forward(x):
        spoilt.append(1)
        return right(x) + (1.0 if len(spoilt) == 1 else 0.0)

    monkeypatch.setattr(model[4], "forward", forward)
    found = audit_model(model, [IMAGES], lambda _: Rtl(table))
    assert [layer.results_wrong for layer in found.layers] == [0, 0, 9]
    assert [layer.outputs_wrong for layer in found.layers] == [0, 0, 0]


def test_a_flipped_mantissa_is_found_and_zeros_use_no_entry():
    table = from_significands(exact_table(5, 5))
    model = nn.Sequential(nn.Linear(6, 3))
    approximate(model, table)
    with torch.no_grad():
        model[0].weight.fill_(1.5)  # column 8 of 16
        model[0].weight[0, 0] = 0.0
    x = torch.full((2, 6), 1.25)  # row 4
    x[1, 3] = 0.0
    assert audit_model(model, [x], lambda _: Rtl(table)).is_right
    model[0].set_table(flipped(table, 4, 8))
    found = audit_model(model, [x], lambda _: Rtl(table))
    (one,) = found.wrong
    # 36 products, less 2 with the zero weight, less 3 with the zero input.
    assert (one.a, one.b, one.uses) == (4, 8, 31)
    assert found.layers[0].outputs_wrong == 6
    model[0].set_table(flipped(table, 4, 9))
    assert audit_model(model, [x], lambda _: Rtl(table)).is_right


class Attend(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.scores = ApproxMatmul(table, engine="numpy")

    def forward(self, x):
        return self.scores(x, x.transpose(-2, -1))


def test_products_of_two_inputs_are_audited_and_counted():
    table = cut(2, signed=True)
    model, x = Attend(table), torch.randn(2, 3, 4, 5)
    calibrate(model, [x])
    found = audit_model(model.eval(), [x, x[:1]], lambda _: Rtl(table))
    assert found.is_right
    assert found.products_compared == 3 * 3 * 4 * 4 * 5


def test_layers_with_several_designs_and_one_without_rtl():
    table, other = cut(), cut(5)
    model = network(table, rules={"2": other, "4": exact_table(8, 8)})

    def simulators(wanted):
        known = {one.id: Rtl(one) for one in (table, other)}
        if wanted.id not in known:
            raise ConfigError("no RTL of the exact table")
        return known[wanted.id]

    found = audit_model(model, [IMAGES], simulators)
    assert found.is_right
    assert [layer.design for layer in found.layers] == ["cut3", "cut5", "exact8x8u"]
    assert [bool(layer.unchecked) for layer in found.layers] == [False, False, True]
    assert "no RTL of the exact table" in found.layers[2].unchecked
    assert {one.design for one in found.coverage} == {"cut3", "cut5"}

    def changed(wanted):
        raise IdentityError(f"the source of {wanted.name} changed")

    with pytest.raises(IdentityError, match="cut3"):
        audit_model(model, [IMAGES], changed)


def test_a_sample_takes_evenly_from_all_strata():
    counts = np.ones((16, 16), dtype=np.int64)
    values = np.arange(16)
    chosen = stratified(counts, values, values, 25, seed=0)
    # Classes 0, 1, 2-3, 4-7, 8-15: one pair from each of the 25 strata.
    edges = np.searchsorted([1, 2, 4, 8], values, side="right")
    a, b = np.nonzero(chosen)
    assert sorted(zip(edges[a], edges[b], strict=True)) == sorted(np.ndindex(5, 5))
    counts[8:] = 0
    assert not stratified(counts, values, values, 60, seed=0)[8:].any()
    assert np.array_equal(stratified(counts, values, values, 128, seed=0), counts > 0)


def test_plans_and_models_that_make_no_sense_are_refused():
    for wrong in ({"pairs": 0}, {"outputs": -1}, {"pairs": 5, "every": True}):
        with pytest.raises(ConfigError):
            AuditPlan(**wrong)
    with pytest.raises(ConfigError, match="no approximate layer"):
        audit_model(nn.Sequential(nn.Linear(2, 2)), [torch.rand(1, 2)], Rtl)
    with pytest.raises(ConfigError, match="no batch"):
        audit_model(network(cut()), [], lambda _: Rtl(cut()))
    with pytest.raises(ConfigError, match="every = 0"):
        TrainingAudit(0, Rtl)


def digits(count=64):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count)
    pixels = (labels[:, None, None, None] * 60 + rng.integers(0, 30, (count, 1, 28, 28))).clip(
        0, 255
    )
    split = torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels)
    return ImageData("grey", *split, *split, classes=tuple("abcd"), source="test")


def metrics(folder):
    return [json.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]


def test_training_is_audited_stops_at_a_mismatch_and_is_not_changed_by_it(tmp_path):
    table, data = cut(), digits()
    config = TrainConfig(
        "lenet300100", "grey", design="cut3", epochs=2, batch_size=16, threads=1, engine="numpy"
    )
    right = TrainingAudit(2, lambda _: Rtl(table), images=2)
    train(config, data, table, tmp_path / "audited", audit=right)
    train(config, data, table, tmp_path / "plain")
    first, second = metrics(tmp_path / "audited")
    assert "audit" not in first
    assert second["audit"]["right"] is True
    assert second["audit"]["products_compared"] == 2 * (784 * 300 + 300 * 100 + 100 * 4)
    mine, other = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("audited", "plain")
    )
    assert all(torch.equal(mine.model[name], other.model[name]) for name in other.model)

    wrong = Rtl(ProductTable(table.products + 1, name="another"))
    audit = TrainingAudit(1, lambda _: wrong, images=1)
    for _ in range(2):  # begun, and gone on with
        with pytest.raises(AuditError, match="after epoch 1") as caught:
            train(config, data, table, tmp_path / "stopped", audit=audit)
        assert "cut3" in str(caught.value)
    assert len(metrics(tmp_path / "stopped")) == 1
    train(config, data, table, tmp_path / "stopped", audit=replace(audit, stop=False))
    assert [line["audit"]["right"] for line in metrics(tmp_path / "stopped")] == [False, False]
