"""One session of a run: how it begins or goes on, what it saves, and how it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from ...core.files import canonical_json, readable_json, sha256_file, write_atomic
from ..bias_correction import correct_biases
from .checkpoint import CHECKPOINT_NAME, Checkpoint, save_checkpoint
from .determinism import random_states, restore_random_states
from .distributed import Processes
from .evaluation import count_products, evaluate, evaluation_from_json
from .folder import CONFIG_NAME, METRICS_NAME
from .prepare import calibrate_ranges, enter_epoch, plain_model, with_table
from .progress import Evaluating, Finished
from .results import RunResult, save_result, versions
from .run_tables import check_layer_tables, scheduled_ids
from .weights import initial_weights, load_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from ..data import Batches
    from ..multipliers import MultiplierTable
    from .auditing import TrainingAudit
    from .config import TrainConfig
    from .evaluation import Evaluation
    from .prepare import PreparedModel
    from .progress import Progress
    from .run_data import PreparedData


@dataclass
class Session:
    """What stays the same over a session, and the latest state that is on disk.

    Attributes:
        config: what the run was asked to do.
        table: the design's table, or None in fp32.
        tables: those of the schedule of multipliers, or of the assignment, by name.
        folder: where the run is kept.
        progress: told about each step.
        batches: the images.
        group: the processes that share the work.
        state: what the checkpoint on disk says; None before the first one.
        seconds_before: wall time of earlier sessions.
        products_per_image: multiplications of a forward pass, for people.
        session_start: of this one, by ``time.perf_counter``.
        audit: compares the model with the live RTL in between; None for no audit.
    """

    config: TrainConfig
    table: MultiplierTable | None
    folder: Path
    progress: Progress
    batches: PreparedData
    tables: Mapping[str, MultiplierTable] = field(default_factory=dict)
    group: Processes = field(default_factory=Processes)
    state: Checkpoint | None = None
    seconds_before: float = 0.0
    products_per_image: int = 0
    session_start: float = field(default_factory=time.perf_counter)
    audit: TrainingAudit | None = None

    @property
    def seconds(self) -> float:
        """Wall time over all sessions up to now."""
        return self.seconds_before + time.perf_counter() - self.session_start

    def evaluate(self, model: nn.Module, part: Batches, what: str) -> Evaluation:
        """Evaluate a model on ``part``, telling the progress under the name ``what``."""
        return evaluate(
            model,
            part,
            precision=self.config.precision,
            progress=lambda done, count: self.progress(Evaluating(what, done, count)),
        )

    def save(self, state: Checkpoint) -> Checkpoint:
        """Put a state on disk."""
        if self.group.writes:
            save_checkpoint(self.folder / CHECKPOINT_NAME, state)
        self.write_metrics(state)
        self.state = state
        return state

    def write_metrics(self, state: Checkpoint) -> None:
        """Write one line for each epoch of a state.

        The whole file is written from the checkpoint's history each time, so that no epoch is
        ever in it twice or missing after a kill.
        """
        if not self.group.writes:
            return
        lines = "".join(canonical_json(record) + "\n" for record in state.history)
        write_atomic(self.folder / METRICS_NAME, lines)


def begin(run: Session) -> tuple[PreparedModel, torch.optim.Optimizer, Checkpoint]:
    """Begin a run: draw or load weights, find ranges, evaluate, write the first checkpoint."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    config, table = run.config, run.table
    if run.group.writes:
        write_atomic(run.folder / CONFIG_NAME, readable_json(config.to_json()))
    plain = plain_model(config, run.batches.shape)
    init = initial_weights(plain, config, table)
    prepared = with_table(plain, config, table, run.tables)
    if prepared.table_ids:
        calibrate_ranges(prepared.model, run.batches.calibration, config.calibration)
        if config.correct_bias:
            correct_biases(prepared.model, run.batches.calibration.epoch())
    initial = None
    if init is not None:
        initial = run.evaluate(prepared.model, run.batches.test, "initial").to_json()
    optimizer = make_optimizer(prepared.model, config)
    state = Checkpoint(
        config=config,
        shape=run.batches.shape,
        characterization_id=None if table is None else table.id,
        table_ids=_all_ids(run, prepared),
        epoch=0,
        model=_copy(prepared.model),
        optimizer=optimizer.state_dict(),
        random=random_states(),
        history=[],
        best=None,
        initial=initial,
        init=init,
        data=run.batches.data.provenance,
        threads=torch.get_num_threads(),
        started=started,
        seconds=run.seconds,
        sessions=1,
        versions=versions(),
        processes=run.group.count,
    )
    return prepared, optimizer, run.save(state)


