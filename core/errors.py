"""Every error that rtlgrad raises on purpose.

::

    RtlgradError
    ├── DesignError            what was given as a multiplier cannot be one, or cannot be read
    │   ├── VerilogError       a tool rejects the source; file and line in the message
    │   ├── InterfaceError     the ports cannot be bound to a, b and out
    │   └── SidecarError       the <stem>.toml beside a design is wrong
    ├── SimulationError        the design was accepted but its sweep gave no trustworthy table
    │   ├── UnknownOutputError X or Z reached an output bit
    │   └── TimeLimitError     the sweep did not end in time
    ├── ToolError
    │   ├── MissingToolError   a program or package is not installed
    │   └── ToolFailedError    an outside tool failed in a way that is not the design's fault
    ├── RecordError            a stored table or record is damaged, edited or of another schema
    │   └── IdentityError      a table is not the one that a checkpoint or result was made with
    ├── UnknownNameError       a design, layer, model, data set or engine that does not exist
    ├── AuditError             what an engine computed is not what the live RTL answers
    ├── OverflowRiskError      an int32 accumulator could overflow
    ├── ConfigError            an option or file given by the user does not make sense
    ├── DataError              a data set is missing, truncated or not of its format
    └── EngineError            an engine asked for by name cannot run here

A message says what happened, what was found, what was expected and what to do about it.
"""

from __future__ import annotations


class RtlgradError(Exception):
    """Base of all errors meant for the user: the command line prints them without a traceback.

    Args:
        what: what went wrong, naming the file or object it went wrong with.
        got: what was found.
        expected: what would have been right.
        remedy: what the user can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object | None = None,
        expected: object | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.got = None if got is None else str(got)
        self.expected = None if expected is None else str(expected)
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        parts = (("found", self.got), ("expected", self.expected), ("do", self.remedy))
        return "\n".join([self.what, *(f"  {label}: {text}" for label, text in parts if text)])

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries (worker pools); keyword-only fields need a helper.
        return (_rebuild, (type(self), self.what, self.got, self.expected, self.remedy))


def _rebuild(
    kind: type[RtlgradError], what: str, got: str | None, expected: str | None, remedy: str | None
) -> RtlgradError:
    error = kind.__new__(kind)
    RtlgradError.__init__(error, what, got=got, expected=expected, remedy=remedy)
    return error


class DesignError(RtlgradError):
    """What was given as a multiplier cannot be one, or cannot be read."""


class VerilogError(DesignError):
    """A tool rejects the source text; the message carries file and line."""


class InterfaceError(DesignError):
    """The ports cannot be bound to a, b and out."""


class SidecarError(DesignError):
    """The ``<stem>.toml`` beside a design is wrong."""


class SimulationError(RtlgradError):
    """The design was accepted, but its sweep gave no trustworthy table."""


class UnknownOutputError(SimulationError):
    """X or Z reached an output bit."""


class TimeLimitError(SimulationError):
    """The sweep did not end within its time limit."""


class ToolError(RtlgradError):
    """Something is wrong with an outside tool rather than with the user's input."""


class MissingToolError(ToolError):
    """A program or package that the work needs is not installed."""


class ToolFailedError(ToolError):
    """An outside tool failed in a way that is not the design's fault."""


class RecordError(RtlgradError):
    """A stored table or record is damaged, was edited, or follows another schema."""


class IdentityError(RecordError):
    """A table is not the one that a checkpoint or result was made with."""


class UnknownNameError(RtlgradError):
    """A name that is not in a registry; the message lists the legal ones."""


class AuditError(RtlgradError):
    """What an engine computed is not what the live RTL answers."""


class OverflowRiskError(RtlgradError):
    """An int32 accumulator could overflow."""


class ConfigError(RtlgradError):
    """An option or file given by the user does not make sense."""


class DataError(RtlgradError):
    """A data set is missing, truncated or not of its format."""


class EngineError(RtlgradError):
    """An engine asked for by name cannot run here."""
