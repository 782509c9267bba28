"""A checkpoint made ready for any table of one operand format, and accuracies measured with it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from ...core.errors import ConfigError, IdentityError
from ...core.files import readable_json, sha256_file, write_atomic
from ..data import subset
from ..kinds import approx_layers
from ..training.checkpoint import CHECKPOINT_NAME, load_checkpoint
from ..training.evaluation import evaluate
from ..training.identity import check_data
from ..training.loading import load_model
from ..training.prepare import calibrate_ranges, plain_model, with_table
from ..training.run_data import prepare_data
from ..training.weights import load_weights
from .probing import exact_like

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from ...lutgen.table import ProductTable
    from ..data import Batches, ImageData
    from ..training.evaluation import Evaluation


@dataclass(frozen=True)
class Network:
    """A trained network that multiplies exactly and takes other tables.

    Attributes:
        model: in evaluation mode, activation ranges known.
        calibration: images to analyse it with, float32 [N, C, H, W], normalised.
        test: the test images.
        classes: how many.
        identity: what an accuracy of it depends on besides the table, plain JSON values.
    """

    model: nn.Module
    calibration: Tensor
    test: Batches
    classes: int
    identity: dict[str, Any]

    def measure(self, table: ProductTable) -> Evaluation:
        """Evaluate the network with one table in all its layers."""
        layers = list(approx_layers(self.model))
        before = [layer.table for _, layer in layers]
        try:
            for _, layer in layers:
                layer.set_table(table)
            return evaluate(self.model, self.test)
        finally:
            for (_, layer), own in zip(layers, before, strict=True):
                layer.set_table(own)


def open_network(
    path: Path,
    data: ImageData,
    like: ProductTable,
    *,
    own: ProductTable | None = None,
    images: int = 128,
    limit_test: int | None = None,
    engine: str = "auto",
) -> Network:
    """Read a checkpoint and let its layers multiply exactly.

    An fp32 network is quantized after training: activation ranges are found on the calibration
    images of its configuration, batch normalisation stays where it is.

    Args:
        path: a checkpoint, or the folder of a run.
        data: the data set that it was trained on.
        like: a table with the operands that are wanted.
        own: the table of the design that it was trained with, if it is not fp32.
        images: how many training images to analyse it with, drawn at random, always the same.
        limit_test: how many test images to measure on, always the same; all if None.
        engine: name of the engine that does the table's sums.

    Raises:
        RecordError: the checkpoint is missing or damaged.
        IdentityError: ``own`` is not the table that it was trained with.
        DataError: the data set is another one.
        ConfigError: it was trained with operands of another format, or on drawn errors.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    checkpoint = load_checkpoint(file)
    check_data(checkpoint, file, data)
    config = replace(checkpoint.config, limit_test=limit_test or checkpoint.config.limit_test)
    prepared = prepare_data(config, data)
    exact = exact_like(like)
    if checkpoint.characterization_id is None:
        model = plain_model(config, checkpoint.shape)
        load_weights(model, checkpoint.weights, file)
        with_table(model, replace(config, engine=engine), exact, {})
        calibrate_ranges(model, prepared.calibration, config.calibration)
    else:
        model = load_model(file, own, engine=engine).model
        _check_operands(model, exact, file)
        for _, layer in approx_layers(model):
            layer.set_table(exact)
    model.eval()
    identity = {
        "checkpoint_sha256": sha256_file(file),
        "data_sha256": data.provenance["sha256"],
        "test_images": prepared.test.count,
        "operands": [exact.width_a, exact.width_b, exact.signed_a, exact.signed_b],
    }
    chosen = _drawn(prepared.calibration, images)
    return Network(model, chosen, prepared.test, prepared.shape["num_classes"], identity)


def _check_operands(model: nn.Module, exact: ProductTable, file: Path) -> None:
    for name, layer in approx_layers(model):
        trained = exact_like(layer.table)
        if trained != exact:
            raise ConfigError(
                f"layer {name!r} of {file} was trained with operands of another format",
                got=repr(exact),
                expected=repr(trained),
                remedy="name designs with the operands of the one that it was trained with",
            )


def _drawn(part: Batches, images: int) -> Tensor:
    rows = subset(part.count, images)
    taken = (
        part if rows is None else replace(part, images=part.images[rows], labels=part.labels[rows])
    )
    return torch.cat([batch for batch, _ in taken.epoch()])


@dataclass(eq=False)
class Measured:
    """Accuracies of one network by design, kept in a file.

    Attributes:
        identity: of the network, as `Network.identity`; None where it is not known.
        accuracies: table id or design name -> accuracy, 0 to 1.
        path: where `add` keeps them; None for nowhere.
    """

    identity: dict[str, Any] | None
    accuracies: dict[str, float] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def read(cls, path: Path, identity: dict[str, Any]) -> Measured:
        """Read a file of accuracies: JSON as `add` writes it, or CSV of design,accuracy.

        A JSON file that does not exist yet is begun.

        Raises:
            ConfigError: it cannot be read, or is no such file.
            IdentityError: it is of another checkpoint, data set, number of images or format.
        """
        if path.suffix == ".csv":
            return cls(None, _read_csv(path))
        if not path.exists():
            return cls(identity, {}, path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            theirs, found = content["network"], content["accuracy"]
            accuracies = {str(key): _accuracy(value, path) for key, value in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path} holds no measured accuracies",
                got=f"{type(error).__name__}: {error}",
                expected='JSON with "network" and "accuracy", or a .csv file of design,accuracy',
            ) from error
        for key, value in identity.items():
            if theirs.get(key) != value:
                raise IdentityError(
                    f"the accuracies in {path} are of another network: {key} differs",
                    got=theirs.get(key),
                    expected=value,
                    remedy="name another file, or delete this one to measure anew",
                )
        return cls(identity, accuracies, path)

    def get(self, table: ProductTable) -> float | None:
        """Return what is known of a table, by its id or its design's name."""
        return self.accuracies.get(table.id, self.accuracies.get(table.name))

    def add(self, table: ProductTable, accuracy: float) -> None:
        """Note an accuracy, and write the file at once."""
        self.accuracies[table.id] = accuracy
        if self.path is not None:
            content = {"network": self.identity, "accuracy": self.accuracies}
            write_atomic(self.path, readable_json(content))


def _read_csv(path: Path) -> dict[str, float]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read", got=error) from error
    if rows and rows[0][-1].strip().lower() == "accuracy":
        rows = rows[1:]
    found = {}
    for row in rows:
        if len(row) != 2:
            raise ConfigError(f"{path} has a line that is not design,accuracy", got=",".join(row))
        found[row[0].strip()] = _accuracy(row[1], path)
    return found


def _accuracy(value: object, path: Path) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise ConfigError(
            f"{path} has an accuracy that is none", got=repr(value), expected="0 to 1"
        )
    return number
