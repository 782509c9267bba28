"""The emulator computes what CUDA defines, and stops at what a GPU would let pass."""

from __future__ import annotations

import os
import re
import shutil
from unittest import mock

import numpy as np
import pytest
import torch
from cuda_cases import (
    lowrank_table,
    random_codes,
    random_mantissas,
    random_numbers,
    random_table,
)
from rtlgrad.core.errors import EngineError
from rtlgrad.nn.engines import LookupTable
from rtlgrad.nn.engines.cuda.emulator import EmulatedDevice, Order
from rtlgrad.nn.engines.cuda.engine import TensorSums
from rtlgrad.nn.engines.cuda.gpus import Gpu
from rtlgrad.nn.engines.cuda.launches import SOURCES, Kernel, Launch
from rtlgrad.nn.engines.cuda.plan import VARIABLE
from rtlgrad.nn.engines.cuda.problem import structure

SMALL_ARGUMENT = structure(("x", "out"), ("body",), ())
KERNEL = """
#include "portable.cuh"
struct Small { u64 x, out; i64 body; };
RTLGRAD_KERNEL(small, Small, 64) {
    const int t = threadIdx.x;
    const i32* x = pointer<const i32>(p.x);
    i32* out = pointer<i32>(p.out);
    Shared<i32> shared(0, 64);
    switch (p.body) {
BODIES
    }
}
"""
MMA = """
const int w = t / 32 * 32, l = t & 31;
const u32 a[4] = {(u32)x[t], (u32)x[w + (l + 5) % 32], (u32)x[w + 31 - l], (u32)x[w + (l ^ 8)]};
const u32 b[2] = {(u32)x[63 - t], (u32)x[(t + 32) & 63]};
i32 d[4] = {t, 2, -t, 7};
PRODUCT(d, a, b);
out[t] = d[0] + 3 * d[1] + 5 * d[2] + 7 * d[3];
"""
INTRINSICS = {
    "xor": "i32 v = x[t]; for (int m = 16; m; m /= 2) v += __shfl_xor_sync(~0u, v, m); out[t] = v;",
    "down": "out[t] = __shfl_down_sync(0xffffffffu, x[t], 3);",
    "index": "out[t] = __shfl_sync(0xffffffffu, x[t], 7);",
    "ballot": "out[t] = __ballot_sync(0xffffffffu, x[t] > 0);",
    "dp4a": "out[t] = __dp4a(x[t], x[63 - t], t);",
    "perm": "out[t] = __byte_perm(x[t], 0x00112233, 0x4170);",
    "or": "out[t] = __syncthreads_or(x[t] == x[40]) + 2 * __syncthreads_or(false);",
    "shared": "shared.store(t, x[t]); __syncthreads(); out[t] = shared.load(63 - t);",
    "warp": "shared.store(t, x[t]); __syncwarp(); out[t] = shared.load(t ^ 31);",
    "atomic": "atomicAdd(out, x[t]);",
    "mma16": "i32 d0 = t, d1 = -t; mma_m8n8k16(d0, d1, x[t], x[63 - t]); out[t] = 3 * d0 + 5 * d1;",
    "mma32": MMA.replace("PRODUCT", "mma_m16n8k32"),
    "quarters": MMA.replace("PRODUCT", "mma_by_quarters"),
}
FAULTS = {
    "if (t < 40) __syncthreads();": "divergent barrier",
    "if (t < 40) __syncthreads(); else\n __syncthreads();": "divergent barrier",
    "if (t == 9) return; __syncthreads();": "divergent barrier.*thread 9 has ended",
    "if (t != 3) out[t] = __shfl_sync(0xffffffffu, t, 0);": "divergent barrier",
    "out[t] = t < 16 ? __shfl_sync(0xffffu, t, 20) : 0;": "lane 20, which takes no part",
    "out[t] = x[t + 1024];": "no buffer's",
    "out[t] = x[t - 1024];": "no buffer's",
    "out[t + 1] = 1;": "no buffer's|outside a buffer",
    "out[t - 1] = 1;": "no buffer's|outside a buffer",
    "const_cast<i32*>(x)[t] = 1;": "read-only",
    "shared.store(t + 1, 1);": "shared view of 256 bytes",
    "out[t] = Shared<i32>(4, 64).load(t);": "shared view of 256 bytes",
    "out[t] = Shared<i32>(2, 4).load(0);": "not aligned",
    "out[t] = shared.load(t);": "never written",
    "shared.store(t, 1); out[t] = shared.load(63 - t);": "no barrier|never written",
    "shared.store(t, 1); __syncwarp(); out[t] = shared.load(63 - t);": "no barrier|never written",
    "shared.store(0, t);": "no barrier",
    # An exchange of registers makes lanes meet, but orders no accesses to memory.
    "shared.store(t, 1); __shfl_sync(~0u, t, 0); out[t] = shared.load(t ^ 1);": "no barrier|never",
    "shared.store(t, 1); __syncthreads(); out[t] = shared.load(63 - t); shared.store(t, 2);": (
        "no barrier"
    ),
    "int a[4] = {}; a[x[t] & 7] = 1; out[t] = a[x[t] & 3];": "array index out of bounds",
    "out[t] = *(const i32*)((const char*)x + 2);": "misaligned",
}
OVERREAD = {
    Order.ASCENDING: "out[t] = x[t + 1]; (void)1;",
    Order.DESCENDING: "out[t] = x[t - 1]; (void)1;",
}
BODIES = [*INTRINSICS.values(), *FAULTS, *OVERREAD.values()]


