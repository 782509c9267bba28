"""The CUDA kernels for mantissa tables equal the NumPy specification bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cuda_cases import (
    DEVICES,
    SMALL,
    SPECIAL,
    convolutions,
    engine_on,
    random_mantissas,
    random_numbers,
    same_bits,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.nn.engines import get_engine
from rtlgrad.nn.engines.cuda.gpus import GPUS
from rtlgrad.nn.engines.mantissa_types import SUM_BLOCK

SPECIFICATION = get_engine("numpy").mantissa
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=6, deadline=None)
@given(case=convolutions(), bits=st.sampled_from([1, 4, 7, 8, 11]), wild=st.booleans())
def test_all_three_products_of_training_equal_specification(device, case, bits, wild):
    x_shape, w_shape, geometry, seed = case
    rng = np.random.default_rng(seed)
    table, engine = random_mantissas(rng, bits), engine_on(device).mantissa
    x, w = (random_numbers(rng, shape, wild=wild) for shape in (x_shape, w_shape))
    out = SPECIFICATION.conv2d(x, w, table, geometry)
    assert same_bits(engine.conv2d(x, w, table, geometry), out)
    grad = random_numbers(rng, out.shape, wild=wild)
    for name, operands, size in (
        ("conv2d_input_grad", (grad, w), x_shape[2:]),
        ("conv2d_weight_grad", (x, grad), w_shape[2:]),
    ):
        got, want = (
            getattr(which, name)(*operands, table, geometry, size)
            for which in (engine, SPECIFICATION)
        )
        assert same_bits(got, want), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wild", [False, True])
def test_matmul_equals_specification_across_tiles(device, wild):
    rng = np.random.default_rng(1)
    table = random_mantissas(rng, 7)
    a, b = random_numbers(rng, (257, 9), wild=wild), random_numbers(rng, (9, 65), wild=wild)
    want = SPECIFICATION.matmul(a, b, table)
    assert same_bits(engine_on(device).mantissa.matmul(a, b, table), want)


# With idle multiprocessors each block of the sum is a split of the grid, without them it is not.
@pytest.mark.parametrize(("multiprocessors", "kernels"), [(4, 2), (1, 1)])
def test_sums_of_several_blocks_equal_specification(multiprocessors, kernels):
    rng = np.random.default_rng(2)
    table = random_mantissas(rng, 7)
    a, b = (random_numbers(rng, s, wild=True) for s in ((3, SUM_BLOCK + 5), (SUM_BLOCK + 5, 2)))
    gpu = replace(GPUS["H100"], multiprocessors=multiprocessors)
    engine = engine_on("ascending", gpu)
    want = SPECIFICATION.matmul(a, b, table)
    assert same_bits(engine.mantissa.matmul(a, b, table), want)
    names = [launch.kernel.name for launch in engine.tensors().device.launched]
    assert names == ["mantissa_rows", "sum_parts"][:kernels]


@pytest.mark.gpu
def test_a_deep_product_equals_specification_on_the_gpu():
    rng = np.random.default_rng(2)
    table = random_mantissas(rng, 7)
    a, b = (random_numbers(rng, s, wild=True) for s in ((70, 9000), (9000, 40)))
    want = SPECIFICATION.matmul(a, b, table)
    assert same_bits(engine_on("gpu").mantissa.matmul(a, b, table), want)


@pytest.mark.parametrize("bits", [3, 7, 9])
def test_products_of_every_pair_of_special_numbers(bits):
    rng = np.random.default_rng(3)
    table = random_mantissas(rng, bits)
    extremes = np.array([1, -1.9, 2.0**-126, -(2.0**-126), 1.99 * 2.0**127, 2.0**-63], np.float32)
    numbers = np.concatenate([SPECIAL, extremes])
    a, b = numbers[:, None], numbers[None, :]
    want = SPECIFICATION.matmul(a, b, table)
    assert same_bits(engine_on("ascending").mantissa.matmul(a, b, table), want)


def test_bfloat16_operands_are_their_float32_values():
    rng = np.random.default_rng(4)
    table = random_mantissas(rng, 7)
    a, b = (
        torch.from_numpy(random_numbers(rng, shape, wild=True)).bfloat16()
        for shape in ((20, 30), (30, 10))
    )
    want = SPECIFICATION.matmul(a.float().numpy(), b.float().numpy(), table)
    sums = engine_on("ascending").tensors()
    assert same_bits(sums.mantissa.matmul(a, b, table).numpy(), want)


def test_a_gpu_of_little_shared_memory_gives_the_same_bits():
    rng = np.random.default_rng(5)
    table = random_mantissas(rng, 7)
    a, b = random_numbers(rng, (1030, 20), wild=True), random_numbers(rng, (20, 7), wild=True)
    want = SPECIFICATION.matmul(a, b, table)
    assert same_bits(engine_on("ascending", SMALL).mantissa.matmul(a, b, table), want)
