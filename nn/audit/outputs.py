"""A layer's outputs summed from the RTL's products, beside what the engine made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..accumulators import parse_accumulator
from ..engines import MantissaLookup
from ..engines.mantissa_reference import NumpyMantissaEngine
from ..live_sums import IntegerOperands
from ..quantize import OperandFormat
from ..table_sums import conv2d_sums, linear_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..interception import LayerCall
    from ..live_sums import OuterProducts
    from .entries import KnownEntries


@dataclass(frozen=True, eq=False, slots=True)
class Compared:
    """What became of the outputs of a call.

    Attributes:
        outputs: values compared.
        sums_wrong: integer sums that differ from the engine's.
        outputs_wrong: float32 values that differ in a bit.
        made: the whole result from the RTL's products, shaped as the op's; None if only a part.
    """

    outputs: int
    sums_wrong: int
    outputs_wrong: int
    made: Tensor | None


def integer_operands(call: LayerCall) -> IntegerOperands:
    """Return the operands of a call by output."""
    given = call.given
    x, w = (t.cpu().to(torch.int64) for t in call.operands)
    windows, groups = call.windows, call.geometry.groups
    rows, columns = given["table"].shape
    x_zero = int(given["x_zero"])
    scale = (given["x_scale"].cpu().numpy() * given["w_scale"].cpu().numpy()).astype(np.float32)
    return IntegerOperands(
        columns=windows.columns(x, x_zero).numpy(),
        kernels=w.reshape(groups, len(w) // groups, -1).numpy(),
        a=OperandFormat(int(rows).bit_length() - 1, given["signed"][0]),
        b=OperandFormat(int(columns).bit_length() - 1, given["signed"][1]),
        x_zero=x_zero,
        w_zero=given["w_zero"],
        factors=scale.reshape(groups, -1),
        accumulator=parse_accumulator(given["accumulator"]),
    )


def compare_integers(
    call: LayerCall, operands: IntegerOperands, source: OuterProducts, at: NDArray[np.int64] | None
) -> Compared:
    """Sum a layer's outputs from a source's products and compare sums and outputs.

    Args:
        call: what the engine did.
        operands: of the call, at the positions compared.
        source: the products.
        at: positions (of images and outputs' pixels) that are compared; None for all.
    """
    sums = operands.sums(source)
    made = operands.rescaled(sums)
    engine = _by_position(call, _engine_sums(call), at)
    outputs = _by_position(call, call.output, at)
    whole = None if at is not None else _as_result(call, made)
    return Compared(made.size, _differing(sums, engine), _differing(made, outputs), whole)


def live_result(call: LayerCall, source: OuterProducts) -> Tensor:
    """Return what an op of integer products returns, from a source's products."""
    operands = integer_operands(call)
    return _as_result(call, operands.rescaled(operands.sums(source)))


def compare_mantissas(call: LayerCall, entries: KnownEntries, images: int | None) -> Compared:
    """As `compare_integers`, with a table of mantissas; sums are floats in a given order.

    Args:
        call: what the engine did.
        entries: the RTL's answers, known for all pairs of the call.
        images: how many of the call's images are compared; None for all.
    """
    made = live_mantissas(call, entries, images)
    wrong = _differing(made.numpy(), call.output[:images].cpu().numpy())
    whole = None if images is not None else made.reshape(call.result.shape)
    return Compared(made.numel(), 0, wrong, whole)


def live_mantissas(call: LayerCall, entries: KnownEntries, images: int | None = None) -> Tensor:
    """Return an op's output [B, O, H', W'] from the RTL's mantissas, by the specification's sums."""
    x, w = (t.cpu().contiguous() for t in call.operands)
    codes = np.maximum(entries.values, 0).astype(np.uint16)
    made = NumpyMantissaEngine().conv2d(
        x[:images].numpy(), w.numpy(), MantissaLookup(codes), call.geometry.for_engine()
    )
    return torch.from_numpy(made)


def _engine_sums(call: LayerCall) -> Tensor:
    """Let the call's engine sum its products once more, without rescaling: int32 [B, O, H', W']."""
    given = call.given
    codes = given["x_codes"], given["w_codes"], given["table"]
    how = given["engine"], given["accumulator"]
    if call.is_linear:
        return linear_sums(*codes, *how)[:, :, None, None]
    return conv2d_sums(*codes, given["x_zero"], call.geometry, *how)


def _by_position(call: LayerCall, output: Tensor, at: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return an output [B, O, H', W'] as [groups, P, O / groups]."""
    by_group: NDArray[Any] = call.windows.outputs(output.cpu()).transpose(1, 2).numpy()
    return by_group if at is None else by_group[:, at]


def _as_result(call: LayerCall, made: NDArray[np.float32]) -> Tensor:
    """Return values [groups, P, O / groups] in the shape of the op's result."""
    images, outputs, height, width = call.output.shape
    by_image = torch.from_numpy(made).view(len(made), images, height * width, -1)
    ordered = by_image.permute(1, 0, 3, 2).reshape(images, outputs, height, width)
    return ordered.reshape(call.result.shape).to(call.result.device)


def _differing(mine: NDArray[Any], theirs: NDArray[Any]) -> int:
    """Count the values that differ in a bit; one NaN is as good as another."""
    if mine.dtype == np.float32:
        same = mine.view(np.uint32) == np.ascontiguousarray(theirs).view(np.uint32)
        return int(np.sum(~(same | (np.isnan(mine) & np.isnan(theirs)))))
    return int(np.sum(mine != theirs))