def resume(
    run: Session, checkpoint: Checkpoint
) -> tuple[PreparedModel, torch.optim.Optimizer, Checkpoint]:
    """Bring model, optimizer and random states back to where a checkpoint left them."""
    path = run.folder / CHECKPOINT_NAME
    run.seconds_before = checkpoint.seconds
    plain = plain_model(run.config, run.batches.shape)
    prepared = with_table(plain, run.config, run.table, run.tables)
    check_layer_tables(_all_ids(run, prepared), checkpoint, path)
    load_weights(prepared.model, checkpoint.model, path)
    optimizer = make_optimizer(prepared.model, run.config)
    optimizer.load_state_dict(checkpoint.optimizer)
    restore_random_states(checkpoint.random)
    run.state = replace(checkpoint, sessions=checkpoint.sessions + 1, versions=versions())
    run.write_metrics(run.state)
    return prepared, optimizer, run.state


def _all_ids(run: Session, prepared: PreparedModel) -> dict[str, str]:
    """Return the layers' table ids, and those of the schedule's multipliers."""
    return prepared.table_ids | scheduled_ids(run.config, run.table, run.tables)


def next_state(
    run: Session,
    state: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    record: dict[str, Any],
) -> Checkpoint:
    """Return the state after one more epoch."""
    best = state.best
    if run.config.keep == "best":
        accuracy = record["validation"]["accuracy"]
        if best is None or accuracy > best["accuracy"]:
            best = {"epoch": record["epoch"], "accuracy": accuracy, "model": _copy(model)}
    return replace(
        state,
        epoch=record["epoch"],
        model=_copy(model),
        optimizer=optimizer.state_dict(),
        random=random_states(),
        history=[*state.history, record],
        best=best,
        seconds=run.seconds,
    )


def finish(run: Session, prepared: PreparedModel, state: Checkpoint) -> RunResult:
    """Evaluate the resulting weights on the test set and write the result."""
    enter_epoch(prepared.model, run.config, run.config.epochs, run.tables)
    load_weights(prepared.model, state.weights, run.folder / CHECKPOINT_NAME)
    initial = None if state.initial is None else evaluation_from_json(state.initial)
    test = initial if run.config.epochs == 0 else None
    test = test or run.evaluate(prepared.model, run.batches.test, "test")
    selected = state.epoch if state.best is None else state.best["epoch"]
    validation = state.history[selected - 1]["validation"] if selected else None
    table = run.table
    run.group.wait()  # the checkpoint is read below
    result = RunResult(
        config=run.config,
        test=test,
        initial=initial,
        selected_epoch=selected,
        validation_accuracy=None if validation is None else validation["accuracy"],
        design=None if table is None else table.name,
        characterization_id=state.characterization_id,
        table_hash=None if table is None else table.content_hash,
        table_ids=prepared.table_ids,
        engine=prepared.engine,
        products=count_products(prepared.model, run.batches.test.images.shape[1:]),
        augment=run.batches.train.augment,
        init=state.init,
        data=state.data,
        images=run.batches.images,
        checkpoint_sha256=sha256_file(run.folder / CHECKPOINT_NAME),
        threads=state.threads,
        sessions=state.sessions,
        versions=state.versions,
        started=state.started,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=run.seconds,
        processes=state.processes,
    )
    if run.group.writes:
        save_result(run.folder, result)
    run.progress(Finished(run.folder, initial, test))
    return result


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimizer that a configuration names, over all parameters of a model.

    Learnt scales are not decayed: nothing speaks for small ones.
    """
    named = dict(model.named_parameters())
    steps = [p for name, p in named.items() if name.endswith(".step")]
    others = [p for name, p in named.items() if not name.endswith(".step")]
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": config.weight_decay}]
    if steps:
        groups.append({"params": steps, "weight_decay": 0.0})
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def _copy(model: nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
