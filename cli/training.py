"""``rtlgrad train`` and ``rtlgrad eval``."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.files import canonical_json, sha256_bytes
from ..lutgen.histogram import RECORDING_NAME, save_recording
from ..lutgen.live_store import LiveStore
from ..lutgen.record import Characterization, MantissaCharacterization
from ..lutgen.store import find, load, load_table, load_tabulated
from ..lutgen.tuning import TUNED, tuned_table
from ..nn.assignment.file import check_tables, load_assignment
from ..nn.convert import table_ids
from ..nn.data import load_data
from ..nn.training import (
    CHECKPOINT_NAME,
    RESULT_NAME,
    Finished,
    Interrupted,
    PlainProgress,
    StepDone,
    TrainConfig,
    evaluate_checkpoint,
    load_checkpoint,
    tables_for,
    train,
)
from ..nn.training.allocator import keep_freed_memory
from ..nn.training.auditing import AUDIT_IMAGES, TrainingAudit
from ..nn.training.distributed import is_first
from ..nn.training.recording import record_checkpoint
from ..nn.training.schedule import EXACT
from ..nn.training.tensorboard import TensorBoardProgress
from .console import err, out, print_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from ..nn.multipliers import MultiplierTable
    from ..nn.training import Event, Progress, RunResult

RUNS = Path("out/runs")


@dataclass(frozen=True, slots=True)
class TrainingExtras:
    """What is done beside training, without an effect on its result.

    Attributes:
        rtl: folder of the Verilog designs.
        audit_every: epochs between audits; None for no audit.
        audit_images: images that an audit replays.
        audit_warn: whether training goes on when an audit finds a mismatch.
        record: test images whose operands are recorded in the run's folder; None for no recording.
    """

    rtl: Path = Path("rtl")
    audit_every: int | None = None
    audit_images: int = AUDIT_IMAGES
    audit_warn: bool = False
    record: int | None = None


def run_training(
    config: TrainConfig,
    *,
    folder: Path | None,
    store: Path,
    data_root: Path | None,
    as_json: bool,
    assignment: Path | None = None,
    tensorboard: bool = False,
    extras: TrainingExtras | None = None,
) -> RunResult:
    """Train as configured and print the result; an assignment's tables must have its file's ids.

    Raises:
        ConfigError: an audit or a recording of a network that multiplies in fp32.
    """
    extras = extras or TrainingExtras()
    keep_freed_memory()
    if assignment is not None:
        assigned_tables(assignment, store)
    progress = watching(err())
    if tensorboard:
        progress = TensorBoardProgress(progress)
    table, scheduled = tables_of(config, store)
    if table is not None and config.multipliers is None:
        # A design may be named by the folder of its record; the run is known by its name.
        config = replace(config, design=table.name)
    place = folder or RUNS / run_name(config)
    data = load_data(config.data, data_root)
    _check_extras(config, extras)
    with ExitStack() as stack:
        audit = None
        if extras.audit_every is not None:
            live = stack.enter_context(LiveStore(store, extras.rtl))
            for one in scheduled.values() if scheduled else [table]:
                if one is not None and one.name != EXACT:
                    live(one)  # what cannot be simulated is told before training
            stop = not extras.audit_warn
            audit = TrainingAudit(extras.audit_every, live, extras.audit_images, stop)
        result = train(config, data, table, place, tables=scheduled, progress=progress, audit=audit)
    if not is_first():
        return result
    if extras.record is not None:
        recording = record_checkpoint(place, data, table, images=extras.record, tables=scheduled)
        save_recording(recording, place / RECORDING_NAME)
    if as_json:
        content = json.loads((place / RESULT_NAME).read_text())
        print_json({"folder": str(place), **content})
    else:
        _print_result(result, place)
    return result


def _check_extras(config: TrainConfig, extras: TrainingExtras) -> None:
    asked = {"--audit-every": extras.audit_every, "--record": extras.record}
    for option, value in asked.items():
        if value is not None and (config.is_fp32 or config.is_noisy):
            raise ConfigError(
                f"{option} needs layers with a table",
                got=config.multiplier,
                expected="a design (--design), or a schedule that ends with one",
            )


def run_evaluation(
    checkpoint: Path,
    *,
    design: str | None,
    assignment: Path | None,
    engine: str,
    threads: int | None,
    store: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a checkpoint and print the figures.

    It multiplies through the design that it was trained with, or, layer by layer, through those
    of an assignment.
    """
    keep_freed_memory()
    file = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
    config = load_checkpoint(file).config
    table, tables = (
        tables_of(config, store) if design is None else (stored_table(design, store), {})
    )
    assigned = None if assignment is None else assigned_tables(assignment, store)
    data = load_data(config.data, data_root)
    evaluation, loaded = evaluate_checkpoint(
        *(file, data, table), engine=engine, threads=threads, tables=tables, assigned=assigned
    )
    if as_json:
        identity = {"design": table and table.name, "characterization_id": table and table.id}
        used = {"table_ids": table_ids(loaded.model), "engine": loaded.engine}
        print_json({**evaluation.to_json(), **identity, **used})
        return
    if assignment is not None:
        err().print(
            f"layers multiply as {assignment} says; the weights are of {file}, trained through "
            f"{config.multiplier}",
            markup=False,
        )
    rate = evaluation.products / evaluation.seconds / 1e9
    out().print(
        f"{config.model} on {config.data}, {assignment or config.multiplier}: "
        f"{100 * evaluation.accuracy:.2f} % of {evaluation.count} images right, "
        f"loss {evaluation.loss:.4f}; {evaluation.seconds:.1f} s, {rate:.2f} G products/s"
        + (f" ({loaded.engine} engine)" if loaded.engine else ""),
        markup=False,
    )


