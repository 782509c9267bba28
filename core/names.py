"""Look-ups by name that help when the name is wrong."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar

from .errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")


def pick(registry: Mapping[str, T], name: str, *, kind: str, remedy: str | None = None) -> T:
    """Return ``registry[name]``.

    Args:
        registry: the legal names and what they stand for.
        name: the name asked for.
        kind: what the registry holds, in the singular ("engine").
        remedy: what else the user could do.

    Raises:
        UnknownNameError: the name is not there; lists the legal ones and suggests the nearest.
    """
    if name not in registry:
        raise unknown_name(name, registry, kind=kind, remedy=remedy)
    return registry[name]


def unknown_name(
    name: str, legal: Iterable[str], *, kind: str, remedy: str | None = None
) -> UnknownNameError:
    """Build the error for a name that is not among the legal ones (does not raise it)."""
    names = sorted(legal)
    near = nearest(name, names)
    hints = [f"did you mean {near!r}?" if near else None, remedy]
    return UnknownNameError(
        f"unknown {kind} {name!r}",
        expected=f"one of {', '.join(names)}" if names else f"there is no {kind} at all here",
        remedy=" ".join(hint for hint in hints if hint) or None,
    )


def nearest(name: str, legal: Iterable[str]) -> str | None:
    """Return the legal name most like ``name``, or None if none is close."""
    folded = {candidate.lower(): candidate for candidate in legal}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None
