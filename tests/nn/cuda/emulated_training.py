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
from rtlgrad.nn.models import build_model
from rtlgrad.nn.quantize_ops import fake_quantize
from torch import nn

EXACT = np.arange(256)[:, None] * np.arange(256)[None, :]
# Close to the product, so that training makes sense, and neither commutative nor 0 at 0. The first is of
# low rank, the second is not.
TABLE = ProductTable(EXACT - EXACT % 4 * (np.arange(256)[:, None] % 3) + 5, name="skewed")
NOISE = np.random.default_rng(0).integers(-40, 40, EXACT.shape)
NOISY = ProductTable(np.maximum(EXACT + NOISE, 0), name="noisy")


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


def resnet(table):
    torch.manual_seed(0)
    model = build_model("resnet20", in_channels=3, num_classes=10, image_size=(8, 8))
    approximate(model, table)
    images = torch.randn(1, 3, 8, 8)
    return train(model, images, torch.tensor([3]))


def mantissas():
    rng = np.random.default_rng(0)
    mantissa = rng.integers(0, 128, (128, 128))
    return MantissaTable(7, mantissa, mantissa > 64)


class Mixed(nn.Module):
    """A convolution in groups, attention and a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.recurrent = nn.LSTM(8, 5)
        self.last = nn.Linear(5, 10)

    def forward(self, x):
        sequence = self.conv(x).flatten(2).transpose(1, 2)
        sequence, _ = self.attention(sequence, sequence, sequence)
        return self.last(self.recurrent(sequence)[0].mean(dim=1))


def mixed(**options):
    torch.manual_seed(1)
    model = Mixed()
    approximate(model, NOISY, **options)
    return train(model, torch.randn(2, 4, 6, 6), torch.tensor([3, 7]))


OPTIONS = (
    {"gradient": "lut"},
    {"gradient": "slope"},
    {"gradient": "table"},
    {"accumulator": "wrap:18"},
    {"accumulator": "saturate:18"},
    {"quantizer": "lsq"},
)


def everything():
    return {
        "resnet20": resnet(TABLE),
        "resnet20 by mantissas": resnet(mantissas()),
        **{f"mixed {options}": mixed(**options) for options in OPTIONS},
        "refusals": refusals(),
    }


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
    results = {"native": everything()}
    device = EmulatedDevice()
    engine = CudaEngine(lambda _: device, device="cpu")
    usable = registry.EngineEntry("cpu", lambda: Availability(True, "emulated"), lambda: engine)
    registry.ENGINES = {"cupy": usable}
    cuda_ops.register("cpu")
    results["emulated"] = everything()
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
