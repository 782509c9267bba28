"""What defines a training run, checked field by field."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ...core.names import nearest
from ..mantissa_options import EVERY_PRODUCT, parse_products
from ..options import LayerOptions
from .precision import PRECISIONS
from .schedule import Phase, parse_phases

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "constant", "step")
KEEP = ("last", "best")
RULES = ("exact", "table")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that a run's result depends on, besides the code, the data and the table.

    Attributes:
        model: name in `rtlgrad.nn.models.MODELS`.
        data: name of the data set.
        design: name of the multiplier design whose table is used; None trains in fp32.
        epochs: passes over the training images; 0 only evaluates (what calibration alone gives).
        batch_size: images per step. A last batch that is not full is left out in training.
        lr: greatest learning rate.
        optimizer: "sgd" or "adam".
        momentum: of SGD; unused by Adam.
        weight_decay: L2 penalty on all parameters, in the gradient.
        schedule: "cosine" (to zero over all steps; Loshchilov and Hutter, ICLR 2017, equation 5
            without restarts), "constant", or "step" (a tenth after 1/2 and a hundredth after 3/4
            of the epochs; He et al., CVPR 2016, section 4.2).
        seed: of weights, order and augmentation.
        engine: name of the engine that does the table's sums; "auto" picks one.
        init: checkpoint or run folder to take the weights from; None draws them.
        init_from_other_table: allows ``init`` to be a model trained with another table.
        calibration: how activation ranges are found.
        calibration_images: training images to find them on.
        rules: (name pattern, "exact" or "table") in order: whether the layers that match it
            (fnmatch: ``conv1``, ``fc*``) multiply exactly or through the table. The first match
            decides; layers that no pattern matches go through the table.
        gradient: how the gradients of products are estimated (`rtlgrad.nn.gradients`).
        quantizer: how scales are found, a key of `rtlgrad.nn.options.QUANTIZERS`.
        approximate: with a floating-point design, which products of training go through its table
            (`rtlgrad.nn.mantissa_options.PRODUCTS`, with commas between); the others are exact.
        accumulator: what keeps the sums of products (`rtlgrad.nn.accumulators`).
        precision: what layers without a table compute in, "fp32" or "bf16"
            (`rtlgrad.nn.training.precision`).
        correct_bias: after calibration, take the multiplier's mean error off the biases
            (`rtlgrad.nn.bias_correction`).
        multipliers: which multiplier in which epochs, as ``mul8u_trunc8:0-8,exact:8-10``
            (`rtlgrad.nn.training.schedule`); ``design`` is then that of the last phase ("exact"
            included), or None with noise. None for ``design`` throughout.
        assignment: (layer, design) for each layer that multiplies through a table of its own, as
            `rtlgrad.nn.assignment.file` reads them; layers that it does not name multiply exactly.
            ``design``, ``multipliers`` and ``rules`` are then left out.
        patience: stop after so many epochs without a better accuracy on the held-out images; None
            never stops early. With it, ``keep`` must be "best".
        val_fraction: share of the training images held out for validation after each epoch,
            in [0, 1); never trained on, and the same ones whatever the seed. The test set is not
            looked at for any choice.
        keep: the weights that count as the result: "last", or "best" on the held-out images.
        augment: "auto" takes what is customary for the data set; else a name in
            `rtlgrad.nn.data.AUGMENTATIONS`.
        threads: CPU threads for torch and the engine; None leaves torch's setting.
        limit_train: use so many training images only, those for validation included.
        limit_test: use so many test images only.

    Raises:
        ConfigError: a field has an illegal value; names the field and the legal ones.
    """

    model: str
    data: str
    design: str | None = None
    epochs: int = 1
    batch_size: int = 128
    lr: float = 0.05
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    seed: int = 0
    engine: str = "auto"
    init: str | None = None
    init_from_other_table: bool = False
    calibration: str = "minmax"
    calibration_images: int = 1024
    rules: tuple[tuple[str, str], ...] = ()
    gradient: str = "ste"
    quantizer: str = "range"
    accumulator: str = "int32"
    approximate: str = EVERY_PRODUCT
    precision: str = "fp32"
    correct_bias: bool = False
    multipliers: str | None = None
    assignment: tuple[tuple[str, str], ...] = ()
    patience: int | None = None
    val_fraction: float = 0.1
    keep: str = "last"
    augment: str = "auto"
    threads: int | None = None
    limit_train: int | None = None
    limit_test: int | None = None

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_numbers(self)
        _check_multipliers(self)
        _check_assignment(self)
        if self.patience is not None and self.keep != "best":
            raise _illegal("keep", self.keep, "'best', because patience is set")
        if self.keep == "best" and self.val_fraction == 0:
            raise _illegal(
                "keep", "best", "'last', because val_fraction = 0 leaves nothing to choose by"
            )

        if self.epochs == 0 and self.init is None:
            raise _illegal("epochs", 0, "1 or more, because there is no init to evaluate")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of ``multipliers``; none if it is None."""
        return () if self.multipliers is None else parse_phases(self.multipliers, self.epochs)

    @property
    def is_noisy(self) -> bool:
        """Whether products have a relative error, and no table."""
        return any(phase.is_noise for phase in self.phases)

    @property
    def multiplier(self) -> str:
        """What products go through, for people: the schedule, the design(s), or "fp32"."""
        if self.assignment:
            designs = dict.fromkeys(design for _, design in self.assignment)
            return f"layers of {' and '.join(designs)}"
        return self.multipliers or self.design or "fp32"

    @property
    def is_fp32(self) -> bool:
        """Whether every product is torch's own, in every epoch."""
        return self.multipliers is None and self.design is None and not self.assignment

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        plain = asdict(self)
        plain["rules"] = [list(rule) for rule in self.rules]
        plain["assignment"] = [list(pair) for pair in self.assignment]
        return plain


