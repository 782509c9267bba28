"""Records which operands meet in the layers of a trained model, on its own test images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.files import sha256_file
from ...lutgen.histogram import OperandRecording
from ..statistics import record_operands
from .checkpoint import CHECKPOINT_NAME
from .determinism import reproducible
from .identity import check_data
from .loading import load_model
from .run_data import prepare_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..data import ImageData
    from ..multipliers import MultiplierTable


def record_checkpoint(
    path: Path,
    data: ImageData,
    table: MultiplierTable | None,
    *,
    images: int | None = None,
    engine: str = "auto",
    threads: int | None = None,
    tables: Mapping[str, MultiplierTable] | None = None,
) -> OperandRecording:
    """Run a trained model on test images and count the operand pairs of every layer.

    Args:
        path: a checkpoint, or the folder of a run.
        data: the data set that it was trained on.
        table: the table of the design that it was trained with.
        images: how many test images, always the same ones; all that the run tested on if None.
        engine: name of the engine that does the table's sums; counts do not depend on it.
        threads: CPU threads, or None to leave torch's setting.
        tables: those of its assignment, by name, if it has one.

    Raises:
        RecordError: the checkpoint is missing or damaged.
        IdentityError: the table is another one; gives both ids.
        DataError: the data set is another one; gives both hashes.
        ConfigError: the model multiplies in fp32.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    with reproducible(seed=0, threads=threads):
        loaded = load_model(file, table, engine=engine, tables=tables)
        check_data(loaded.checkpoint, file, data)
        config = loaded.checkpoint.config
        wanted = [limit for limit in (config.limit_test, images) if limit is not None]
        config = replace(config, limit_test=min(wanted, default=None))
        test = prepare_data(config, data).test
        histograms = record_operands(loaded.model, test.epoch())
    source = {
        "checkpoint_sha256": sha256_file(file),
        "model": config.model,
        "data": config.data,
        "data_sha256": data.provenance["sha256"],
        "split": "test",
        "images": test.count,
    }
    return OperandRecording(histograms, source)
