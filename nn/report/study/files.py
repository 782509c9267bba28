"""Reads what other commands left in a folder: searches for assignments, and predictions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ....core.errors import RecordError
from .rows import AssignmentRow, LayerRow, PredictionRow, PredictorRow, Search

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = 1
_PREDICTION_KEYS = {"network", "coefficients", "designs", "comparison"}


def is_prediction(path: Path) -> bool:
    """Tell whether a JSON file is what ``rtlgrad predict --json`` prints."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= _PREDICTION_KEYS


def read_prediction(path: Path) -> tuple[list[PredictionRow], list[PredictorRow]]:
    """Read what ``rtlgrad predict --json`` printed.

    Raises:
        RecordError: the file is damaged.
    """
    try:
        content = _json(path)
        rows = [_prediction(str(path), one) for one in content["designs"]]
        metrics = [
            PredictorRow(str(path), str(one["metric"]), one["spearman"], _percent(one["held_out"]))
            for one in content["comparison"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error, "what rtlgrad predict --json prints") from error
    return sorted(rows, key=lambda row: row.ame), metrics


def read_search(path: Path) -> tuple[Search, list[LayerRow]]:
    """Read a ``results.json`` of ``rtlgrad assign``; the layers are those of its choices.

    Raises:
        RecordError: the file is damaged or of another schema.
    """
    try:
        content = _json(path)
        if content["schema"] != _SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        found = _search(str(path.parent), content)
        layers = [
            row
            for of, key in (("chosen", "chosen"), ("best single", "best_single"))
            for row in _layers(str(path.parent), content, of, content[key])
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise _damaged(path, error, "the results of rtlgrad assign, schema 1") from error
    return found, layers


def _search(source: str, content: dict[str, Any]) -> Search:
    rows = [
        _candidate(source, content, one)
        for one in content["candidates"]
        if one["measurement"] is not None
        and not one["measurement"]["stopped"]
        and all(value <= 0 for value in one["violations"].values())
    ]
    settings = content["settings"]
    return Search(
        source=source,
        base=content["reference"]["design"],
        accelerator=settings["accelerator"],
        figure=settings["energy"],
        max_loss=float(content["max_loss_points"]),
        candidates=tuple(sorted(rows, key=lambda row: row.energy_nj)),
    )


def _candidate(source: str, content: dict[str, Any], one: dict[str, Any]) -> AssignmentRow:
    finals = one["finals"] or {}
    test, validation = finals.get("test"), finals.get("validation")
    return AssignmentRow(
        source=source,
        number=one["number"],
        designs=tuple(one["designs"]),
        saved_pct=float(one["saved_pct"]),
        energy_nj=float(one["energy_nj"]),
        search_loss=float(one["loss_points"]),
        validation_loss=None if validation is None else validation["loss_points"],
        test_loss=None if test is None else test["loss_points"],
        test_accuracy=None if test is None else 100 * test["accuracy"],
        front=one["number"] in content["front"],
        single=len(set(one["by_layer"])) == 1,
        chosen=one["number"] == content["chosen"],
        best_single=one["number"] == content["best_single"],
    )


def _layers(source: str, content: dict[str, Any], of: str, number: int | None) -> list[LayerRow]:
    if number is None:
        return []
    one = next(one for one in content["candidates"] if one["number"] == number)
    products = content["energy_model"]["products_per_image"]
    # The keys of an object are sorted in the file; the settings keep the order of the layers.
    return [
        LayerRow(source, of, layer, design, int(products[layer]), float(energy), float(base))
        for layer, design, energy, base in zip(
            content["settings"]["layers"],
            one["by_layer"],
            one["energies_nj"]["per_layer"],
            content["reference"]["energy_nj"]["per_layer"],
            strict=True,
        )
    ]


def _prediction(source: str, one: dict[str, Any]) -> PredictionRow:
    return PredictionRow(
        source=source,
        design=" = ".join(one["designs"]),
        ame=float(one["ame"]),
        predicted=100 * float(one["accuracy"]),
        low=100 * float(one["low"]),
        high=100 * float(one["high"]),
        measured=_percent(one["measured"]),
        fitted=bool(one["fitted"]),
    )


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * float(share)


def _damaged(path: Path, error: Exception, expected: str) -> RecordError:
    return RecordError(
        f"{path} is damaged or was edited",
        got=f"{type(error).__name__}: {error}",
        expected=expected,
    )
