"""A run's configuration as a TOML file: the fields of `TrainConfig`, one key each."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .config import TrainConfig, config_from_json
from .schedule import final_design

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML; names the place.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", got=error.strerror or str(error), expected="a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML", got=error) from error


def build_config(path: Path | None, given: Mapping[str, Any]) -> TrainConfig:
    """Build a configuration from a file and from what the command line gives.

    Where a schedule of multipliers is given without a design, the design is the one that the
    schedule ends with, as it must be.

    Args:
        path: TOML with the fields of `TrainConfig`, ``rules`` a list of pairs; None for no file.
        given: fields that the command line gives, which win.

    Raises:
        ConfigError: a field is unknown (the nearest legal one is suggested), missing or illegal.
    """
    values = {**({} if path is None else read_toml(path)), **given}
    where = "the command line" if path is None else str(path)
    schedule, epochs = values.get("multipliers"), values.get("epochs", 1)
    if isinstance(schedule, str) and isinstance(epochs, int) and "design" not in values:
        values["design"] = final_design(schedule, epochs)
    return config_from_json(values, where)
