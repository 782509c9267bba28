"""Trains small networks on the CPU engine, then through the CUDA ops on the emulator; prints both.

Run as a program: from then on CPU tensors of the process take the CUDA ops.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from rtlgrad.lutgen import ProductTable
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.nn import approximate, cuda_ops
from rtlgrad.nn.engines import registry
from rtlgrad.nn.engines.cuda import CudaEngine
from rtlgrad.nn.engines.cuda.emulator import EmulatedDevice
from rtlgrad.nn.engines.types import Availability
from rtlgrad.nn.mantissa_ops import mantissa_conv2d, mantissa_linear
from rtlgrad.nn.mantissa_tables import load_mantissa_table
from rtlgrad.nn.models import build_model
from rtlgrad.nn.quantize import fake_quantize
from torch import nn

EXACT = np.arange(256)[:, None] * np.arange(256)[None, :]
# Close to the product, so that training makes sense, and neither commutative nor 0 at 0.
TABLE = ProductTable(EXACT - EXACT % 7 * (np.arange(256)[:, None] % 3) + 5, name="skewed")


def train(model, images, labels):
    """Two steps of training; returns the losses and a hash of all parameters and buffers."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    state = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    return {"losses": losses, "state": hashlib.sha256(state).hexdigest()}


def resnet():
    torch.manual_seed(0)
    model = build_model("resnet20", in_channels=3, num_classes=10, image_size=(8, 8))
    approximate(model, TABLE)
    images = torch.randn(1, 3, 8, 8)
    return train(model, images, torch.tensor([3]))


class MantissaNetwork(nn.Module):
    """A convolution and a linear layer, all of whose products go through a mantissa table."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3) * 0.2)
        self.matrix = nn.Parameter(torch.randn(10, 6) * 0.2)
        rng = np.random.default_rng(0)
        mantissa = rng.integers(0, 128, (128, 128))
        self.table = load_mantissa_table(MantissaTable(7, mantissa, mantissa > 64))

    def forward(self, x):
        every = [True, True, True]
        maps = mantissa_conv2d(x, self.kernel, self.table, every, [2, 1], [1, 1, 0, 2], [1, 1], 1)
        return mantissa_linear(maps.relu().mean(dim=(2, 3)), self.matrix, self.table, every)


def floats():
    torch.manual_seed(1)
    return train(MantissaNetwork(), torch.randn(2, 3, 8, 8), torch.tensor([3, 7]))


def refusals():
    """What quantization says of NaN and of a scale of 0."""
    said = []
    for x, scale in ((torch.tensor([1.0, torch.nan]), 1.0), (torch.ones(2), 0.0)):
        try:
            zero = torch.tensor(0, dtype=torch.int32)
            fake_quantize(x, torch.tensor(scale), zero, 0, 255, 8)
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


def main():
    results = {"native": [resnet(), floats(), refusals()]}
    device = EmulatedDevice()
    engine = CudaEngine(lambda _: device, device="cpu")
    usable = registry.EngineEntry("cpu", lambda: Availability(True, "emulated"), lambda: engine)
    registry.ENGINES = {"cupy": usable}
    cuda_ops.register("cpu")
    results["emulated"] = [resnet(), floats(), refusals()]
    results["kernels"] = sorted({launch.kernel.name for launch in device.launched})
    x, w = torch.randint(0, 256, (2, 2, 5, 5)).byte(), torch.randint(0, 256, (3, 2, 3, 3)).byte()
    table = torch.tensor(TABLE.products)
    geometry = ([1, 1], [1, 1, 1, 1], [1, 1], 1)
    pad = torch.tensor(3, dtype=torch.int32)
    checked = torch.library.opcheck(cuda_ops.table_conv2d, (x, w, table, pad, *geometry))
    results["opcheck"] = sorted(set(checked.values()))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
