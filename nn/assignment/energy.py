"""The multiplication energy of a network: products of each layer times energy per product."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ...core.names import pick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class EnergyFigure(StrEnum):
    """Which of the energies of a product counts."""

    SETTLED = "settled"
    """At the layer's operands, changes of settled values (zero delay)."""
    GLITCHES = "glitches"
    """At the layer's operands, glitches included (unit delay)."""
    UNIFORM = "uniform"
    """For uniform random operands, changes of settled values: the same for all layers."""


@dataclass(frozen=True, slots=True)
class ProductEnergy:
    """Mean energy of one product of a design in one layer, by gate-level power, in fJ.

    Attributes:
        settled: at the operands recorded in the layer, settled values alone.
        glitches: the same with glitches.
        uniform: for uniform random operands, settled values alone.
    """

    settled: float
    glitches: float
    uniform: float

    def of(self, figure: EnergyFigure) -> float:
        """Return one of the figures."""
        return {
            EnergyFigure.SETTLED: self.settled,
            EnergyFigure.GLITCHES: self.glitches,
            EnergyFigure.UNIFORM: self.uniform,
        }[figure]


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Energies of all designs in all layers of a network.

    Attributes:
        products: layer -> products per image, in the order of the layers.
        per_product: design -> layer -> energy of a product.
    """

    products: Mapping[str, int]
    per_product: Mapping[str, Mapping[str, ProductEnergy]]

    def layer_nj(
        self, designs: Sequence[str], figure: EnergyFigure = EnergyFigure.SETTLED
    ) -> tuple[float, ...]:
        """Return the energy of each layer for one image, in nJ.

        It is products per image times energy per product (ALWANN, section III: n_mult(layer) times
        the energy of the multiplier of its tile).

        Args:
            designs: of the layers, in their order.
            figure: which energy per product.

        Raises:
            UnknownNameError: a design whose energy is not known.
            ConfigError: as many designs as layers are needed.
        """
        if len(designs) != len(self.products):
            raise ConfigError(
                "each layer needs a design", got=len(designs), expected=len(self.products)
            )
        return tuple(
            count
            * pick(self.per_product, design, kind="design of the energy model")[layer].of(figure)
            * 1e-6  # fJ -> nJ
            for design, (layer, count) in zip(designs, self.products.items(), strict=True)
        )

    def total_nj(
        self, designs: Sequence[str], figure: EnergyFigure = EnergyFigure.SETTLED
    ) -> float:
        """Return the sum of `layer_nj` over all layers."""
        return sum(self.layer_nj(designs, figure))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values, energies in fJ per product."""
        return {
            "products_per_image": dict(self.products),
            "fj_per_product": {
                design: {
                    layer: {figure.value: one.of(figure) for figure in EnergyFigure}
                    for layer, one in layers.items()
                }
                for design, layers in self.per_product.items()
            },
        }
