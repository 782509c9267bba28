"""The architecture matrices of a network: what an error of each product does to its outputs.

After A. Liu et al., "An Architectural Error Metric for CNN-Oriented Approximate Multipliers" (arXiv
2408.12836), whose architectural mean error (AME) is the Frobenius inner product of a matrix that
belongs to the network with the error matrix E[a, b] = T[a, b] - a*b of a multiplier. Their matrix
follows a mean error through convolution, activation and normalisation by a linear model of each.
Here the linear model is the network's own derivative, so that it is exact to first order:

    A[l, r][a, b] = sum of s_o * d(mean_n(u_r . z_n)) / d(y_nop)

over all products of layer l on a batch whose activation code is a and whose weight code is b. Image
n, output channel o and position p are those that the product is added to, y is the layer's output,
s_o the scale of its sums, z_n the logits of an image, and u_r a direction among the logits.
Then <A[l, r], E> is the first-order shift of the mean of u_r . z that errors E in layer l cause;
shifts of several layers add up. docs/prediction.md derives it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.errors import ConfigError
from ..kinds import approx_layers
from .probing import gradients, probe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ...lutgen.table import ProductTable
    from .probing import LayerCall

MAX_DIRECTIONS = 16
"""Up to so many classes each has a direction; beyond, so many random ones stand for them."""
_MAX_BITS = 16
_CHUNK = 64
_SEED = 0


@dataclass(frozen=True, eq=False)
class Architecture:
    """What errors of products do to a network's logits, to first order.

    Attributes:
        layers: names, in the order of the calls.
        matrices: float32 [L, R, 2^wa, 2^wb], read-only: layer, direction, codes of a and b.
        signed_a: whether codes of a are two's complement.
        signed_b: whether codes of b are.
        margin: median over the images of the distance between the greatest logit and the next,
            the unit in which a shift is large or small.
        images: how many images it was made from.
    """

    layers: tuple[str, ...]
    matrices: NDArray[np.float32]
    signed_a: bool
    signed_b: bool
    margin: float
    images: int

    @property
    def operands(self) -> tuple[int, int, bool, bool]:
        """Bits of a, bits of b, whether a is signed, whether b is."""
        bits_a, bits_b = (size.bit_length() - 1 for size in self.matrices.shape[2:])
        return bits_a, bits_b, self.signed_a, self.signed_b

    @cached_property
    def whole(self) -> NDArray[np.float32]:
        """The sum over the layers, float32 [R, 2^wa * 2^wb]: for one multiplier everywhere."""
        summed = self.matrices.sum(axis=0, dtype=np.float64)
        return np.asarray(summed.reshape(len(summed), -1), dtype=np.float32)

    def index(self, layer: str) -> int:
        """Return a layer's place.

        Raises:
            ConfigError: there is no such layer.
        """
        if layer not in self.layers:
            raise ConfigError(
                f"the network has no approximate layer {layer!r}",
                expected=f"one of {', '.join(self.layers)}",
            )
        return self.layers.index(layer)

    def shifts(self, table: ProductTable) -> NDArray[np.float64]:
        """Return the shifts of the mean logits that a table causes in each layer, float64 [L, R].

        Raises:
            ConfigError: the table's operands are not the network's.
        """
        error = self._error(table)
        flat = self.matrices.reshape(-1, error.size)
        return _products(flat, error).reshape(self.matrices.shape[:2])

    def shift(self, table: ProductTable) -> NDArray[np.float64]:
        """Return the shifts that a table in all layers causes, float64 [R].

        Raises:
            ConfigError: the table's operands are not the network's.
        """
        return _products(self.whole, self._error(table))

    def ame(self, table: ProductTable) -> float:
        """Return the architectural mean error of a table in all layers, in units of the logits.

        Raises:
            ConfigError: the table's operands are not the network's.
        """
        return magnitude(self.shift(table))

    def _error(self, table: ProductTable) -> NDArray[np.float32]:
        mine = (table.width_a, table.width_b, table.signed_a, table.signed_b)
        if mine != self.operands:
            raise ConfigError(
                f"the operands of {table.name!r} are not those that the network was analysed with",
                got=_operand_text(mine),
                expected=_operand_text(self.operands),
            )
        return table.error.astype(np.float32).ravel()


def _products(rows: NDArray[np.float32], error: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the inner products of rows [N, K] with errors [K], float64 [N]."""
    # One thread: waking BLAS's others took up to 25 ms on a busy machine, for 0.1 ms of work.
    return np.asarray(np.einsum("nk,k->n", rows, error), dtype=np.float64)


def magnitude(shift: NDArray[np.float64]) -> float:
    """Return the architectural mean error of a shift [R]: its root mean square."""
    return float(np.sqrt(np.mean(np.square(shift))))


