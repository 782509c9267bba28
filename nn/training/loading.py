"""Trained models, read back for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..layer_tables import set_tables
from .checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from .determinism import reproducible
from .evaluation import Evaluation, evaluate
from .identity import check_data, check_table
from .prepare import restored_model
from .run_data import prepare_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from ..data import ImageData
    from ..multipliers import MultiplierTable


@dataclass(frozen=True)
class LoadedModel:
    """A trained model.

    Attributes:
        model: the network in evaluation mode, with the weights that count as the run's result.
        checkpoint: all that the file says about it.
        engine: the engine that does the table's sums; None in fp32.
    """

    model: nn.Module
    checkpoint: Checkpoint
    engine: str | None


def load_model(
    path: Path,
    table: MultiplierTable | None,
    *,
    engine: str = "auto",
    tables: Mapping[str, MultiplierTable] | None = None,
) -> LoadedModel:
    """Read a trained model back, refusing any table but the one that it was trained with.

    To see what a design does to fp32 weights, train with ``init`` and ``epochs=0`` instead: that
    finds the activation ranges which an fp32 checkpoint does not have.

    Args:
        path: a checkpoint, or the folder of a run.
        table: the table of the design that it was trained with; None if it is fp32.
        engine: name of the engine that does the table's sums.
        tables: by name, those of its assignment, or whose errors are drawn, if the run has any.

    Raises:
        RecordError: the checkpoint is missing or damaged.
        IdentityError: the table is another one; gives both ids.
        EngineError: the engine cannot run here.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    checkpoint = load_checkpoint(file)
    check_table(checkpoint, file, table)
    config = replace(checkpoint.config, engine=engine)
    prepared = restored_model(replace(checkpoint, config=config), file, table, tables or {})
    prepared.model.eval()
    return LoadedModel(prepared.model, checkpoint, prepared.engine)


def evaluate_checkpoint(
    path: Path,
    data: ImageData,
    table: MultiplierTable | None,
    *,
    engine: str = "auto",
    threads: int | None = None,
    tables: Mapping[str, MultiplierTable] | None = None,
    assigned: Mapping[str, MultiplierTable] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Evaluation, LoadedModel]:
    """Evaluate a trained model on the test images that its own run used.

    Args:
        path: a checkpoint, or the folder of a run.
        data: the data set that it was trained on.
        table: the table of the design that it was trained with; None if it is fp32.
        engine: name of the engine that does the table's sums.
        threads: CPU threads, or None to leave torch's setting.
        tables: by name, those of its assignment, or whose errors are drawn, if the run has any.
        assigned: layer -> table to evaluate it with in place of the one that it was trained with;
            weights and ranges stay.
        progress: called with batches done and batches in all.

    Raises:
        RecordError: the checkpoint is missing or damaged.
        IdentityError: the table is another one; gives both ids.
        DataError: the data set is another one; gives both hashes.
        UnknownNameError, ConfigError: a table is assigned to no layer, or does not fit it.
        EngineError: the engine cannot run here.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    with reproducible(seed=0, threads=threads):
        loaded = load_model(file, table, engine=engine, tables=tables)
        check_data(loaded.checkpoint, file, data)
        set_tables(loaded.model, assigned or {})
        config = loaded.checkpoint.config
        test = prepare_data(config, data).test
        precision = config.precision
        return evaluate(loaded.model, test, precision=precision, progress=progress), loaded
