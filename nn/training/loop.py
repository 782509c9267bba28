"""Training: epochs, checkpoints, and one result at the end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from torch.nn import functional

from ...core.errors import ConfigError
from .checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from .config import learning_rate
from .determinism import reproducible
from .distributed import join_processes
from .evaluation import products_per_image
from .folder import locked
from .identity import check_processes, check_same_run
from .precision import exact_parts_in
from .prepare import enter_epoch
from .progress import EpochDone, Finished, Interrupted, Started, StepDone, silent
from .results import RESULT_NAME, load_result
from .run_data import prepare_data
from .session import Session, begin, finish, next_state, resume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from ..data import ImageData
    from ..multipliers import MultiplierTable
    from .auditing import TrainingAudit
    from .config import TrainConfig
    from .evaluation import Evaluation
    from .progress import Progress
    from .results import RunResult

_STEP_INTERVAL_S = 0.2


def train(
    config: TrainConfig,
    data: ImageData,
    table: MultiplierTable | None,
    folder: Path,
    *,
    tables: Mapping[str, MultiplierTable] | None = None,
    progress: Progress = silent,
    audit: TrainingAudit | None = None,
) -> RunResult:
    """Train a model, through a table or in fp32, and evaluate it on the test set.

    The folder gets config.json at the start, checkpoint.pt and metrics.jsonl after each epoch and
    result.json at the end, each written whole or not at all. A folder with a checkpoint of the
    same configuration, table and data is gone on with, to the same result bit for bit (on the
    same machine, versions, number of threads and of processes) as if it had never been interrupted; one with a
    result is only read. Each epoch ends with a look at the held-out training images.

    Started by torchrun, the processes share each batch (`rtlgrad.nn.training.distributed`); all
    of them need the folder, and all return the result.

    The test set is used for two figures: ``initial``, before the first step, if there are weights
    to begin with; and ``test``, of the resulting weights. No choice depends on either.

    Args:
        config: what to do.
        data: the data set that the configuration names.
        table: the table of the design that it names; None if it names none.
        folder: where the run is kept.
        tables: by name, those of the schedule of multipliers ("exact" included) or of the
            assignment, if there is one.
        progress: told about each step; raise KeyboardInterrupt from it to stop.
        audit: compares the model with the live RTL after every so many epochs; what it finds is in
            metrics.jsonl, and the result does not depend on it.

    Raises:
        AuditError: an audit found a mismatch, and training is to stop then.
        ConfigError: table and configuration disagree, the folder holds another run or is in use,
            or the training diverged.
        IdentityError: table or init checkpoint are not the ones that belong here.
        RecordError: a checkpoint or result is damaged.
        DataError: the data changed since the run was begun.
    """
    _check_design(config, table)
    group = join_processes()
    with group.only_here(locked(folder)):
        group.check(config)
        progress = progress if group.writes else silent
        if (folder / RESULT_NAME).exists():
            return _finished_before(config, data, table, tables, folder, progress)
        checkpoint = _found_checkpoint(config, data, table, tables, folder, group.count)
        group.wait()  # all have looked into the folder before the first one writes there
        threads = config.threads if checkpoint is None else checkpoint.threads
        with reproducible(config.seed, threads):
            batches = prepare_data(config, data)
            run = Session(
                config, table, folder, progress, batches, tables or {}, group, audit=audit
            )
            try:
                return _work(run, checkpoint)
            except KeyboardInterrupt:
                safe = 0 if run.state is None else run.state.epoch
                progress(Interrupted(folder, safe, config.epochs))
                raise


def _finished_before(
    config: TrainConfig,
    data: ImageData,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable] | None,
    folder: Path,
    progress: Progress,
) -> RunResult:
    """Return the result that a folder holds, if it is that of the same run."""
    result = load_result(folder / RESULT_NAME)
    check_same_run(result, folder / RESULT_NAME, config, table, data, tables)
    progress(Finished(folder, result.initial, result.test))
    return result


def _found_checkpoint(
    config: TrainConfig,
    data: ImageData,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable] | None,
    folder: Path,
    processes: int,
) -> Checkpoint | None:
    """Return the checkpoint that a folder holds, if any, and if it is that of the same run."""
    file = folder / CHECKPOINT_NAME
    if not file.exists():
        return None
    checkpoint = load_checkpoint(file)
    check_same_run(checkpoint, file, config, table, data, tables)
    check_processes(checkpoint, file, processes)
    return checkpoint


def _work(run: Session, checkpoint: Checkpoint | None) -> RunResult:
    config = run.config
    if checkpoint is None:
        prepared, optimizer, state = begin(run)
    else:
        prepared, optimizer, state = resume(run, checkpoint)
    run.products_per_image = products_per_image(prepared.model, run.batches.train.images.shape[1:])
    parallel = run.group.parallel(prepared.model)
    run.progress(Started(run.folder, state.epoch, config.epochs, prepared.engine))
    _check_audit(run, state)
    while state.epoch < config.epochs and not out_of_patience(config, state):
        epoch_start = time.perf_counter()
        multiplier = enter_epoch(prepared.model, config, state.epoch, run.tables)
        loss = run.group.mean(_train_epoch(run, parallel, optimizer, state.epoch))
        run.group.agree(prepared.model)
        validation = None
        if run.batches.validation is not None:
            validation = run.evaluate(prepared.model, run.batches.validation, "validation")
        seconds = time.perf_counter() - epoch_start
        record = _epoch_record(run, state.epoch + 1, loss, validation, seconds)
        if multiplier is not None:
            record["multiplier"] = multiplier
        if run.audit is not None and run.group.writes and run.audit.is_due(state.epoch + 1):
            record["audit"] = run.audit.figures(prepared.model, run.batches.calibration)
        state = run.save(next_state(run, state, prepared.model, optimizer, record))
        run.progress(EpochDone(state.epoch, config.epochs, loss, validation, seconds))
        _check_audit(run, state)
    return finish(run, prepared, state)


def _check_audit(run: Session, state: Checkpoint) -> None:
    if run.audit is not None:
        run.audit.check(state.history)


def out_of_patience(config: TrainConfig, state: Checkpoint) -> bool:
    """Say whether the best epoch lies further back than the configuration's patience."""
    if config.patience is None or state.best is None:
        return False
    epoch, best = state.epoch, int(state.best["epoch"])
    return epoch - best >= config.patience


