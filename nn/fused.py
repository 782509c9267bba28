"""Whole layers by the native engine: codes in, float32 out, in one pass.

The sums of table entries, zero points and scales are those of `rtlgrad.nn.ops`, bit for bit; what the
engine adds up modulo 2^32 is what int32 would hold, as only layers that int32 can hold are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .accumulators import parse_accumulator
from .corrections import fits_int32, weight_terms
from .engines import Conv2dGeometry, NativeEngine, Rescaling, resolve_engine
from .table_ops import layer_threads
from .tables import lookup_of

if TYPE_CHECKING:
    from torch import Tensor

    from .quantize import OperandFormat


def fused_conv2d(
    x_codes: Tensor,
    w_codes: Tensor,
    table: Tensor,
    formats: tuple[OperandFormat, OperandFormat],
    zeros: tuple[int, int],
    factors: Tensor,
    geometry: Conv2dGeometry,
    engine: str,
    accumulator: str,
) -> Tensor | None:
    """Return a layer's result, or None where it must be computed step by step.

    Args:
        x_codes: activation codes [B, C, H, W].
        w_codes: weight codes [O, C/groups, kh, kw].
        table: int32 [2^wa, 2^wb].
        formats: of activations and weights.
        zeros: their zero points, as values.
        factors: float32 [O], what a sum is multiplied by.
        geometry: of the convolution; its padding code is the activations' zero point.
        engine: an engine's name, or "auto".
        accumulator: what keeps the sums of products.

    Returns:
        float32 [B, O, H', W'], or None: another engine or accumulator, or sums that int32 may not hold.

    Raises:
        EngineError, ConfigError: as `table_conv2d`.
    """
    if parse_accumulator(accumulator).mode != "exact":
        return None
    chosen = resolve_engine(engine, device=x_codes.device.type)
    (a, b), (x_zero, w_zero) = formats, zeros
    lookup = lookup_of(table)
    if not isinstance(chosen, NativeEngine) or not fits_int32(
        w_codes, lookup, a, b, x_zero, w_zero
    ):
        return None
    rescaling = Rescaling(factors.numpy(), _terms(w_codes, formats, zeros), w_zero, _flip(a))
    threads = layer_threads()
    made = chosen.layer(
        x_codes.numpy(), w_codes.numpy(), lookup, geometry, rescaling, threads=threads
    )
    return torch.from_numpy(made)


def _flip(a: OperandFormat) -> int:
    """Return what turns a code into its value, a constant apart."""
    return 1 << a.bits - 1 if a.signed else 0


def _terms(
    w_codes: Tensor, formats: tuple[OperandFormat, OperandFormat], zeros: tuple[int, int]
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Return what is added to each output's sum, uint32 [O] modulo 2^32."""
    (a, b), (x_zero, w_zero) = formats, zeros
    # A value is its flipped code less _flip: the engine sums flipped codes.
    K = w_codes[0].numel() if len(w_codes) else 0
    terms = np.full(len(w_codes), w_zero * K * _flip(a), dtype=np.int64)
    if x_zero:
        terms -= weight_terms(w_codes, b, x_zero, w_zero).numpy()
    return terms.astype(np.uint32)
