"""From a configuration to what a run works with: batches, and a model that goes through its table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, IdentityError, RecordError
from ...core.files import sha256_file
from ...core.names import unknown_name
from ...lutgen.mantissa import MantissaTable
from ..bias_correction import ensure_biases
from ..convert import approximate, calibrate, layers_with_table, table_ids
from ..data import AUGMENTATIONS, batches, fit_images, split_rows, subset
from ..models import build_model, model_spec
from ..noise import RelativeError, add_noise
from .checkpoint import CHECKPOINT_NAME, load_checkpoint
from .schedule import phase_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from ..convert import Assignment
    from ..data import Batches, ImageData
    from ..multipliers import MultiplierTable
    from .checkpoint import Checkpoint
    from .config import TrainConfig
    from .schedule import Phase

_EVALUATION_BATCH = 500
_SPLIT_SEED = 0
SCHEDULED = "schedule: "
"""Before the name of a scheduled multiplier, among the table ids of a checkpoint."""


@dataclass(frozen=True)
class PreparedData:
    """The batches of a run.

    Attributes:
        data: the data set, brought to the model's size.
        train: shuffled, augmented, full batches only.
        validation: the held-out training images in order, or None.
        test: the test images in order.
        calibration: training images in order, not augmented, to find activation ranges on.
    """

    data: ImageData
    train: Batches
    validation: Batches | None
    test: Batches
    calibration: Batches

    @property
    def shape(self) -> dict[str, int]:
        """in_channels, num_classes, height and width for the model."""
        height, width = self.data.size
        return {
            "in_channels": self.data.channels,
            "num_classes": len(self.data.classes),
            "height": height,
            "width": width,
        }

    @property
    def images(self) -> dict[str, int]:
        """How many images train, validate and test."""
        validation = 0 if self.validation is None else self.validation.count
        return {"train": self.train.count, "validation": validation, "test": self.test.count}


def prepare_data(config: TrainConfig, data: ImageData) -> PreparedData:
    """Fit, split and limit a data set as a configuration says.

    Normalisation is by all training images, and the images held out are the same whatever the
    seed and the limits: a model trained further never meets in training what it is validated on,
    nor the other way round, as long as ``val_fraction`` stays the same.

    Raises:
        ConfigError: the data is not the configuration's, or too little for one batch.
        UnknownNameError: no such model or augmentation.
    """
    if data.name != config.data:
        raise ConfigError(
            "the data set is not the configuration's", got=data.name, expected=config.data
        )
    if config.augment not in ("auto", *AUGMENTATIONS):
        raise unknown_name(config.augment, ("auto", *AUGMENTATIONS), kind="augmentation")
    fitted = fit_images(data, model_spec(config.model).input_size(*data.size))
    train_rows, validation_rows = _training_rows(config, fitted)
    size = config.batch_size
    train = batches(
        fitted,
        rows=train_rows,
        batch_size=size,
        seed=config.seed,
        augment=fitted.augment if config.augment == "auto" else config.augment,
        drop_last=True,
    )
    validation = None
    if len(validation_rows):
        validation = batches(fitted, rows=validation_rows, batch_size=_EVALUATION_BATCH)
    test_rows = subset(len(fitted.test_labels), config.limit_test)
    return PreparedData(
        data=fitted,
        train=train,
        validation=validation,
        test=batches(fitted, "test", rows=test_rows, batch_size=_EVALUATION_BATCH),
        calibration=batches(
            fitted, rows=_some(train_rows, config.calibration_images), batch_size=size
        ),
    )


def _training_rows(config: TrainConfig, data: ImageData) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and those to validate on."""
    count = len(data.train_labels)
    limit = count if config.limit_train is None else min(config.limit_train, count)
    train, validation = split_rows(count, round(config.val_fraction * count), _SPLIT_SEED)
    held_out = round(config.val_fraction * limit)
    train, validation = _some(train, limit - held_out), _some(validation, held_out)
    if len(train) < config.batch_size and config.epochs > 0:
        raise ConfigError(
            "too few training images for one batch",
            got=f"{len(train)} images, batch_size = {config.batch_size}",
            remedy="lower batch_size or val_fraction, or raise limit_train",
        )
    if config.keep == "best" and not held_out:
        raise ConfigError(
            "no images are held out to choose the best epoch by",
            got=f"val_fraction = {config.val_fraction} of {limit} images",
            remedy="raise val_fraction or limit_train, or set keep to 'last'",
        )
    return train, validation


