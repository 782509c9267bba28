"""What the stages of a characterization hand on to each other.

Every stage is a function from values that can be pickled to values that can be pickled, so that
it runs in a thread, in another process or on another machine alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cosim.cost import CellLibrary
    from ..cosim.design import Design
    from ..cosim.simulation.lint import LintReport
    from ..cosim.synthesis.synthesize import Synthesis
    from .record import AnyCharacterization


@dataclass(frozen=True, slots=True)
class Examined:
    """A design that was read and that lint accepts.

    Attributes:
        design: the design.
        report: what lint found.
    """

    design: Design
    report: LintReport


@dataclass(frozen=True, slots=True)
class Limits:
    """What a measurement may use.

    Attributes:
        jobs: processes at a time.
        time_limit_s: wall seconds that one design's simulation may take.
    """

    jobs: int
    time_limit_s: float


Measured = Mapping[str, Any] | None
"""Design name -> what simulation found, or the RtlgradError that it ended in.

None means that the model of several designs failed as a whole, and that it is not known which of
them is at fault: the batch is halved.
"""

Measure = Callable[[Sequence[Examined], Collection[str], Limits], Measured]
"""Simulates a batch. The names are those of designs that synthesis has proven to keep no state
and to have no unknown output."""

Conclude = Callable[[Examined, Any, "Synthesis", "CellLibrary"], "AnyCharacterization"]
"""Puts together what simulation and synthesis found; raises RtlgradError if they disagree."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to characterize, for the designs that it takes.

    Attributes:
        name: for people.
        takes: whether a design is to be characterized this way.
        measure: simulates a batch of such designs. Raises RtlgradError only for what is not the
            designs' fault (a missing tool).
        conclude: makes the characterization of one design.
        max_designs: how many designs may share a batch.
        weight: operand pairs that a design adds to its model; a batch holds at most
            `rtlgrad.cosim.simulation.batches.MAX_PRODUCTS`, or one design.
    """

    name: str
    takes: Callable[[Design], bool]
    measure: Measure
    conclude: Conclude
    max_designs: int
    weight: Callable[[Design], int]
