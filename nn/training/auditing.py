"""Audits of trained models, and of models in training, against the live RTL."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import AuditError, ConfigError
from ..audit import AuditPlan, audit_model
from ..layer_tables import set_tables
from .checkpoint import CHECKPOINT_NAME
from .determinism import reproducible
from .identity import check_data
from .loading import load_model
from .run_data import prepare_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from ..audit import AuditResult, Simulators
    from ..data import Batches, ImageData
    from ..multipliers import MultiplierTable

AUDIT_IMAGES = 8
"""Images that an audit replays unless told otherwise."""


def audit_checkpoint(
    path: Path,
    data: ImageData,
    table: MultiplierTable | None,
    simulators: Simulators,
    *,
    images: int = AUDIT_IMAGES,
    plan: AuditPlan | None = None,
    engine: str = "auto",
    threads: int | None = None,
    tables: Mapping[str, MultiplierTable] | None = None,
    assigned: Mapping[str, MultiplierTable] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> AuditResult:
    """Replay test images through a trained model and compare its products with the RTL's.

    Args:
        path: a checkpoint, or the folder of a run.
        data: the data set that it was trained on.
        table: the table of the design that it was trained with.
        simulators: gives the live RTL of a table.
        images: how many of the test images, always the same ones.
        plan: how much is compared; all if None.
        engine: name of the engine that is audited.
        threads: CPU threads, or None to leave torch's setting.
        tables: by name, those of its assignment, or whose errors are drawn, if the run has any.
        assigned: layer -> table to audit it with in place of the one that it was trained with.
        progress: called after each call of a layer with its name and its products.

    Raises:
        RecordError: the checkpoint is missing or damaged.
        DataError: the data set is another one; gives both hashes.
        ConfigError: the model multiplies in fp32.
        IdentityError: a table is another one, or its RTL has changed since.
        SimulationError: the simulation ended.
    """
    file = path / CHECKPOINT_NAME if path.is_dir() else path
    with reproducible(seed=0, threads=threads):
        loaded = load_model(file, table, engine=engine, tables=tables)
        check_data(loaded.checkpoint, file, data)
        set_tables(loaded.model, assigned or {})
        config = loaded.checkpoint.config
        config = replace(config, limit_test=min(images, config.limit_test or images))
        test = prepare_data(config, data).test
        return audit_model(loaded.model, test.epoch(), simulators, plan=plan, progress=progress)


@dataclass(frozen=True)
class TrainingAudit:
    """An audit after every so many epochs of a training run, on its calibration images.

    Attributes:
        every: epochs from one audit to the next; the first is after that many.
        simulators: gives the live RTL of a table.
        images: how many images are replayed.
        stop: whether training stops at a mismatch; else it goes on, and metrics.jsonl has it.
        plan: how much is compared.

    Raises:
        ConfigError: a number below 1.
    """

    every: int
    simulators: Simulators
    images: int = AUDIT_IMAGES
    stop: bool = True
    plan: AuditPlan = field(default_factory=AuditPlan)

    def __post_init__(self) -> None:
        for name in ("every", "images"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"an audit in training with {name} = {getattr(self, name)}",
                    expected="1 or more",
                )

    def is_due(self, epoch: int) -> bool:
        """Say whether the model is audited after an epoch, counted from 1."""
        return epoch % self.every == 0

    def figures(self, model: nn.Module, part: Batches) -> dict[str, Any]:
        """Audit a model on the first images of ``part``; return what metrics.jsonl says of it."""
        images, _ = next(iter(part.epoch()))
        result = audit_model(model, [images[: self.images]], self.simulators, plan=self.plan)
        return result.summary()

    def check(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Refuse to go on from an epoch whose audit found a mismatch.

        Raises:
            AuditError: it did, and training is to stop then.
        """
        figures = history[-1].get("audit") if history else None
        if not self.stop or figures is None or figures["right"] is not False:
            return
        epoch = history[-1]["epoch"]
        raise AuditError(
            f"the audit after epoch {epoch} did not confirm the network's products",
            got=_mismatch(figures),
            expected="the products of the live RTL",
            remedy="audit the run by itself (rtlgrad audit), and characterize the design again",
        )


def _mismatch(figures: Mapping[str, Any]) -> str:
    if figures["wrong"]:
        first = figures["wrong"][0]
        return (
            f"{figures['wrong_pairs']} wrong table entries; layer {first['layer']}, "
            f"{first['design']}: a = {first['a']}, b = {first['b']}: table {first['table']}, RTL "
            f"{first['rtl']}, used {first['uses']} times"
        )
    return f"{figures['wrong_outputs']} outputs that are not the sums of the RTL's products"