def _some(rows: Tensor, wanted: int) -> Tensor:
    kept = subset(len(rows), wanted)
    return rows if kept is None else rows[kept]


@dataclass(frozen=True)
class PreparedModel:
    """A model ready to run.

    Attributes:
        model: the network.
        engine: the engine that does the table's sums; None in fp32.
        table_ids: layer name -> id of its table; empty in fp32.
    """

    model: nn.Module
    engine: str | None
    table_ids: dict[str, str]


def plain_model(config: TrainConfig, shape: dict[str, int]) -> nn.Module:
    """Build a configuration's model in fp32 with freshly drawn weights."""
    return build_model(
        config.model,
        in_channels=shape["in_channels"],
        num_classes=shape["num_classes"],
        image_size=(shape["height"], shape["width"]),
    )


def with_table(
    model: nn.Module,
    config: TrainConfig,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable],
) -> PreparedModel:
    """Let a model's layers multiply as the configuration says: by a table, or with noise.

    Args:
        model: in fp32.
        config: what it says.
        table: of its design, or None.
        tables: of its schedule, by name.

    Raises:
        ConfigError: a table whose errors are to be drawn is missing.
    """
    if config.is_noisy:
        check_tables(config, table, tables)
        add_noise(model, _relative_error(config.phases[-1], tables))
        return PreparedModel(model, None, {})
    if table is None:
        return PreparedModel(model, None, {})
    rules: list[tuple[str, Assignment]] = [
        (pattern, table if kind == "table" else "exact") for pattern, kind in config.rules
    ]
    conversion = approximate(
        model,
        table,
        rules=rules,
        engine=config.engine,
        calibration=config.calibration,
        gradient=config.gradient,
        quantizer=config.quantizer,
        accumulator=config.accumulator,
        approximate=config.approximate,
    )
    if config.correct_bias:
        if isinstance(table, MantissaTable):
            raise ConfigError(
                "the bias is corrected for integer operands alone",
                got=f"correct_bias, and the floating-point design {table.name!r}",
                remedy="leave correct_bias out",
            )
        ensure_biases(model)
    return PreparedModel(model, conversion.engine, table_ids(model))


def enter_epoch(
    model: nn.Module, config: TrainConfig, epoch: int, tables: Mapping[str, MultiplierTable]
) -> str | None:
    """Let a model multiply as the schedule has it in an epoch.

    Args:
        model: as `with_table` left it.
        config: with the schedule, if there is one.
        epoch: counted from 0; one past the end is the last phase.
        tables: of the schedule's designs, "exact" included, by name.

    Returns:
        The name of the multiplier, None without a schedule.
    """
    if config.multipliers is None:
        return None
    phase = phase_at(config.phases, epoch)
    if config.is_noisy:
        add_noise(model, _relative_error(phase, tables))
        return phase.name
    table: Any = tables[phase.name]  # of the kind that the layers have: see check_tables
    for _, layer in layers_with_table(model):
        layer.set_table(table)
    return phase.name


def check_tables(
    config: TrainConfig, table: MultiplierTable | None, tables: Mapping[str, MultiplierTable]
) -> dict[str, str]:
    """Make sure that a schedule's tables are there and alike; return their ids by name.

    Raises:
        ConfigError: one is missing, or has operands of other widths or signs.
    """
    if config.multipliers is None:
        return {}
    if config.is_noisy:
        return _check_noise(config, tables)
    ids = {}
    for name in dict.fromkeys(phase.name for phase in config.phases):
        found = tables.get(name)
        if found is None or table is None or _operands_of(found) != _operands_of(table):
            raise ConfigError(
                f"the schedule's multiplier {name!r} does not fit",
                got="no table" if found is None else repr(found),
                expected=f"a table with the operands of {table!r}",
            )
        ids[name] = found.id
    return ids


def _check_noise(config: TrainConfig, tables: Mapping[str, MultiplierTable]) -> dict[str, str]:
    names = dict.fromkeys(phase.drawn_from for phase in config.phases)
    for name in names:
        if name is not None and name not in tables:
            raise ConfigError(
                f"the relative errors of {name!r} are to be drawn", got="no table of it"
            )
    return {name: tables[name].id for name in names if name is not None}


def scheduled_ids(
    config: TrainConfig, table: MultiplierTable | None, tables: Mapping[str, MultiplierTable]
) -> dict[str, str]:
    """Return the ids of `check_tables` as a checkpoint keeps them, beside those of the layers."""
    ids = check_tables(config, table, tables)
    return {f"{SCHEDULED}{name}": id_ for name, id_ in ids.items()}


