"""Multipliers that are nothing but their relative error: studies without a circuit.

A product of x and w comes out as ``x * w * (1 + e)``, e drawn anew for each product: normal with
standard deviation sigma, so that the mean relative error is ``sigma * sqrt(2 / pi)`` (Hammad,
El-Sankary and Gu, "Deep learning training with simulated approximate multipliers", ROBIO 2019), or
drawn from the relative errors that a real multiplier's table has. Nothing is quantized.

``per = "product"``
    Every product has its own e. The sum of K such products is the exact sum times 1 + mean(e),
    plus noise of variance ``var(e) * sum (x * w)^2``, which is drawn as a whole: exact in
    distribution for normal e, and by the central limit theorem for many products otherwise.
``per = "weight"``
    Each weight is multiplied by one 1 + e per forward pass, as in the paper's experiments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..lutgen.mantissa import MantissaTable
from .multiplying import reborn

if TYPE_CHECKING:
    from torch import Tensor

    from .multipliers import MultiplierTable

PER = ("product", "weight")


@dataclass(frozen=True, eq=False)
class RelativeError:
    """The relative error of a multiplier, as a random number.

    Attributes:
        sigma: its standard deviation.
        mean: its mean.
        per: what each draw belongs to, "product" or "weight".
        drawn_from: relative errors to draw from, float32 [N], each as likely; None for a normal
            distribution.

    Raises:
        ConfigError: a negative or infinite sigma, or an unknown ``per``.
    """

    sigma: float
    mean: float = 0.0
    per: str = "product"
    drawn_from: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.sigma < math.inf or not math.isfinite(self.mean):
            raise ConfigError(
                "sigma of a relative error", got=self.sigma, expected="a finite number, 0 or more"
            )
        if self.per not in PER:
            raise ConfigError("draws of a relative error", got=self.per, expected=" or ".join(PER))

    @classmethod
    def of_mre(cls, mre: float, per: str = "product") -> RelativeError:
        """Return the normal error of a mean relative error, 0 to 1: sigma = mre * sqrt(pi / 2)."""
        return cls(mre * math.sqrt(math.pi / 2), per=per)

    @classmethod
    def of_table(cls, table: MultiplierTable, per: str = "product") -> RelativeError:
        """Return the error that a table has over all operands whose exact product is not 0.

        Each pair of operands, or of mantissas, counts as likely as any other.
        """
        if isinstance(table, MantissaTable):
            errors = (table.values / table.exact - 1).ravel()
        else:
            some = table.exact != 0
            errors = (table.error[some] / table.exact[some]).astype(np.float64)
        drawn = torch.from_numpy(errors.astype(np.float32))
        return cls(float(errors.std()), float(errors.mean()), per, drawn)

    def draw(self, shape: torch.Size) -> Tensor:
        """Draw errors from torch's global generator, float32."""
        if self.drawn_from is None:
            return torch.randn(shape) * self.sigma + self.mean
        return self.drawn_from[torch.randint(len(self.drawn_from), shape)]

    @property
    def is_exact(self) -> bool:
        """Whether there is no error at all."""
        return self.sigma == 0 and self.mean == 0


EXACT = RelativeError(0.0)


class _Noisy(nn.Module):
    """What both layers have in common."""

    weight: Tensor
    error: RelativeError

    def _linear_map(self, x: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def _add_bias(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        """Compute the layer with the error of its products, in the weight's type."""
        with torch.autocast(input.device.type, enabled=False):
            return self._multiply(input.to(self.weight.dtype))

    def _multiply(self, x: Tensor) -> Tensor:
        error, weight = self.error, self.weight
        if error.is_exact:
            return self._add_bias(self._linear_map(x, weight))
        if error.per == "weight":
            factors = (1.0 + error.draw(weight.shape)).to(weight)
            return self._add_bias(self._linear_map(x, weight * factors))
        y = self._linear_map(x, weight)
        with torch.no_grad():
            spread = self._linear_map(x.square(), weight.square()).clamp_(min=0).sqrt_()
            noise = torch.randn(y.shape).to(y) * spread * error.sigma
        return self._add_bias(y * (1.0 + error.mean) + noise)

    def extra_repr(self) -> str:
        """Return torch's description, then the error."""
        return f"{super().extra_repr()}, error={self.error!r}"


class NoisyConv2d(_Noisy, nn.Conv2d):
    """`torch.nn.Conv2d` whose products have a relative error."""

    def _linear_map(self, x: Tensor, weight: Tensor) -> Tensor:
        y: Tensor = self._conv_forward(x, weight, None)
        return y

    def _add_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)


class NoisyLinear(_Noisy, nn.Linear):
    """`torch.nn.Linear` whose products have a relative error."""

    def _linear_map(self, x: Tensor, weight: Tensor) -> Tensor:
        y: Tensor = functional.linear(x, weight)
        return y

    def _add_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias


_NOISY: dict[type[nn.Module], type[Any]] = {nn.Conv2d: NoisyConv2d, nn.Linear: NoisyLinear}


def add_noise(model: nn.Module, error: RelativeError) -> tuple[str, ...]:
    """Give the products of every Conv2d and Linear layer a relative error, in place.

    Parameters, hooks and flags are shared with the layers replaced; names stay. Layers that have
    an error already get this one.

    Args:
        model: any module tree.
        error: of each product.

    Returns:
        The names of the layers.

    Raises:
        ConfigError: there is no such layer.
    """
    names = []
    for name, module in list(model.named_modules()):
        if isinstance(module, _Noisy):
            module.error = error
        elif type(module) in _NOISY and name:
            new = reborn(module, _NOISY[type(module)])
            new.error = error
            holder, _, last = name.rpartition(".")
            setattr(model.get_submodule(holder), last, new)
        else:
            continue
        names.append(name)
    if not names:
        raise ConfigError("the model has no Conv2d or Linear layer whose products could be noisy")
    return tuple(names)
