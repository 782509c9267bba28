"""Which multiplier a run uses in which epoch: hybrid training, and any other order.

``mul8u_trunc8:0-8,exact:8-10`` multiplies approximately in epochs 0 to 7 and exactly in 8 and 9
(Hammad et al.: approximate first, exact for the last epochs). ``noise(0.1)`` stands for products
with a normal relative error of standard deviation 0.1, ``noise(table:mul8u_trunc8)`` for products
with the relative errors that this design's table has; with them, ``exact`` means no error, in float.
In ``noise(weight:0.1)`` and ``noise(weight:table:mul8u_trunc8)`` each weight has one error in a forward
pass, in place of one for each product (`rtlgrad.nn.noise`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from ...core.errors import ConfigError

EXACT = "exact"
_PHASE = re.compile(r"(?P<name>.+):(?P<first>\d+)-(?P<last>\d+)")
_NOISE = re.compile(r"noise\((?:(?P<per>weight):)?(?:table:(?P<table>.+)|(?P<sigma>.*))\)")


@dataclass(frozen=True, slots=True)
class Phase:
    """Some epochs with one multiplier.

    Attributes:
        name: a design, "exact", "noise(SIGMA)", or "noise(table:DESIGN)", the latter two also with
            "weight:" before what is in the parentheses.
        first: the first epoch, counted from 0.
        end: the first epoch after it.
    """

    name: str
    first: int
    end: int

    @property
    def sigma(self) -> float | None:
        """Standard deviation of a normal relative error; None for anything else."""
        match = _NOISE.fullmatch(self.name)
        return float(match["sigma"]) if match and match["table"] is None else None

    @property
    def drawn_from(self) -> str | None:
        """The design whose table's relative errors are drawn; None for anything else."""
        match = _NOISE.fullmatch(self.name)
        return match["table"] if match else None

    @property
    def per(self) -> str:
        """What each draw of an error belongs to, "product" or "weight"."""
        match = _NOISE.fullmatch(self.name)
        return (match and match["per"]) or "product"

    @property
    def is_noise(self) -> bool:
        """Whether products have a relative error of one kind or the other."""
        return _NOISE.fullmatch(self.name) is not None


def parse_phases(text: str, epochs: int) -> tuple[Phase, ...]:
    """Read a schedule of multipliers.

    Raises:
        ConfigError: it is no such schedule, or does not cover the epochs one after another; or it
            mixes noise and designs.
    """
    phases = []
    for part in text.split(","):
        match = _PHASE.fullmatch(part.strip())
        if match is None or int(match["first"]) >= int(match["last"]):
            raise _illegal(text, f"{part.strip()!r}", "NAME:FIRST-END with FIRST below END")
        phases.append(Phase(match["name"], int(match["first"]), int(match["last"])))
    edges = [phases[0].first, *[phase.end for phase in phases]]
    joined = all(one.end == other.first for one, other in pairwise(phases))
    if not joined or edges[0] != 0 or edges[-1] != epochs:
        found = ", ".join(f"{phase.first}-{phase.end}" for phase in phases)
        raise _illegal(text, found, f"epochs 0 to {epochs}, each phase where the one before ends")
    try:
        noisy = [phase for phase in phases if phase.sigma is not None or phase.is_noise]
    except ValueError as error:
        raise _illegal(
            text, str(error), "noise(SIGMA) with a number, or noise(table:DESIGN)"
        ) from error
    if noisy and any(not phase.is_noise and phase.name != EXACT for phase in phases):
        raise _illegal(text, "noise and designs", "one or the other, and exact")
    if all(phase.name == EXACT for phase in phases):
        raise _illegal(text, "nothing but exact", "at least one design or noise(SIGMA)")
    return tuple(phases)


def final_design(text: str, epochs: int) -> str | None:
    """Return what a configuration with this schedule must name as its design.

    Raises:
        ConfigError: as `parse_phases`.
    """
    phases = parse_phases(text, epochs)
    return None if any(phase.is_noise for phase in phases) else phases[-1].name


def designs_of(phases: tuple[Phase, ...]) -> tuple[str, ...]:
    """Return the designs that a schedule needs tables of, each once, in order."""
    designs = [p.name for p in phases if not p.is_noise and p.name != EXACT]
    names = [*designs, *(p.drawn_from for p in phases if p.drawn_from is not None)]
    return tuple(dict.fromkeys(names))


def phase_at(phases: tuple[Phase, ...], epoch: int) -> Phase:
    """Return the phase of an epoch, counted from 0; the last one after the end."""
    return next((phase for phase in phases if epoch < phase.end), phases[-1])


def _illegal(text: str, got: str, expected: str) -> ConfigError:
    return ConfigError(
        f"the schedule of multipliers {text!r} makes no sense", got=got, expected=expected
    )