def _relative_error(phase: Phase, tables: Mapping[str, MultiplierTable]) -> RelativeError:
    if phase.drawn_from is not None:
        return RelativeError.of_table(tables[phase.drawn_from])
    return RelativeError(phase.sigma or 0.0)


def _operands_of(table: MultiplierTable) -> tuple[object, ...]:
    if isinstance(table, MantissaTable):
        return ("mantissas", table.mantissa_bits)
    return table.width_a, table.width_b, table.signed_a, table.signed_b


def calibrate_ranges(model: nn.Module, part: Batches, method: str) -> None:
    """Find the activation ranges of every layer that has a table on the images of ``part``."""
    calibrate(model, part.epoch(), method=method)


def restored_model(
    checkpoint: Checkpoint,
    path: Path,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable],
) -> PreparedModel:
    """Build the model of a checkpoint, with its table and the weights that count as its result.

    Of its schedule, ``tables`` needs those whose errors are drawn, as there is no other table then.

    Raises:
        ConfigError: such a table is missing.
        RecordError: the weights do not fit the model.
        IdentityError: a layer's table is not the one that it was trained with.
    """
    config = checkpoint.config
    prepared = with_table(plain_model(config, checkpoint.shape), config, table, tables)
    ids = prepared.table_ids | (scheduled_ids(config, table, tables) if config.is_noisy else {})
    check_layer_tables(ids, checkpoint, path, scheduled=config.is_noisy)
    load_weights(prepared.model, checkpoint.weights, path)
    return prepared


def check_layer_tables(
    mine: Mapping[str, str], checkpoint: Checkpoint, path: Path, *, scheduled: bool = True
) -> None:
    """Make sure that each layer has the table that it was trained with.

    Args:
        mine: layer (or scheduled multiplier) to id.
        checkpoint: what to compare with.
        path: its file.
        scheduled: whether to compare the schedule's multipliers, which only training needs.

    Raises:
        IdentityError: one has another, or none.
    """
    theirs = {
        layer: id_
        for layer, id_ in checkpoint.table_ids.items()
        if scheduled or not layer.startswith(SCHEDULED)
    }
    for layer in sorted(mine.keys() | theirs.keys()):
        if mine.get(layer) != theirs.get(layer):
            raise IdentityError(
                f"layer {layer!r} of {path} was trained with another table",
                got=mine.get(layer, "no table"),
                expected=theirs.get(layer, "no table"),
                remedy="use the rules and the table of that run",
            )


def load_weights(model: nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Load a state_dict that must fit exactly.

    Raises:
        RecordError: names or shapes differ.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RecordError(
            f"the weights in {path} do not fit the model",
            got="; ".join(line.strip() for line in str(error).splitlines()[1:4]),
            remedy="check model, data set and rules: they set the shapes of the layers",
        ) from error


def initial_weights(
    model: nn.Module, config: TrainConfig, table: MultiplierTable | None
) -> dict[str, Any] | None:
    """Load the weights that a run begins with into a plain fp32 model.

    Weights and batch statistics alone are taken; activation ranges are found anew, because they
    belong to the run.

    Returns:
        Where the weights came from, or None if the configuration names no source.

    Raises:
        RecordError: the checkpoint is damaged or does not fit the model.
        IdentityError: it was trained with another table and the configuration does not allow it.
    """
    if config.init is None:
        return None
    path = Path(config.init)
    path = path / CHECKPOINT_NAME if path.is_dir() else path
    checkpoint = load_checkpoint(path)
    mine = None if table is None else table.id
    if checkpoint.characterization_id not in (None, mine) and not config.init_from_other_table:
        raise IdentityError(
            f"{path} was trained with another table",
            got=f"{checkpoint.config.design}, id {checkpoint.characterization_id}",
            expected="fp32, or " + ("no table" if table is None else f"{table.name}, id {mine}"),
            remedy="begin from fp32 weights, or set init_from_other_table if this is meant",
        )
    names = model.state_dict().keys()
    weights = {name: value for name, value in checkpoint.weights.items() if name in names}
    load_weights(model, weights, path)
    return {
        "path": str(path),
        "sha256": sha256_file(path),
        "design": checkpoint.config.design,
        "characterization_id": checkpoint.characterization_id,
        "epoch": checkpoint.epoch,
        "epochs": checkpoint.config.epochs,
    }
