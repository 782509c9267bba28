"""Sums weighted by gradient tables: natively, on a GPU, or in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..engines.cuda import CudaEngine
from . import native as compiled

if TYPE_CHECKING:
    from ..engines import Engine

_BLOCK_ENTRIES = 1 << 22


def lut_backward(
    x: Tensor, w: Tensor, g: Tensor, scale: Tensor, by_a: Tensor, by_b: Tensor, *, engine: Engine
) -> tuple[Tensor, Tensor]:
    """Return the gradients of one matrix product through a table.

    Args:
        x: activation codes, int32 [K, M].
        w: weight codes, int32 [K, O].
        g: gradient of the output, float32 [O, M].
        scale: float32 [O].
        by_a: float32 [2^wb, 2^wa].
        by_b: float32 [2^wb, 2^wa].
        engine: "numpy" computes in torch, the others in compiled code, those of a GPU there.

    Returns:
        ``dx[k, m] = sum_o g[o, m] * scale[o] * by_a[w[k, o], x[k, m]]``, float32 [K, M], and
        ``dw[k, o] = sum_m g[o, m] * by_b[w[k, o], x[k, m]]``, float32 [K, O].

    Raises:
        MissingToolError, ToolFailedError, EngineError: the compiled code cannot be made or run.
    """
    if isinstance(engine, CudaEngine):
        sums = engine.tensors(max(0, x.get_device())).gradients
        return sums.lut_backward(x, w, g, scale, by_a, by_b)
    if engine.name != "numpy":
        arrays = (tensor.numpy() for tensor in (x, w, g, scale, by_a, by_b))
        dx, dw = compiled.lut_backward(*arrays, threads=torch.get_num_threads())
        return torch.from_numpy(dx), torch.from_numpy(dw)
    return _in_torch(x.long(), w.long(), g, scale, by_a, by_b)


def _in_torch(
    x: Tensor, w: Tensor, g: Tensor, scale: Tensor, by_a: Tensor, by_b: Tensor
) -> tuple[Tensor, Tensor]:
    dx, dw = g.new_zeros(x.shape), g.new_zeros(w.shape)
    scaled = g * scale[:, None]
    step = max(1, _BLOCK_ENTRIES // max(1, g.numel()))
    for start in range(0, x.shape[0], step):
        taps = slice(start, start + step)
        places = w[taps, :, None] * by_a.shape[1] + x[taps, None, :]  # [taps, O, M]
        dx[taps] = (by_a.view(-1)[places] * scaled).sum(dim=1)
        dw[taps] = (by_b.view(-1)[places] * g).sum(dim=2)
    return dx, dw
