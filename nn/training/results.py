"""The result of a run: the figures, and all that is needed to say where they came from."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import RecordError, RtlgradError
from ...core.files import readable_json, write_atomic
from .config import config_from_json
from .evaluation import evaluation_from_json

if TYPE_CHECKING:
    from pathlib import Path

    from .config import TrainConfig
    from .evaluation import Evaluation

RESULT_NAME = "result.json"
_SCHEMA = 1


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        config: what it was asked to do.
        test: evaluation of the resulting weights on the test set.
        initial: evaluation on the test set before training, where weights were given; with a
            table this is what calibration alone achieves. Else None.
        selected_epoch: the epoch that the resulting weights come from (0: before training).
        validation_accuracy: on the held-out images after that epoch, or None.
        design: name of the table's design, or None in fp32.
        characterization_id: of the table, or None.
        table_hash: hash of the table's content, or None.
        table_ids: layer name -> id of the table that it multiplies through.
        engine: the engine that really did the table's sums, or None.
        products: layer name -> products per image.
        augment: the augmentation that was really used.
        init: file, hash, epoch and table of the weights begun with, or None.
        data: provenance of the data set.
        images: images trained on, validated on and tested on.
        checkpoint_sha256: of the run's final checkpoint.
        threads: CPU threads.
        sessions: 1, or more if the run was interrupted and resumed.
        versions: of Python and packages, in the last session.
        started: UTC, ISO 8601.
        ended: UTC, ISO 8601.
        seconds: wall time over all sessions.
        processes: how many shared the batches; 1 in files that do not say.
    """

    config: TrainConfig
    test: Evaluation
    initial: Evaluation | None
    selected_epoch: int
    validation_accuracy: float | None
    design: str | None
    characterization_id: str | None
    table_hash: str | None
    table_ids: dict[str, str]
    engine: str | None
    products: dict[str, int]
    augment: str
    init: dict[str, Any] | None
    data: dict[str, str | None]
    images: dict[str, int]
    checkpoint_sha256: str
    threads: int
    sessions: int
    versions: dict[str, str]
    started: str
    ended: str
    seconds: float
    processes: int = 1

    @property
    def accuracy(self) -> float:
        """Accuracy of the resulting weights on the test set, 0 to 1."""
        return self.test.accuracy

    @property
    def table_products(self) -> int:
        """Products per image that go through a table."""
        return sum(self.products.get(layer, 0) for layer in self.table_ids)


def save_result(folder: Path, result: RunResult) -> Path:
    """Write ``result.json`` into a run's folder, whole or not at all.

    Raises:
        ConfigError: the folder cannot be written.
    """
    payload: dict[str, Any] = {item.name: getattr(result, item.name) for item in fields(result)}
    payload |= {
        "schema": _SCHEMA,
        "complete": True,
        "config": result.config.to_json(),
        "test": result.test.to_json(),
        "initial": None if result.initial is None else result.initial.to_json(),
        # The figures that most readers come for, at the top level.
        "accuracy": result.test.accuracy,
        "loss": result.test.to_json()["loss"],
        "seed": result.config.seed,
        "products_per_image": sum(result.products.values()),
        "table_products_per_image": result.table_products,
    }
    path = folder / RESULT_NAME
    write_atomic(path, readable_json(payload))
    return path


def load_result(path: Path) -> RunResult:
    """Read a result.

    Args:
        path: a ``result.json``, or the folder that holds one.

    Raises:
        RecordError: it is missing, damaged, incomplete or of another schema.
    """
    file = path / RESULT_NAME if path.is_dir() else path
    try:
        payload = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"cannot read {file}", got=error.strerror or str(error)) from error
    except ValueError as error:
        raise RecordError(f"{file} is damaged", got=str(error), expected="JSON") from error
    if not isinstance(payload, dict) or payload.get("complete") is not True:
        raise RecordError(f"{file} is not the result of a finished run", expected="complete: true")
    if payload.get("schema") != _SCHEMA:
        raise RecordError(
            f"{file} follows another schema",
            got=payload.get("schema"),
            expected=_SCHEMA,
            remedy="read it with the version of rtlgrad that wrote it",
        )
    try:
        return _rebuild(payload, file)
    except (KeyError, TypeError, AttributeError, RtlgradError) as error:
        raise RecordError(
            f"{file} is damaged or was edited", got=f"{type(error).__name__}: {error}"
        ) from error


def _rebuild(payload: dict[str, Any], file: Path) -> RunResult:
    payload.setdefault("processes", 1)
    values = {item.name: payload[item.name] for item in fields(RunResult)}
    initial = payload["initial"]
    values["config"] = config_from_json(payload["config"], f"the configuration in {file}")
    values["test"] = evaluation_from_json(payload["test"])
    values["initial"] = None if initial is None else evaluation_from_json(initial)
    result = RunResult(**values)
    if payload["accuracy"] != result.test.accuracy or result.test.count < 1:
        raise RecordError("accuracy does not agree with the evaluation beside it")
    if result.test.accuracy != result.test.correct / result.test.count:
        raise RecordError("accuracy is not correct / count")
    return result


def versions() -> dict[str, str]:
    """Return the versions of Python, torch, numpy and rtlgrad."""
    try:
        own = version("rtlgrad")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "rtlgrad": own,
    }
