"""From a configuration to a model that multiplies as it says: through its table, or with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ...lutgen.mantissa import MantissaTable
from ..bias_correction import ensure_biases
from ..convert import approximate, table_ids
from ..kinds import layers_with_table
from ..models import build_model
from ..noise import RelativeError, add_noise
from ..range_finding import calibrate
from .run_tables import check_layer_tables, check_tables, scheduled_ids
from .schedule import phase_at
from .weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from ..convert import Assignment
    from ..data import Batches
    from ..multipliers import MultiplierTable
    from .checkpoint import Checkpoint
    from .config import TrainConfig
    from .schedule import Phase


@dataclass(frozen=True)
class PreparedModel:
    """A model ready to run.

    Attributes:
        model: the network.
        engine: the engine that does the table's sums; None in fp32.
        table_ids: layer name -> id of its table; empty in fp32.
    """

    model: nn.Module
    engine: str | None
    table_ids: dict[str, str]


def plain_model(config: TrainConfig, shape: dict[str, int]) -> nn.Module:
    """Build a configuration's model in fp32 with freshly drawn weights."""
    return build_model(
        config.model,
        in_channels=shape["in_channels"],
        num_classes=shape["num_classes"],
        image_size=(shape["height"], shape["width"]),
    )


def with_table(
    model: nn.Module,
    config: TrainConfig,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable],
) -> PreparedModel:
    """Let a model's layers multiply as the configuration says: by a table, or with noise.

    Args:
        model: in fp32.
        config: what it says.
        table: of its design, or None.
        tables: of its schedule or its assignment, by name.

    Raises:
        ConfigError: a table whose errors are to be drawn, or of the assignment, is missing.
        UnknownNameError: the assignment names a layer that the model does not have.
    """
    if config.is_noisy:
        check_tables(config, table, tables)
        add_noise(model, _relative_error(config.phases[-1], tables))
        return PreparedModel(model, None, {})
    if table is None and not config.assignment:
        return PreparedModel(model, None, {})
    rules: list[tuple[str, Assignment]] = [
        (pattern, table if kind == "table" else "exact") for pattern, kind in config.rules
    ]
    rules += [(layer, _assigned(design, tables)) for layer, design in config.assignment]
    conversion = approximate(
        model,
        table,
        rules=rules,
        engine=config.engine,
        calibration=config.calibration,
        gradient=config.gradient,
        quantizer=config.quantizer,
        accumulator=config.accumulator,
        approximate=config.approximate,
    )
    if config.correct_bias:
        floating = next((t for _, t in [("", table), *rules] if isinstance(t, MantissaTable)), None)
        if floating is not None:
            raise ConfigError(
                "the bias is corrected for integer operands alone",
                got=f"correct_bias, and the floating-point design {floating.name!r}",
                remedy="leave correct_bias out",
            )
        ensure_biases(model)
    return PreparedModel(model, conversion.engine, table_ids(model))


def _assigned(design: str, tables: Mapping[str, MultiplierTable]) -> MultiplierTable:
    if design not in tables:
        raise ConfigError(
            f"the assignment's design {design!r} has no table",
            got=", ".join(tables) or "no tables",
            expected="the table of every design that is assigned to a layer",
        )
    return tables[design]


def enter_epoch(
    model: nn.Module, config: TrainConfig, epoch: int, tables: Mapping[str, MultiplierTable]
) -> str | None:
    """Let a model multiply as the schedule has it in an epoch.

    Args:
        model: as `with_table` left it.
        config: with the schedule, if there is one.
        epoch: counted from 0; one past the end is the last phase.
        tables: of the schedule's designs, "exact" included, by name.

    Returns:
        The name of the multiplier, None without a schedule.
    """
    if config.multipliers is None:
        return None
    phase = phase_at(config.phases, epoch)
    if config.is_noisy:
        add_noise(model, _relative_error(phase, tables))
        return phase.name
    table: Any = tables[phase.name]  # of the kind that the layers have: see check_tables
    for _, layer in layers_with_table(model):
        layer.set_table(table)
    return phase.name


def _relative_error(phase: Phase, tables: Mapping[str, MultiplierTable]) -> RelativeError:
    if phase.drawn_from is not None:
        return RelativeError.of_table(tables[phase.drawn_from], phase.per)
    return RelativeError(phase.sigma or 0.0, per=phase.per)


def calibrate_ranges(model: nn.Module, part: Batches, method: str) -> None:
    """Find the activation ranges of every layer that has a table on the images of ``part``."""
    calibrate(model, part.epoch(), method=method)


def restored_model(
    checkpoint: Checkpoint,
    path: Path,
    table: MultiplierTable | None,
    tables: Mapping[str, MultiplierTable],
) -> PreparedModel:
    """Build the model of a checkpoint, with its table and the weights that count as its result.

    Of its schedule, ``tables`` needs those whose errors are drawn, as there is no other table then.

    Raises:
        ConfigError: such a table is missing.
        RecordError: the weights do not fit the model.
        IdentityError: a layer's table is not the one that it was trained with.
    """
    config = checkpoint.config
    prepared = with_table(plain_model(config, checkpoint.shape), config, table, tables)
    ids = prepared.table_ids | (scheduled_ids(config, table, tables) if config.is_noisy else {})
    check_layer_tables(ids, checkpoint, path, scheduled=config.is_noisy)
    load_weights(prepared.model, checkpoint.weights, path)
    return prepared
