"""What a GPU is given through CuPy, seen by a stand-in for CuPy."""

from __future__ import annotations

import re
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rtlgrad.core.errors import EngineError
from rtlgrad.nn.engines.cuda import devices
from rtlgrad.nn.engines.cuda.launches import GEMM, Launch, rows_kernel, source_of

KERNEL = rows_kernel(2, shared=True)


class Function:
    """A kernel that records its launches."""

    def __init__(self):
        self.max_dynamic_shared_size_bytes = 48 << 10
        self.launches = []

    def __call__(self, grid, block, arguments, *, shared_mem):
        self.launches.append((grid, block, arguments, shared_mem))


class FakeCupy:
    """The part of CuPy that the engine uses."""

    def __init__(self):
        self.function, self.modules, self.streams = Function(), [], []
        properties = {
            "name": b"GH100", "major": 9, "minor": 0, "multiProcessorCount": 132,
            "sharedMemPerBlockOptin": 227 << 10, "clockRate": 1_980_000,
        }  # fmt: skip
        runtime = SimpleNamespace(getDeviceProperties=lambda index: properties)
        self.cuda = SimpleNamespace(
            runtime=runtime, Device=lambda index: nullcontext(), ExternalStream=self.stream
        )

    def stream(self, pointer):
        self.streams.append(pointer)
        return nullcontext()

    def RawModule(self, code, options):  # noqa: N802 - CuPy's name
        self.modules.append((code, options))
        return SimpleNamespace(get_function=lambda name: self.function)


@pytest.fixture
def cupy(monkeypatch):
    fake = FakeCupy()
    streams = SimpleNamespace(current_stream=lambda index: SimpleNamespace(cuda_stream=77))
    modules = SimpleNamespace(cuda=streams, device=torch.device)
    monkeypatch.setattr(devices, "_modules", lambda: (modules, fake))
    return fake


def test_a_launch_goes_to_torchs_stream_with_the_operands_addresses(cupy):
    device = devices.CupyDevice(0)
    assert device.gpu.architecture == "sm_90"
    x, out = torch.zeros(3, dtype=torch.uint8), torch.zeros(5, dtype=torch.int32)
    for _ in range(2):
        device.run(Launch(KERNEL, 7, 150_000, {"rows": 11}), {"x": x}, {"out": out})
    assert cupy.streams == [77, 77]
    assert cupy.function.max_dynamic_shared_size_bytes == 150_000
    grid, block, (argument,), shared = cupy.function.launches[-1]
    assert (grid, block, shared) == ((7,), (512,), 150_000)
    assert argument.dtype == GEMM
    assert argument.shape == ()
    assert (argument["x"], argument["out"], argument["rows"]) == (x.data_ptr(), out.data_ptr(), 11)
    # Compiled once, from one text without includes of its own.
    ((code, options),) = cupy.modules
    assert code == source_of(KERNEL)
    assert '#include "' not in code
    assert {"--fmad=false", "-DRTLGRAD_TABLE_SHARED=1"} <= set(options)


def test_a_kernel_that_does_not_compile_is_an_engine_error(cupy):
    def refuse(code, options):
        raise RuntimeError("expected a semicolon")

    cupy.RawModule = refuse
    device = devices.CupyDevice(0)
    with pytest.raises(EngineError, match="semicolon"):
        device.run(Launch(KERNEL, 1, 0, {}), {}, {})


def test_structures_have_no_padding():
    assert GEMM.itemsize == sum(GEMM[name].itemsize for name in GEMM.names)
    assert np.array([GEMM.fields[name][1] for name in GEMM.names]).max() == GEMM.itemsize - 4


@pytest.mark.parametrize(
    ("built_for", "hint"), [("12.8", r"rtlgrad\[cuda12\]"), ("13.0", r"cuda13"), (None, "no CUDA")]
)
def test_without_cupy_the_extra_that_fits_torch_is_named(monkeypatch, built_for, hint):
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    status = devices.availability()
    assert not status.usable
    assert re.search(hint, status.reason)


def test_without_a_driver_the_reason_is_cupys_words(monkeypatch):
    def refuse():
        raise RuntimeError("cudaErrorInsufficientDriver")

    runtime = SimpleNamespace(getDeviceCount=refuse)
    fake = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(devices, "_modules", lambda: (torch, fake))
    status = devices._driver.__wrapped__()
    assert not status.usable
    assert "cudaErrorInsufficientDriver" in status.reason
    assert "driver" in status.reason
