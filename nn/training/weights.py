"""Weights that a model is given: those of a checkpoint, or those that a run begins with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import IdentityError, RecordError
from ...core.files import sha256_file
from .checkpoint import CHECKPOINT_NAME, load_checkpoint

if TYPE_CHECKING:
    from torch import nn

    from ..multipliers import MultiplierTable
    from .config import TrainConfig


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
    other = checkpoint.characterization_id not in (None, mine)
    # Of an assignment the designs are compared; that of other tables has no one id.
    other |= checkpoint.config.assignment not in ((), config.assignment)
    if other and not config.init_from_other_table:
        raise IdentityError(
            f"{path} was trained with another table",
            got=f"{checkpoint.config.multiplier}, id {checkpoint.characterization_id}",
            expected="fp32, or "
            + (config.multiplier if table is None else f"{table.name}, id {mine}"),
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