@pytest.fixture(scope="module")
def run_small(tmp_path_factory):
    """Run one of `BODIES` with 64 threads, 64 integers in, 64 out, and 64 of shared memory."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(SOURCES / "portable.cuh", folder)
    cases = "\n".join(f"case {i}: {{ {body} }} break;" for i, body in enumerate(BODIES))
    (folder / "small.cu").write_text(KERNEL.replace("BODIES", cases))
    kernel = Kernel("small", "small.cu", (), 64, SMALL_ARGUMENT)

    def run(body, x=None, *, order=Order.ASCENDING):
        x = np.arange(64, dtype=np.int32) if x is None else x
        out = torch.zeros(64, dtype=torch.int32)
        launch = Launch(kernel, 1, 256, {"body": BODIES.index(body)})
        device = EmulatedDevice(order=order, sources=folder)
        device.run(launch, {"x": torch.from_numpy(x)}, {"out": out})
        return out.numpy()

    return run


@pytest.mark.parametrize("order", Order)
def test_intrinsics(run_small, order):
    rng = np.random.default_rng(1)
    x = rng.integers(-(2**31), 2**31, 64).astype(np.int32)
    t, warp = np.arange(64), x.reshape(2, 32)
    got = {name: run_small(body, x, order=order) for name, body in INTRINSICS.items()}

    assert np.array_equal(got["xor"], warp.sum(axis=1, dtype=np.int32).repeat(32))
    down = np.concatenate([warp[:, 3:], warp[:, 29:]], axis=1).ravel()
    assert np.array_equal(got["down"], down)
    assert np.array_equal(got["index"], warp[:, 7].repeat(32))
    ballots = ((warp > 0).astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(axis=1)
    assert np.array_equal(got["ballot"].view(np.uint32), ballots.repeat(32))
    fours = x.view(np.int8).reshape(64, 4).astype(np.int32)
    assert np.array_equal(got["dp4a"], (fours * fours[::-1]).sum(axis=1) + t)
    # Selector 0x4170: bytes 0 and 7 to the bottom, then 1 and 4.
    low = x.view(np.uint8).reshape(64, 4)
    want = np.stack([low[:, 0], np.zeros(64), low[:, 1], np.full(64, 0x33)], axis=1)
    assert np.array_equal(got["perm"].view(np.uint8).reshape(64, 4), want)
    assert np.array_equal(got["or"], np.ones(64))
    assert np.array_equal(got["shared"], x[::-1])
    assert np.array_equal(got["warp"], x[t ^ 31])
    assert got["atomic"][0] == x.sum(dtype=np.int32)
    for name in ("mma16", "mma32", "quarters"):
        assert np.array_equal(got[name], matrix_products(x, larger=name != "mma16")), name


def matrix_products(x, *, larger):
    """What `INTRINSICS` make of matrix products, by whole matrices.

    Fragments as the figures of the PTX ISA have them: a register holds 4 bytes of a row of a, or of a column of
    b, at row or column lane // 4, from byte 4 * (lane % 4) on.
    """
    t, lane = np.arange(64), np.arange(64) % 32
    start = t - lane
    rows = [t, start + (lane + 5) % 32, start + 31 - lane, start + (lane ^ 8)] if larger else [t]
    columns = [63 - t, (t + 32) & 63] if larger else [63 - t]
    initial = [t, 2 + 0 * t, -t, 7 + 0 * t] if larger else [t, -t]
    factors = [1, 3, 5, 7] if larger else [3, 5]
    out = np.zeros(64, np.int64)
    for warp in (slice(0, 32), slice(32, 64)):
        # 8 lanes x 16 bytes; then halves of 16 bytes side by side, and 8 rows below 8.
        parts = [x[index[warp]].view(np.int8).reshape(8, 16).astype(np.int64) for index in rows]
        a = np.block([[parts[0], parts[2]], [parts[1], parts[3]]]) if larger else parts[0]
        b = np.hstack([x[i[warp]].view(np.int8).reshape(8, 16) for i in columns]).astype(np.int64)
        product = a @ b.T
        for r, (factor, before) in enumerate(zip(factors, initial, strict=True)):
            part = product[8 * (r // 2) : 8 * (r // 2) + 8, r % 2 :: 2]
            out[warp] += factor * (part.ravel() + before[warp])
    return out.astype(np.int32)


@pytest.mark.parametrize(("body", "message"), FAULTS.items())
@pytest.mark.parametrize("order", Order)
def test_faults_are_reported(run_small, body, message, order):
    with pytest.raises(EngineError, match=message):
        run_small(body, order=order)


@pytest.mark.parametrize("order", OVERREAD)
def test_a_buffer_is_guarded_to_the_byte_at_one_end(run_small, order):
    with pytest.raises(EngineError, match="no buffer's"):
        run_small(OVERREAD[order], order=order)


def barriers():
    """Every barrier of the kernels: (file, how many come before it in the file)."""
    for path in sorted(SOURCES.glob("*.cu*")):
        count = len(re.findall(r"__syncthreads(?:_or)?\(", path.read_text()))
        yield from ((path.name, i) for i in range(count))


def without_barrier(folder, name, index):
    """A copy of the sources in which one barrier is gone."""
    for path in SOURCES.iterdir():
        shutil.copy(path, folder)
    text = (folder / name).read_text()
    found = list(re.finditer(r"__syncthreads(?:_or)?\((\w*)\)", text))[index]
    kept = found.group(1) or "(void)0"
    (folder / name).write_text(text[: found.start()] + kept + text[found.end() :])
    return folder


def run_kernels_with(name, device):
    """Compute with a kernel that the source is part of, over several tiles and stages."""
    rng = np.random.default_rng(1)
    sums = TensorSums(device)
    a, b = (torch.from_numpy(random_codes(rng, 8, s)) for s in ((300, 70), (70, 9)))
    if name == "lut_gradient.cu":
        codes = (a.t().repeat(1, 7).int(), b.int())
        floats = (torch.randn(s) for s in ((9, 2100), (9,), (256, 256), (256, 256)))
        sums.gradients.lut_backward(*codes, *floats)
        return
    if name in ("tile_loop.cuh", "mantissa_rows.cu"):
        x, w = (random_numbers(rng, s, wild=False) for s in ((300, 70), (70, 9)))
        sums.mantissa.matmul(torch.from_numpy(x), torch.from_numpy(w), random_mantissas(rng, 7))
    routes = {"table_expanded.cu": "expanded", "table_few.cu": "few", "table_lowrank.cu": "lowrank"}
    table = lowrank_table(rng, 8, 8, wide=True)
    with mock.patch.dict(os.environ, {VARIABLE: routes.get(name, "shared")}):
        sums.matmul(a, b, table if name in routes else LookupTable(random_table(rng, 8, 8)))


def test_there_are_barriers_to_remove():
    assert len(list(barriers())) >= 8


@pytest.mark.parametrize(("name", "index"), list(barriers()))
def test_a_barrier_removed_is_noticed(tmp_path, name, index):
    run_kernels_with(name, EmulatedDevice())  # with all barriers nothing is wrong
    broken = EmulatedDevice(sources=without_barrier(tmp_path, name, index))
    with pytest.raises(EngineError, match=r"no barrier|never written"):
        run_kernels_with(name, broken)


def test_a_launch_beyond_the_gpus_shared_memory_is_refused():
    kernel = Kernel("small", "small.cu", (), 64, SMALL_ARGUMENT)
    device = EmulatedDevice(Gpu("tiny", (7, 5), 1, 1024))
    with pytest.raises(EngineError, match="more shared memory"):
        device.run(Launch(kernel, 1, 2048, {}), {}, {})
