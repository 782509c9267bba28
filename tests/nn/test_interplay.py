"""Every kind of gradient and layer at home in torch's machinery."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn import approximate, calibrate, synchronize_ranges
from torch import distributed, nn
from torch.utils.checkpoint import checkpoint

ROUGH = ProductTable(exact_table(8, 8).products >> 8 << 8, name="rough")
OPTIONS = [
    {"gradient": "lut"},
    {"gradient": "slope"},
    {"quantizer": "lsq"},
    {"accumulator": "wrap:20"},
    {"accumulator": "saturate:20", "gradient": "lut:4"},
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4),
        nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip


def prepared(**options):
    model = network()
    approximate(model, ROUGH, **options)
    calibrate(model, [inputs()])
    return model.eval()


def inputs():
    return torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def gradients(model, run=None):
    model.zero_grad()
    out = (run or model)(inputs())
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out, [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_compiled_equals_eager(options):
    model = prepared(**options)
    out, wanted = gradients(model)
    torch.compiler.reset()
    again, got = gradients(model, torch.compile(model, backend="aot_eager"))
    torch.testing.assert_close(again, out)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_checkpointing_autocast_and_copies_change_nothing(options):
    model = prepared(**options)
    out, wanted = gradients(model)
    twin = copy.deepcopy(model)
    ways = [
        gradients(model, lambda x: checkpoint(model, x, use_reentrant=False)),
        gradients(twin),
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ways.append(gradients(model))
    for again, got in ways:
        assert torch.equal(again.float(), out)
        for mine, theirs in zip(got, wanted, strict=True):
            assert torch.equal(mine, theirs)


def test_checkpointing_with_random_rounding_repeats_with_the_seed():
    model = prepared(gradient="table")
    torch.manual_seed(5)
    _, wanted = gradients(model)
    torch.manual_seed(5)
    _, got = gradients(model, lambda x: checkpoint(model, x, use_reentrant=False))
    for mine, theirs in zip(got, wanted, strict=True):
        assert torch.equal(mine, theirs)


def losses_of(rank, size, gradient):
    """Train the same few steps as one of several processes; return the mean losses."""
    model = network()
    approximate(model, ROUGH, gradient=gradient)
    if size > 1:
        assert synchronize_ranges(model) == 3
    parallel = nn.parallel.DistributedDataParallel(model) if size > 1 else model
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(6):
        x = torch.randn(8, 1, 6, 6, generator=generator)
        y = torch.randint(0, 3, (8,), generator=generator)
        part = slice(rank * 8 // size, (rank + 1) * 8 // size)
        loss = nn.functional.cross_entropy(parallel(x[part]), y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total = loss.detach() / size
        if size > 1:
            distributed.all_reduce(total)
        losses.append(total.item())
    return losses


PROCESS = """
import json, sys, torch
sys.path.insert(0, {tests!r})
from test_interplay import losses_of
torch.set_num_threads(1)
rank = int(sys.argv[1])
# A file brings them together: a port that is free now need not be so when it is asked for.
torch.distributed.init_process_group("gloo", {store!r}, rank=rank, world_size=2)
losses = {{name: losses_of(rank, 2, name) for name in {gradients!r}}}
if rank == 0:
    print(json.dumps(losses))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tmp_path):
    gradients = ["ste", "lut", "slope"]
    store = (tmp_path / "store").as_uri()
    text = PROCESS.format(tests=str(Path(__file__).parent), store=store, gradients=gradients)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(rank)],
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ended = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(process.returncode == 0 for process in started), ended
    two = json.loads(ended[0][0].splitlines()[-1])
    for gradient in gradients:
        one = losses_of(0, 1, gradient)
        assert two[gradient] == pytest.approx(one, rel=1e-3)
        assert len({round(loss, 4) for loss in one}) > 3  # it does learn something
