"""Recorded operands are those that are multiplied: each product once, with its two codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, RecordError, UnknownNameError
from rtlgrad.cosim.design import pick_design, read_design, references
from rtlgrad.cosim.float_format import FloatFormat, FloatPart, number_format
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.float_operands import for_ports
from rtlgrad.lutgen.histogram import (
    OperandHistogram,
    OperandRecording,
    is_recording,
    load_recording,
    save_recording,
)
from rtlgrad.lutgen.mantissa import from_significands
from rtlgrad.nn import ApproxConv2d, ApproxLinear, approximate, calibrate
from rtlgrad.nn.matmul import ApproxMatmul
from rtlgrad.nn.statistics import record_operands
from rtlgrad.nn.training import count_products
from torch import nn


def entry_table(rng, wa, wb, signed_a, signed_b):
    return ProductTable(rng.integers(-500, 500, (1 << wa, 1 << wb)), signed_a, signed_b, name="any")


def sum_of_products(layer, x):
    """Return the sum of the table's entries over all products of a layer, in integers.

    What a layer gives for one table and for that table with every entry one higher differ by the
    scale of each channel, once per product; so the sum of entries can be had without looking at
    any code: zero the corrections by taking the difference to the table of zeros.
    """
    table = layer.table
    with torch.no_grad():
        full = layer(x).double()
        zeros = np.zeros_like(table.products)
        layer.set_table(ProductTable(zeros, table.signed_a, table.signed_b))
        empty = layer(x).double()
        layer.set_table(table)
    a, w = layer._operands(x if x.ndim == 4 else x.reshape(-1, x.shape[-1]))
    scale = (a.params.scale * w.params.scale).double()
    shape = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
    return float(((full - empty) / scale.view(shape)).sum())


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_histogram_weighs_any_table_as_the_layer_does(data, seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    widths = st.sampled_from([2, 4, 8, 9])
    table = entry_table(rng, *data.draw(st.tuples(widths, widths, st.booleans(), st.booleans())))
    if data.draw(st.booleans()):
        groups = data.draw(st.integers(1, 2))
        layer = ApproxConv2d(
            2 * groups,
            3 * groups,
            data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
            stride=data.draw(st.integers(1, 2)),
            padding=data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
            dilation=data.draw(st.integers(1, 2)),
            groups=groups,
            padding_mode=data.draw(st.sampled_from(["zeros", "replicate"])),
            bias=False,
            table=table,
            engine="numpy",
        )
        x = torch.randn(2, 2 * groups, 7, 6)
    else:
        layer = ApproxLinear(5, 4, bias=False, table=table, engine="numpy")
        x = torch.randn(3, 5)
    layer.activation.low.fill_(-1.5)
    layer.activation.high.fill_(2.0)
    (found,) = record_operands(nn.Sequential(layer.eval()), [x])
    expected = sum_of_products(layer, x)
    weighed = float(np.sum(found.counts * table.products))
    assert weighed == pytest.approx(expected, rel=0, abs=1.0)
    assert found.counts.shape == table.products.shape
    assert (found.signed_a, found.signed_b) == (table.signed_a, table.signed_b)


def small_model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3, stride=2, groups=2),
        nn.Flatten(),
        nn.Linear(18, 3),
    )
    approximate(model, exact_table(8, 8), rules={"4": None}, engine="numpy")
    calibrate(model, [torch.rand(4, 1, 8, 8)])
    return model


def test_every_product_is_counted_once_over_all_batches():
    model = small_model().train()
    batches = [(torch.rand(3, 1, 8, 8), torch.zeros(3)), torch.rand(2, 1, 8, 8)]
    found = {one.layer: one for one in record_operands(model, batches)}
    products = count_products(model, (1, 8, 8))
    assert set(found) == {"0", "2"}
    assert {name: one.products for name, one in found.items()} == {
        name: 5 * products[name] for name in found
    }
    assert all(module.training for module in model.modules())
    # Batch by batch or all at once, the products are the same.
    (first, second) = record_operands(model, [batches[0][0]])
    rest = {one.layer: one.counts for one in record_operands(model, [batches[1]])}
    assert np.array_equal(first.counts + rest["0"], found["0"].counts)
    assert np.array_equal(second.counts + rest["2"], found["2"].counts)
    # Unsigned weights never have code 0; padding has the code of 0.0, here activation code 0.
    assert found["0"].counts[:, 0].sum() == 0
    # Of the 24 * 24 taps of an 8 x 8 image, 22 * 22 lie inside.
    border = 5 * 4 * (24**2 - 22**2)
    assert found["0"].counts[0].sum() >= border


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(ConfigError, match="no approximate layer"):
        record_operands(nn.Sequential(nn.Linear(2, 2)), [torch.rand(1, 2)])
    model = small_model()
    with pytest.raises(ConfigError, match="no batch"):
        record_operands(model, [])
    uncalibrated = nn.Sequential(nn.Linear(2, 2))
    approximate(uncalibrated, exact_table(8, 8))
    with pytest.raises(ConfigError, match="activation range"):
        record_operands(uncalibrated, [torch.rand(1, 2)])


def recording():
    rng = np.random.default_rng(0)
    return OperandRecording(
        tuple(
            OperandHistogram(name, rng.integers(0, 9, (16, 8)), False, True, "mul", "id")
            for name in ("conv1", "fc")
        ),
        {"images": 3},
    )


def test_a_recording_survives_its_file(tmp_path):
    file, made = tmp_path / "operands.npz", recording()
    save_recording(made, file)
    assert is_recording(file)
    read = load_recording(file)
    assert read.content_hash == made.content_hash
    assert read.source == {"images": 3}
    assert read.layer("fc").operands == (4, 3, False, True)
    assert np.array_equal(read.layer("fc").counts, made.layers[1].counts)
    total = read.together()
    assert np.array_equal(total.counts, made.layers[0].counts + made.layers[1].counts)
    assert total.design == "mul"
    with pytest.raises(UnknownNameError, match="conv1"):
        read.layer("conv")
    assert not read.layers[0].counts.flags.writeable


def test_a_changed_or_foreign_file_is_refused(tmp_path):
    file = tmp_path / "operands.npz"
    save_recording(recording(), file)
    with np.load(file) as content:
        arrays = dict(content)
    arrays["counts_0"] = arrays["counts_0"].copy()
    arrays["counts_0"][0, 0] += 1
    np.savez(file, **arrays)
    with pytest.raises(RecordError, match="was changed"):
        load_recording(file)
    np.savez(file, a=np.zeros(3))
    assert not is_recording(file)
    for write in (lambda: None, lambda: file.write_bytes(b"PK"), file.unlink):
        write()
        with pytest.raises(RecordError, match="no recording of operands"):
            load_recording(Path(file))
    assert not is_recording(file)


def test_layers_of_different_operands_have_no_sum():
    first = recording().layers[0]
    other = OperandHistogram("fc", np.ones((16, 8), dtype=np.int64), True, True, "mul", "id")
    with pytest.raises(ConfigError, match="--layer"):
        OperandRecording((first, other)).together()
    for counts in (np.ones((3, 4), dtype=np.int64), -np.ones((4, 4), dtype=np.int64)):
        with pytest.raises(RecordError, match="histogram of layer 'x'"):
            OperandHistogram("x", counts, False, False, "mul", "id")


class Squares(nn.Module):
    """A product of two inputs: of x with its own transpose."""

    def __init__(self, table):
        super().__init__()
        self.product = ApproxMatmul(table, engine="numpy")

    def forward(self, x):
        return self.product(x, x.transpose(-2, -1))


def test_products_of_two_inputs_are_counted_though_both_change():
    rng = np.random.default_rng(0)
    model = Squares(entry_table(rng, 4, 5, False, True)).eval()
    batches = [torch.randn(2, 3, 4), torch.randn(1, 3, 4)]
    calibrate(model, batches)
    (found,) = record_operands(model, batches)
    expected = np.zeros((16, 32), dtype=np.int64)
    for x in batches:
        layer = model.product
        a = layer._quantize(layer.activation, x).codes.long()
        b = layer._quantize(layer.right, x, layer.operands[1]).codes.long()
        for image, m, n, k in np.ndindex(len(x), 3, 3, 4):
            expected[a[image, m, k], b[image, n, k]] += 1
    assert np.array_equal(found.counts, expected)


def mantissa_of(x, bits):
    return int((abs(x) / 2.0 ** np.floor(np.log2(abs(x))) - 1) * (1 << bits))


def test_of_mantissa_tables_the_mantissas_of_normal_operands_are_counted(tmp_path):
    table = from_significands(exact_table(5, 5))
    torch.manual_seed(0)
    layer = nn.Linear(6, 3)
    model = nn.Sequential(layer)
    approximate(model, table)
    x = torch.randn(2, 6)
    x[0, 1] = 0.0
    (found,) = record_operands(model, [x])
    expected = np.zeros((16, 16), dtype=np.int64)
    for m, n, k in np.ndindex(2, 3, 6):
        a, b = float(x[m, k]), float(layer.weight.detach()[n, k])
        if a and b:
            expected[mantissa_of(a, 4), mantissa_of(b, 4)] += 1
    assert found.mantissas
    assert np.array_equal(found.counts, expected)
    save_recording(OperandRecording((found,)), tmp_path / "operands.npz")
    assert load_recording(tmp_path / "operands.npz").layers[0].mantissas


def test_mantissas_become_operands_of_the_ports():
    rtl = Path(__file__).resolve().parents[2] / "rtl"
    counts = np.random.default_rng(0).integers(0, 9, (8, 8))
    one = OperandHistogram("fc", counts, False, False, "mant3_exact", "id", mantissas=True)
    of_mantissas = read_design(pick_design("mant3_exact", references(rtl / "mant_exact.v")))
    assert for_ports(one, of_mantissas.interface) is one
    form = FloatFormat(FloatPart.SIGNIFICAND, 3)
    significands = for_ports(one, replace(of_mantissas.interface, format=form))
    assert np.array_equal(significands.counts[8:, 8:], counts)
    assert significands.products == one.products
    for wrong in (None, number_format(8, 3)):
        with pytest.raises(ConfigError, match="mantissas alone"):
            for_ports(one, replace(of_mantissas.interface, format=wrong))
