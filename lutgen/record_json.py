"""Turns records into plain data for ``record.json``, and plain data back into their parts."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from ..cosim.cost import Cost
from ..cosim.float_format import FloatFormat, FloatPart
from ..cosim.interface import (
    Clocking,
    ClockStyle,
    ControlInput,
    Interface,
    Latency,
    OrderRule,
    Port,
    SignRule,
)
from .decomposition import Decomposition
from .estimate import Estimate
from .float_metrics import FloatMetrics
from .metrics import ErrorMetrics
from .record import Provenance, RecordKind, SourceHash
from .rounding import Rounding
from .sampled_float import SampledFloatMetrics
from .sampled_metrics import SampledMetrics
from .special_operands import Behaviour, CounterExample, SpecialCase, SpecialClass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .record import AnyCharacterization

    Json = Mapping[str, Any]

T = TypeVar("T")


def described(made: AnyCharacterization) -> dict[str, Any]:
    """Return what a record says of every kind of design, as plain data."""
    return {
        "kind": made.kind,
        "id": made.id,
        "identity": made.identity,
        "name": made.name,
        "title": made.title,
        "citation": made.citation,
        "interface": asdict(made.interface),
        "latency": None if made.latency is None else asdict(made.latency),
        "metrics": asdict(made.metrics),
        "cost": asdict(made.cost),
        "provenance": asdict(made.provenance),
        "warnings": list(made.warnings),
    }


def description(record: Json) -> dict[str, Any]:
    """Read back what `described` wrote, as arguments of a characterization.

    Raises:
        KeyError, TypeError, ValueError: it is not complete.
    """
    return {
        "name": record["name"],
        "title": record["title"],
        "citation": record["citation"],
        "interface": interface(record["interface"]),
        "latency": _optional(record["latency"], latency),
        "cost": Cost(**record["cost"]),
        "provenance": provenance(record["provenance"]),
        "warnings": tuple(record["warnings"]),
    }


def interface(content: Json) -> Interface:
    """Read back an interface."""
    ports = {
        role: Port(**{**content[role], "signed_from": SignRule(content[role]["signed_from"])})
        for role in ("a", "b", "out")
    }
    return Interface(
        **{
            **content,
            **ports,
            "order_from": OrderRule(content["order_from"]),
            "parameters": dict(content["parameters"]),
            "clocking": _optional(content["clocking"], clocking),
            "format": _optional(content["format"], _format),
        }
    )


def clocking(content: Json) -> Clocking:
    """Read back the clock of a design and what goes with it."""
    taken = dict(content)
    for role in ("reset", "start"):
        taken[role] = _optional(taken[role], lambda control: ControlInput(**control))
    taken["enables"] = tuple(ControlInput(**control) for control in taken["enables"])
    if taken.get("style") is not None:
        taken["style"] = ClockStyle(taken["style"])
    return Clocking(**taken)


def latency(content: Json) -> Latency:
    """Read back when a product appears."""
    return Latency(**{**content, "style": ClockStyle(content["style"])})


def provenance(content: Json) -> Provenance:
    """Read back where a characterization comes from."""
    sources = tuple(SourceHash(**source) for source in content["sources"])
    return Provenance(**{**content, "sources": sources})


def error_metrics(content: Json) -> ErrorMetrics:
    """Read back the metrics of a table."""
    return ErrorMetrics(**content)


def float_metrics(content: Json) -> FloatMetrics:
    """Read back the metrics of a mantissa table."""
    return FloatMetrics(**content)


def sampled_metrics(content: Json) -> SampledMetrics | SampledFloatMetrics:
    """Read back the metrics of a sample, of integers or of floating-point numbers."""
    taken = {name: _estimate(value) for name, value in content.items()}
    if "specials" not in taken:
        return SampledMetrics(**taken)
    taken["rounding"] = Rounding(taken["rounding"])
    taken["specials"] = tuple(_special(case) for case in taken["specials"])
    return SampledFloatMetrics(**taken)


def decomposition(content: Json | None) -> Decomposition | None:
    """Read back how a floating-point multiplier was taken apart."""
    if content is None:
        return None
    return Decomposition(
        **{**content, "specials": tuple(_special(case) for case in content["specials"])}
    )


_ESTIMATE = {field.name for field in fields(Estimate)}


def _estimate(value: Any) -> Any:
    return Estimate(**value) if isinstance(value, dict) and set(value) == _ESTIMATE else value


def _special(content: Json) -> SpecialCase:
    return SpecialCase(
        operands=SpecialClass(content["operands"]),
        behaviour=Behaviour(content["behaviour"]),
        pairs=content["pairs"],
        other_than_ieee=content["other_than_ieee"],
        counter_example=_optional(content["counter_example"], lambda e: CounterExample(**e)),
    )


def _format(content: Json) -> FloatFormat:
    return FloatFormat(**{**content, "part": FloatPart(content["part"])})


def _optional(content: Json | None, read: Callable[[Json], T]) -> T | None:
    return None if content is None else read(content)


def kind_of(record: Json) -> RecordKind:
    """Return what a record holds.

    Raises:
        KeyError, ValueError: it does not say, or something that is not known.
    """
    return RecordKind(record["kind"])
