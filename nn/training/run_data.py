"""The images of a run: fitted to the model, split, limited and batched as its configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.names import unknown_name
from ..data import AUGMENTATIONS, batches, fit_images, split_rows, subset
from ..models import model_spec

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Batches, ImageData
    from .config import TrainConfig

_EVALUATION_BATCH = 500
_SPLIT_SEED = 0


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
