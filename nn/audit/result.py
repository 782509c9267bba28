"""What an audit found: for each layer what was compared, and every entry that is wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class WrongProduct:
    """A table entry that a layer used and the RTL does not confirm.

    Attributes:
        layer: the layer's name.
        design: name of the design whose table it is.
        a: value of the activation; of a mantissa table, the mantissa's code.
        b: value of the weight; of a mantissa table, the mantissa's code.
        a_code: row of the table.
        b_code: column of the table.
        table: what the layer's table holds: the product, or ``carry << m | mantissa``.
        rtl: what the RTL answered; -1 for a product that has no mantissa.
        uses: how many of the layer's products took this entry.
    """

    layer: str
    design: str
    a: int
    b: int
    a_code: int
    b_code: int
    table: int
    rtl: int
    uses: int

    def __str__(self) -> str:
        return (
            f"layer {self.layer}, {self.design}: a = {self.a}, b = {self.b}: table "
            f"{self.table}, RTL {self.rtl}, used {self.uses} times"
        )


@dataclass(frozen=True, slots=True)
class LayerAudit:
    """One layer.

    Attributes:
        layer: its name.
        design: name of its table's design.
        characterization_id: id of its table.
        kind: "integers" or "mantissas".
        products: multiplications of the batch that took an entry of the table.
        products_compared: those whose entry was compared with the RTL.
        pairs: different operand pairs among them.
        pairs_compared: those that were put through the RTL.
        pairs_possible: entries of the table.
        outputs: values that the layer's products were summed to.
        outputs_compared: those that were summed again from the RTL's products.
        sums_wrong: of these, integer sums that differ from the engine's.
        outputs_wrong: of these, float32 outputs, scales included, that differ in a bit.
        results_compared: values that the layer as a whole returned, bias included, compared.
        results_wrong: of these, those that differ in a bit.
        wrong_pairs: pairs compared whose entry is wrong.
        wrong: these entries, the most used first, at most 100.
        unchecked: why nothing was compared; empty if something was.
    """

    layer: str
    design: str
    characterization_id: str
    kind: str
    products: int = 0
    products_compared: int = 0
    pairs: int = 0
    pairs_compared: int = 0
    pairs_possible: int = 0
    outputs: int = 0
    outputs_compared: int = 0
    sums_wrong: int = 0
    outputs_wrong: int = 0
    results_compared: int = 0
    results_wrong: int = 0
    wrong_pairs: int = 0
    wrong: tuple[WrongProduct, ...] = ()
    unchecked: str = ""

    @property
    def is_right(self) -> bool:
        """Whether nothing differs of what was compared."""
        return not (self.wrong_pairs or self.sums_wrong or self.outputs_wrong or self.results_wrong)


@dataclass(frozen=True, slots=True)
class DesignCoverage:
    """How much of one table all layers together used.

    Attributes:
        design: its name.
        characterization_id: its id.
        pairs: entries that some layer used.
        pairs_compared: those of them that were compared with the RTL.
        pairs_possible: entries of the table; those not compared are not covered by the audit.
        asked: operand pairs that were put through the RTL.
    """

    design: str
    characterization_id: str
    pairs: int
    pairs_compared: int
    pairs_possible: int
    asked: int

    @property
    def not_covered(self) -> int:
        """Entries about which the audit says nothing."""
        return self.pairs_possible - self.pairs_compared


@dataclass(frozen=True, slots=True)
class AuditResult:
    """All layers of a network.

    Attributes:
        layers: in the order of the model.
        coverage: for each table.
        seconds: wall time.
    """

    layers: tuple[LayerAudit, ...]
    coverage: tuple[DesignCoverage, ...]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing differs of what was compared, and something was."""
        return self.products_compared > 0 and all(layer.is_right for layer in self.layers)

    @property
    def products(self) -> int:
        """Multiplications of the batch."""
        return sum(layer.products for layer in self.layers)

    @property
    def products_compared(self) -> int:
        """Those whose table entry was compared with the RTL."""
        return sum(layer.products_compared for layer in self.layers)

    @property
    def wrong(self) -> tuple[WrongProduct, ...]:
        """Wrong entries of all layers, the most used first."""
        found = [one for layer in self.layers for one in layer.wrong]
        return tuple(sorted(found, key=lambda one: -one.uses))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "right": self.is_right,
            "products": self.products,
            "products_compared": self.products_compared,
            "seconds": self.seconds,
            "layers": [{**asdict(one), "right": one.is_right} for one in self.layers],
            "coverage": [{**asdict(one), "not_covered": one.not_covered} for one in self.coverage],
        }

    def summary(self) -> dict[str, Any]:
        """Return the figures that a line of metrics.jsonl holds.

        ``right`` is null where nothing was compared, as in an epoch of exact products.
        """
        return {
            "right": self.is_right if self.products_compared else None,
            "products_compared": self.products_compared,
            "pairs_compared": sum(one.pairs_compared for one in self.coverage),
            "outputs_compared": sum(one.outputs_compared for one in self.layers),
            "wrong_pairs": sum(one.wrong_pairs for one in self.layers),
            "wrong_outputs": sum(
                max(one.sums_wrong, one.outputs_wrong, one.results_wrong) for one in self.layers
            ),
            "unchecked_layers": [one.layer for one in self.layers if one.unchecked],
            "wrong": [asdict(one) for one in self.wrong[:10]],
            "seconds": self.seconds,
        }
