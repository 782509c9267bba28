"""How a layer with a mantissa table computes, besides the table itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.names import pick
from .engines import check_engine_name

if TYPE_CHECKING:
    from collections.abc import Mapping

PRODUCTS: Mapping[str, str] = {
    "forward": "input times weight",
    "input-grad": "the output's gradient times weight, for the gradient of the input",
    "weight-grad": "input times the output's gradient, for the gradient of the weight",
}
"""The three matrix products of training, by name."""
EVERY_PRODUCT = ",".join(PRODUCTS)


def parse_products(text: str) -> tuple[bool, bool, bool]:
    """Read which products are approximate: names of `PRODUCTS`, with commas between.

    Returns:
        Whether (forward, input's gradient, weight's gradient) is.

    Raises:
        UnknownNameError: a name is none of these.
        ConfigError: a name is there twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        pick(PRODUCTS, name, kind="product of training")
    if len(set(names)) != len(names):
        raise ConfigError("products to approximate", got=repr(text), expected="each name once")
    return "forward" in names, "input-grad" in names, "weight-grad" in names


@dataclass(frozen=True, slots=True)
class MantissaOptions:
    """How a layer with a mantissa table computes.

    Attributes:
        engine: an engine's name, or "auto" for the fastest.
        approximate: which products go through the table: names of `PRODUCTS`, with commas between.

    Raises:
        UnknownNameError: no such engine or product.
        ConfigError: a product is named twice.
    """

    engine: str = "auto"
    approximate: str = EVERY_PRODUCT

    def __post_init__(self) -> None:
        check_engine_name(self.engine)
        parse_products(self.approximate)