def config_from_json(values: Mapping[str, Any], where: str) -> TrainConfig:
    """Build a configuration from plain values.

    Args:
        values: field name -> value; fields left out take their defaults.
        where: what the values came from, for messages.

    Raises:
        ConfigError: a field is unknown (the nearest legal one is suggested), missing or illegal.
    """
    legal = [field.name for field in fields(TrainConfig)]
    for name in values:
        if name not in legal:
            near = nearest(name, legal)
            raise ConfigError(
                f"{where} has an unknown field {name!r}",
                expected=", ".join(legal),
                remedy=f"did you mean {near!r}?" if near else None,
            )
    absent = [name for name in ("model", "data") if name not in values]
    if absent:
        raise ConfigError(f"{where} does not say {' and '.join(absent)}", got=sorted(values))
    plain = dict(values)
    for name in ("rules", "assignment"):
        plain[name] = tuple(tuple(pair) for pair in plain.get(name, ()))
    return TrainConfig(**plain)


def differences(mine: TrainConfig, other: TrainConfig) -> list[str]:
    """Describe each field in which two configurations differ, as ``name: mine, not other``."""
    return [
        f"{field.name}: {getattr(mine, field.name)!r}, not {getattr(other, field.name)!r}"
        for field in fields(TrainConfig)
        if getattr(mine, field.name) != getattr(other, field.name)
    ]


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0 over the whole run.

    It is a function of the step alone, so that there is no scheduler state to restore.
    """
    progress = step / (config.epochs * steps_per_epoch)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "step":
        return config.lr * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
    return config.lr


def _check_choices(config: TrainConfig) -> None:
    for name, legal in (
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("precision", tuple(PRECISIONS)),
        ("keep", KEEP),
    ):
        value = getattr(config, name)
        if value not in legal:
            raise _illegal(name, value, " or ".join(repr(item) for item in legal))
    for name in ("model", "data", "engine", "calibration", "augment"):
        if not isinstance(getattr(config, name), str):
            raise _illegal(name, getattr(config, name), "a name")
    for rule in config.rules:
        if len(rule) != 2 or not isinstance(rule[0], str) or rule[1] not in RULES:
            raise _illegal("rules", rule, "pairs of a name pattern and 'exact' or 'table'")
    if config.rules and config.design is None:
        raise _illegal("rules", config.rules, "none, because no design is given")


def _check_multipliers(config: TrainConfig) -> None:
    """Check what concerns products: options of layers, and the schedule."""
    # Made to be checked; the same fields are checked where the layers are made.
    LayerOptions(
        gradient=config.gradient, quantizer=config.quantizer, accumulator=config.accumulator
    )
    if not isinstance(config.approximate, str):
        raise _illegal("approximate", config.approximate, repr(EVERY_PRODUCT))
    parse_products(config.approximate)
    if not isinstance(config.correct_bias, bool):
        raise _illegal("correct_bias", config.correct_bias, "true or false")
    if config.multipliers is None:
        return
    last = None if config.is_noisy else config.phases[-1].name
    if config.design != last:
        raise _illegal("design", config.design, f"{last!r}, which multipliers end with")


def _check_assignment(config: TrainConfig) -> None:
    pairs = config.assignment
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(name, str) and name for name in pair):
            raise _illegal("assignment", pair, "pairs of a layer and a design")
    if len({layer for layer, _ in pairs}) != len(pairs):
        raise _illegal("assignment", [layer for layer, _ in pairs], "each layer once")
    for name in ("design", "multipliers", "rules") if pairs else ():
        if getattr(config, name):
            raise _illegal(
                name, getattr(config, name), "none, because the assignment names the designs"
            )


def _check_numbers(config: TrainConfig) -> None:
    for name, least in (
        ("epochs", 0),
        ("batch_size", 1),
        ("seed", 0),
        ("calibration_images", 1),
        ("threads", 1),
        ("limit_train", 1),
        ("limit_test", 1),
        ("patience", 1),
    ):
        value = getattr(config, name)
        optional = name in ("threads", "limit_train", "limit_test", "patience")
        if optional and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _illegal(name, value, f"a whole number from {least} up")
    for name, low, high, legal in (
        ("lr", 0.0, math.inf, "a number above 0"),
        ("momentum", -1e-300, 1.0, "0 or more, below 1"),
        ("weight_decay", -1e-300, math.inf, "0 or more"),
        ("val_fraction", -1e-300, 1.0, "0 or more, below 1"),
    ):
        value = getattr(config, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low < value < high:
            raise _illegal(name, value, legal)


def _illegal(name: str, value: object, legal: str) -> ConfigError:
    return ConfigError(f"illegal value for {name}", got=repr(value), expected=legal)
