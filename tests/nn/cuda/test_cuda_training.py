"""Training through the CUDA ops gives the CPU engine's numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cuda_cases import engine_on
from rtlgrad.lutgen import exact_table
from rtlgrad.nn import ApproxConv2d, ApproxLinear

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("emulated_training.py")


@pytest.fixture(scope="module")
def results():
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_two_steps_of_training_give_the_same_bits(results):
    """ResNet-20 by a table and by mantissas; attention and a recurrent layer with every option."""
    assert results["emulated"] == results["native"]
    assert len(results["native"]) >= 9


def test_all_of_it_went_through_the_kernels(results):
    sums = {"table_lowrank", "table_few", "mantissa_rows", "lut_gradient_x", "lut_gradient_w"}
    assert {"quantize", "finish", *sums} <= set(results["kernels"])
    assert {"table_rows", "table_expanded"} & set(results["kernels"])


def test_quantization_refuses_what_the_cpu_refuses(results):
    nan, scale = results["emulated"]["refusals"]
    assert "holds NaN" in nan
    assert "not a finite positive number" in scale


def test_ops_keep_the_contract_of_torch_library(results):
    assert results["opcheck"] == ["SUCCESS"]


@pytest.mark.gpu
@pytest.mark.parametrize("signed", [False, True])
def test_layers_on_the_gpu_give_the_cpus_bits(signed):
    engine_on("gpu")
    torch.manual_seed(0)
    table = exact_table(8, 8, signed=signed)
    conv = ApproxConv2d(6, 10, 3, stride=2, padding=1, groups=2, table=table)
    linear = ApproxLinear(30, 7, table=table)
    images, rows = torch.randn(4, 6, 17, 19), torch.randn(5, 30)
    for layer, x in ((conv, images), (linear, rows)):
        layer(x)  # finds the range
        layer.eval()
        want = layer(x)
        assert torch.equal(layer.cuda()(x.cuda()).cpu(), want)
