"""Rules by which studies choose designs, stated before anything is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rtlgrad.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .study import DesignFigures


def distinct(
    designs: Mapping[str, DesignFigures], kinds: Sequence[str]
) -> tuple[DesignFigures, ...]:
    """Return the designs of some kinds, of those with one table the first by name, exact ones left out."""
    found: dict[str, DesignFigures] = {}
    for name in sorted(designs):
        design = designs[name]
        if design.kind in kinds and design.nmed > 0:
            found.setdefault(design.content, design)
    return tuple(found.values())


def by_error(designs: Iterable[DesignFigures]) -> tuple[str, ...]:
    """Return names by NMED, the greatest first."""
    return tuple(d.name for d in sorted(designs, key=lambda d: (-d.nmed, d.name)))


def first_below(
    order: Sequence[str], accuracy: Mapping[str, float], limit: float, count: int
) -> tuple[str, ...]:
    """Return the first ``count`` names of an order whose accuracy is below a limit.

    Raises:
        ConfigError: an accuracy is not known yet, or too few are below the limit.
    """
    found: list[str] = []
    for name in order:
        if name not in accuracy:
            raise ConfigError(f"the accuracy of {name} is not known yet", remedy="do its run first")
        if accuracy[name] < limit:
            found.append(name)
        if len(found) == count:
            return tuple(found)
    raise ConfigError(
        f"too few designs are below {limit} %", got=", ".join(found) or "none", expected=count
    )


def nearest_by_mre(designs: Iterable[DesignFigures], targets: Sequence[float]) -> tuple[str, ...]:
    """Return for each MRE in percent the design whose own has the least ratio to it, each once.

    Raises:
        ConfigError: there are fewer designs than targets.
    """
    left = {d.name: d.mre_pct for d in designs if d.mre_pct > 0}
    if len(left) < len(targets):
        raise ConfigError("too few designs", got=len(left), expected=f"{len(targets)} or more")
    chosen = []
    for target in targets:
        name = min(left, key=lambda n: (abs(math.log(left[n] / target)), n))
        chosen.append(name)
        del left[name]
    return tuple(chosen)


def greatest_below(designs: Iterable[DesignFigures], most_mre_pct: float) -> str:
    """Return the design with the greatest MRE that is still below a limit in percent.

    Raises:
        ConfigError: there is none.
    """
    found = [d for d in designs if 0 < d.mre_pct < most_mre_pct]
    if not found:
        raise ConfigError(f"no design has an MRE below {most_mre_pct} %")
    return max(found, key=lambda d: (d.mre_pct, d.name)).name