def _train_epoch(
    run: Session, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int
) -> float:
    """Train one epoch (counted from 0); return its mean loss over this process's images."""
    steps = len(run.batches.train)
    total, began, reported = 0.0, time.perf_counter(), 0.0
    model.train()
    for step, (images, labels) in enumerate(run.batches.train.epoch(epoch)):
        rate = learning_rate(run.config, epoch * steps + step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        mine, wanted = run.group.share(images, labels)
        with exact_parts_in(run.config.precision, mine.device):
            logits = model(mine)
        loss = functional.cross_entropy(logits.float(), wanted)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _diverged(run.config, value, epoch + 1, step + 1)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value
        elapsed = time.perf_counter() - began
        if elapsed - reported >= _STEP_INTERVAL_S or step + 1 == steps:
            reported = elapsed
            speed = (step + 1) * run.config.batch_size / elapsed
            mean = total / (step + 1)
            run.progress(
                StepDone(
                    *(epoch + 1, run.config.epochs, step + 1, steps, mean, speed),
                    speed * run.products_per_image,
                )
            )
    return total / steps


def _epoch_record(
    run: Session, epoch: int, loss: float, validation: Evaluation | None, seconds: float
) -> dict[str, Any]:
    steps = len(run.batches.train)
    return {
        "epoch": epoch,
        "train_loss": loss,
        "learning_rate": learning_rate(run.config, epoch * steps - 1, steps),
        "validation": None if validation is None else validation.to_json(),
        "seconds": seconds,
    }


def _check_design(config: TrainConfig, table: MultiplierTable | None) -> None:
    given = None if table is None else table.name
    if given != config.design:
        raise ConfigError(
            "the table given is not the configuration's design",
            got="no table" if given is None else f"the table of {given!r}",
            expected="no table (fp32)" if config.design is None else f"that of {config.design!r}",
        )


def _diverged(config: TrainConfig, loss: float, epoch: int, step: int) -> ConfigError:
    return ConfigError(
        "training diverged",
        got=f"loss {loss} in epoch {epoch}, step {step}, with lr = {config.lr}",
        expected="a finite loss",
        remedy="lower lr, and train in another folder",
    )
