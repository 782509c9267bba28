"""Sums of table entries as torch ops: codes in, int32 out, no gradient.

a = activation = row of the table, b = weight = column, in both.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - torch reads the annotations of ops
from typing import Any

import torch
from torch import Tensor

from .engines import check_accumulator, resolve_engine
from .op_arguments import Geometry, take
from .tables import lookup_of


@torch.library.custom_op("rtlgrad::table_matmul", mutates_args=())
def table_matmul(a_codes: Tensor, b_codes: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    """Return ``acc[m, n] = sum_k T[a_codes[m, k], b_codes[k, n]]``.

    Args:
        a_codes: activation codes, uint8 or int16 [M, K].
        b_codes: weight codes, uint8 or int16 [K, N].
        table: int32 [2^wa, 2^wb].
        engine: an engine's name, or "auto".

    Returns:
        int32 [M, N].

    Raises:
        OverflowRiskError: a sum could leave int32.
        EngineError: the engine cannot run here.
        ConfigError: operands that do not fit each other or the table.
    """
    chosen = resolve_engine(engine, device=a_codes.device.type)
    lookup = lookup_of(table)
    weights = b_codes.numpy()
    check_accumulator(weights.T, lookup)
    threads = layer_threads()
    return torch.from_numpy(chosen.matmul(a_codes.numpy(), weights, lookup, threads=threads))


@table_matmul.register_fake
def _(a_codes: Tensor, b_codes: Tensor, table: Tensor, engine: str = "auto") -> Tensor:
    del table, engine
    return a_codes.new_empty((a_codes.shape[0], b_codes.shape[1]), dtype=torch.int32)


@torch.library.custom_op("rtlgrad::table_conv2d", mutates_args=())
def table_conv2d(
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    pad_code: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    engine: str = "auto",
) -> Tensor:
    """Return the sums of ``T[x, w]`` over the taps of a cross-correlation.

    Args:
        x_codes: activation codes, uint8 or int16 [B, C, H, W].
        w_codes: weight codes, uint8 or int16 [O, C/groups, kh, kw].
        table: int32 [2^wa, 2^wb].
        pad_code: integer [], the activation code of taps outside the image. A tensor, because
            it follows the data: compiled graphs need not know it.
        stride: (vertical, horizontal).
        padding: (top, bottom, left, right).
        dilation: (vertical, horizontal).
        groups: channel groups.
        engine: an engine's name, or "auto".

    Returns:
        int32 [B, O, H', W'].

    Raises:
        OverflowRiskError: a sum could leave int32.
        EngineError: the engine cannot run here.
        ConfigError: operands that do not fit each other, the table or the geometry.
    """
    chosen = resolve_engine(engine, device=x_codes.device.type)
    lookup = lookup_of(table)
    weights = w_codes.numpy()
    check_accumulator(weights, lookup)
    geometry = Geometry(stride, padding, dilation, groups).for_engine(int(pad_code))
    threads = layer_threads()
    acc = chosen.conv2d(x_codes.numpy(), weights, lookup, geometry, threads=threads)
    return torch.from_numpy(acc)


@table_conv2d.register_fake
def _(x_codes: Tensor, w_codes: Tensor, table: Tensor, pad_code: Tensor, *rest: Any) -> Tensor:
    del table, pad_code
    shape = take(rest, Geometry)[0].output_shape(x_codes, w_codes)
    return x_codes.new_empty(shape, dtype=torch.int32)


def layer_threads() -> int:
    """Return how many threads a layer's sums are given: as many as torch has."""
    return torch.get_num_threads()
