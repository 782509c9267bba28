"""What became of a claim when it was checked: the lines of a trace and of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    VERIFIED = "verified"
    """What was found is what was claimed."""
    DIFFERS = "differs"
    """What was found is something else."""
    UNKNOWN = "cannot be verified"
    """What the claim is about is not at hand."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim and what became of it.

    Attributes:
        what: what is claimed, for people: "source rtl/mul8u_trunc.v".
        verdict: how the check ended.
        expected: what is claimed (a hash, a version), or "".
        found: what is there, or why nothing could be found.
    """

    what: str
    verdict: Verdict
    expected: str = ""
    found: str = ""


def compared(what: str, expected: str, found: str) -> Finding:
    """Return the finding that two values are equal, or that they differ."""
    verdict = Verdict.VERIFIED if expected == found else Verdict.DIFFERS
    return Finding(what, verdict, expected, found)


def unknown(what: str, reason: str, expected: str = "") -> Finding:
    """Return the finding that a claim cannot be verified."""
    return Finding(what, Verdict.UNKNOWN, expected, reason)