def analyse(model: nn.Module, images: Tensor) -> Architecture:
    """Find the architecture matrices of a network from a calibration batch.

    Args:
        model: with approximate layers of Conv2d or Linear, their activation ranges known, that
            maps images to logits [N, classes].
        images: float32 [N, ...], one batch; 128 images are plenty.

    Raises:
        ConfigError: no approximate layer, no image, layers of several operand formats, operands
            of together more than 16 bits, or a layer of a kind that is not supported.
    """
    if not len(images):
        raise ConfigError("no image to analyse the network with", expected="at least one")
    total: NDArray[np.float64] | float = 0.0
    margins = []
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        part, found = _analyse(model, chunk)
        total = total + part.matrices.astype(np.float64) * (len(chunk) / len(images))
        margins.append(found)
    matrices = np.asarray(total, dtype=np.float32)
    matrices.flags.writeable = False
    margin = float(np.median(np.concatenate(margins)))
    return replace(part, matrices=matrices, margin=margin, images=len(images))


def _analyse(model: nn.Module, images: Tensor) -> tuple[Architecture, NDArray[np.float64]]:
    """Return the matrices for some of the images, and the margin of each."""
    outputs, calls = probe(model, images)
    table = _common_table(model)
    directions = class_directions(outputs.shape[1])
    names = tuple(dict.fromkeys(call.layer for call in calls))
    shape = (len(names), len(directions), *table.products.shape)
    matrices = np.zeros(shape, dtype=np.float32)
    for call, gradient in zip(calls, gradients(outputs, calls, directions), strict=True):
        matrices[names.index(call.layer)] += weigh(call, gradient, table.products.shape)
    best = outputs.detach().double().topk(min(2, outputs.shape[1]), dim=1).values
    margins = (best[:, 0] - best[:, -1]).cpu().numpy()
    part = Architecture(names, matrices, table.signed_a, table.signed_b, 0.0, len(images))
    return part, margins


def weigh(call: LayerCall, gradient: Tensor, codes: tuple[int, ...]) -> NDArray[np.float32]:
    """Sum the gradients of all products of a call by their operand codes.

    Args:
        call: the products.
        gradient: float32 [R, N, O, P], with respect to the call's output.
        codes: (2^wa, 2^wb).

    Returns:
        float32 [R, 2^wa, 2^wb].
    """
    directions, _, outputs, _ = gradient.shape
    rows, columns = codes
    worth = gradient * call.scales.view(-1, 1)
    # [N * P, O, R]: every tap adds whole rows of it, by the activation code at that position.
    worth = worth.permute(1, 3, 2, 0).reshape(-1, outputs, directions).contiguous()
    parts = {}
    found = worth.new_zeros((columns, rows * directions))
    for activations, weights, mine in call.taps():
        if (mine.start, mine.stop) not in parts:
            parts[mine.start, mine.stop] = worth[:, mine].flatten(1)
        part = parts[mine.start, mine.stop]
        by_code = part.new_zeros((rows, part.shape[1])).index_add_(0, activations, part)
        by_output = by_code.view(rows, -1, directions).transpose(0, 1).reshape(len(weights), -1)
        found.index_add_(0, weights, by_output)
    result = found.view(columns, rows, directions).permute(2, 1, 0).cpu().numpy()
    return np.ascontiguousarray(result, dtype=np.float32)


def class_directions(classes: int) -> Tensor:
    """Return directions among logits, float32 [R, classes]; each sums to 0.

    A shift that all logits share changes no decision, so it is taken out. The mean square of the
    shifts along the directions is that of the centred shifts of all logits: exactly for up to
    `MAX_DIRECTIONS` classes, beyond in expectation over random signs (M. F. Hutchinson, "A
    stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Communications in Statistics 18(3), 1989), always the same ones.
    """
    if classes <= MAX_DIRECTIONS:
        picked = torch.eye(classes)
    else:
        generator = torch.Generator().manual_seed(_SEED)
        signs = torch.randint(0, 2, (MAX_DIRECTIONS, classes), generator=generator)
        picked = (2.0 * signs - 1.0) / classes**0.5
    return picked - picked.mean(dim=1, keepdim=True)


def _common_table(model: nn.Module) -> ProductTable:
    tables = [layer.table for _, layer in approx_layers(model)]
    first = tables[0]
    for table in tables:
        if (table.products.shape, table.signed_a, table.signed_b) != (
            first.products.shape, first.signed_a, first.signed_b
        ):  # fmt: skip
            raise ConfigError(
                "the layers multiply operands of different widths or signs",
                got=f"{first!r} and {table!r}",
                expected="one operand format in all approximate layers",
            )
    if first.width_a + first.width_b > _MAX_BITS:
        raise ConfigError(
            "operands too wide for architecture matrices",
            got=f"{first.width_a} and {first.width_b} bits",
            expected=f"together at most {_MAX_BITS} bits",
        )
    return first


def _operand_text(operands: tuple[int, int, bool, bool]) -> str:
    bits_a, bits_b, signed_a, signed_b = operands
    sign = {True: "signed", False: "unsigned"}
    return f"{bits_a} bits {sign[signed_a]} by {bits_b} bits {sign[signed_b]}"
