"""Sums of table entries in a given accumulator, as torch tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .accumulators import parse_accumulator, refuse_engine, saturating_sums, wrapped
from .engines import resolve_engine
from .gradients.columns import Windows
from .table_ops import table_conv2d, table_matmul
from .tables import lookup_of

if TYPE_CHECKING:
    from torch import Tensor

    from .op_arguments import Geometry


def linear_sums(
    x_codes: Tensor, w_codes: Tensor, table: Tensor, engine: str, accumulator: str
) -> Tensor:
    """Return ``sum_k T[x[m, k], w[o, k]]`` as an accumulator keeps it, int32 [M, O].

    Raises:
        OverflowRiskError: the accumulator is int32 and a sum could leave it.
        EngineError: the engine cannot run here, or cannot do this accumulator.
    """
    columns = w_codes.t().contiguous()
    kind = parse_accumulator(accumulator)
    if kind.mode == "exact":
        exact: Tensor = table_matmul(x_codes, columns, table, engine)
        return exact
    lookup = lookup_of(table)
    if kind.mode == "saturate":
        refuse_engine(engine)
        sums = saturating_sums(x_codes.numpy(), columns.numpy(), lookup, kind)
    else:
        chosen = resolve_engine(engine, device=x_codes.device.type)
        threads = torch.get_num_threads()
        sums = chosen.matmul(x_codes.numpy(), columns.numpy(), lookup, threads=threads)
        sums = wrapped(sums, kind)
    return torch.from_numpy(sums)


def conv2d_sums(
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    pad_code: Tensor,
    geometry: Geometry,
    engine: str,
    accumulator: str,
) -> Tensor:
    """Return the sums of a convolution's products as an accumulator keeps them, int32.

    Operands are those of `table_conv2d`.

    Raises:
        OverflowRiskError: the accumulator is int32 and a sum could leave it.
        EngineError: the engine cannot run here, or cannot do this accumulator.
    """
    kind = parse_accumulator(accumulator)
    if kind.mode == "exact":
        exact: Tensor = table_conv2d(x_codes, w_codes, table, pad_code, *geometry, engine)
        return exact
    if kind.mode == "saturate":
        refuse_engine(engine)
        return _saturating_conv2d(x_codes, w_codes, table, int(pad_code), geometry, accumulator)
    chosen = resolve_engine(engine, device=x_codes.device.type)
    shape = geometry.for_engine(int(pad_code))
    threads = torch.get_num_threads()
    codes = x_codes.numpy(), w_codes.numpy()
    return torch.from_numpy(
        wrapped(chosen.conv2d(*codes, lookup_of(table), shape, threads=threads), kind)
    )


def _saturating_conv2d(
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    pad_code: int,
    geometry: Geometry,
    accumulator: str,
) -> Tensor:
    image, kernel = x_codes.shape[2:], w_codes.shape[2:]
    windows = Windows((image[0], image[1]), (kernel[0], kernel[1]), *geometry)
    columns = windows.columns(x_codes, pad_code)
    outputs = w_codes.shape[0] // windows.groups
    kernels = w_codes.reshape(windows.groups, outputs, -1)
    sums = torch.stack(
        [
            linear_sums(
                columns[group].t().contiguous(), kernels[group], table, "numpy", accumulator
            )
            for group in range(windows.groups)
        ]
    )  # [groups, B * H' * W', O / groups]
    flat = sums.transpose(1, 2).reshape(w_codes.shape[0], x_codes.shape[0], *windows.output)
    return flat.transpose(0, 1).contiguous()