def run_name(config: TrainConfig) -> str:
    """Name a run after what distinguishes it."""
    multiplier = config.multiplier
    if config.assignment:  # two assignments may have the same designs
        digest = sha256_bytes(canonical_json(config.to_json()["assignment"]).encode())
        multiplier = f"assignment-{digest[:8]}"
    parts = [config.data, config.model, re.sub(r"[^A-Za-z0-9_.-]+", "_", multiplier)]
    default = TrainConfig(config.model, config.data)
    for option in ("gradient", "quantizer", "accumulator", "approximate", "precision"):
        value = getattr(config, option)
        if value != getattr(default, option):
            parts.append(re.sub(r"[:,\s]+", "_", value))
    if config.correct_bias:
        parts.append("bias")
    if config.init is not None:
        parts.append("from-" + Path(config.init).name.removesuffix(".pt"))
    return "-".join([*parts, f"e{config.epochs}", f"s{config.seed}"])


def watching(console: Console) -> Progress:
    """Return what shows a run's progress: a bar on a terminal, plain lines otherwise."""
    return TerminalProgress(console) if console.is_terminal else PlainProgress()


class TerminalProgress:
    """Shows the steps of an epoch as a bar, and everything else as the plain lines do."""

    def __init__(self, console: Console) -> None:
        from rich.progress import Progress as Bar

        self._console = console
        self._lines = PlainProgress()
        self._bar = Bar(console=console, transient=True)
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if not isinstance(event, StepDone):
            self._stop()
            self._lines(event)
            if isinstance(event, Interrupted | Finished):
                self._bar.stop()
            return
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", total=event.steps)
        text = (
            f"epoch {event.epoch}/{event.epochs}  loss {event.loss:.4f}  "
            f"{event.images_per_s:.0f} images/s  {event.products_per_s / 1e9:.3g} G products/s"
        )
        self._bar.update(self._task, completed=event.step, total=event.steps, description=text)

    def _stop(self) -> None:
        if self._task is not None:
            self._bar.stop()
            self._bar.remove_task(self._task)
            self._task = None


def tables_of(
    config: TrainConfig, store: Path
) -> tuple[MultiplierTable | None, dict[str, MultiplierTable]]:
    """Return the table of a configuration's design, and those of its schedule or assignment.

    Raises:
        ConfigError, UnknownNameError, RecordError: as `stored_table`.
    """

    def stored(name: str) -> MultiplierTable:
        table = stored_table(name, store)
        assert table is not None  # a name was given
        return table

    return tables_for(config, stored)


def stored_table(design: str | None, store: Path) -> MultiplierTable | None:
    """Load the table of a characterized design, of products or of mantissas; None for None.

    With ``+tuned`` behind its name, weights are mapped to suit it (`rtlgrad.lutgen.tuning`).

    Raises:
        ConfigError: there is no store.
        UnknownNameError: it holds no such design.
        RecordError: the record is damaged, or the design has no table.
    """
    if design is None:
        return None
    if not store.is_dir():
        raise ConfigError(
            f"there are no characterized designs: no folder {store}",
            remedy=f"rtlgrad lut {design}",
        )
    if design.endswith(TUNED):
        return tuned_table(load_tabulated(find(store, design.removesuffix(TUNED))).table)
    folder = find(store, design)
    made = load(folder)
    if isinstance(made, Characterization | MantissaCharacterization):
        return made.table
    return load_table(folder)  # says what else it is


def assigned_tables(path: Path, store: Path) -> dict[str, MultiplierTable]:
    """Return layer -> table as an assignment's file says, each of the id that it names.

    Raises:
        RecordError: the file is no assignment.
        UnknownNameError: a design is not in the store.
        IdentityError: the store has another table under a design's name.
    """
    content = load_assignment(path)
    tables = {tile.design: stored_table(tile.design, store) for tile in content.tiles}
    known = {design: table for design, table in tables.items() if table is not None}
    check_tables(content, known, path)
    return {layer: known[design] for layer, design in content.layers}


def _print_result(result: RunResult, folder: Path) -> None:
    before = "" if result.initial is None else f"{100 * result.initial.accuracy:.2f} % before, "
    out().print(
        f"{result.config.model} on {result.config.data}, {result.config.multiplier}: {before}"
        f"{100 * result.test.accuracy:.2f} % of {result.test.count} test images right; "
        f"{result.seconds:.1f} s; {folder}",
        markup=False,
    )
