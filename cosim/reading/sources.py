"""Reads a Verilog file as the tools will see it: preprocessed, with every file that went in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DesignError, VerilogError
from ...core.files import sha256_bytes, sha256_file
from ..programs.process import run
from ..programs.tools import find_verilator
from .lexer import defined_modules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..programs.process import Completed

LINE_MARKER = re.compile(
    r'^`line +(?P<line>\d+) +"(?P<file>[^"]*)" +(?P<level>\d) *$', re.MULTILINE
)
"""The directive by which preprocessed text says where it comes from."""
# Strings and escaped identifiers are matched so that what looks like a comment in them is kept.
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\\\S+', re.DOTALL)
_DIAGNOSTIC = re.compile(r"^%(Error|Warning)(?:-(\w+))?: (?:(.+?):(\d+):(?:\d+:)? )?(.*)$")
_PREPROCESS_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that a design was read from."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Sources:
    """A design's source text.

    Attributes:
        files: the named file first, then those that its sidecar lists, then the included ones,
            each with its hash.
        text: the preprocessed text, with `line markers, as simulators and synthesis read it:
            the listed files in their order, then the named one.
        own_modules: the modules that the named file itself defines, in order.
    """

    files: tuple[SourceFile, ...]
    text: str
    own_modules: tuple[str, ...] = ()

    @property
    def plain_text(self) -> str:
        """The preprocessed text without `line markers, for parsers that do not know them."""
        return LINE_MARKER.sub("", self.text)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message of Verilator.

    Attributes:
        severity: "Error" or "Warning".
        code: the warning's name ("LATCH"), empty for a plain error.
        where: "file:line", empty if it names no place.
        message: the text.
    """

    severity: str
    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def read_sources(path: Path, listed: Sequence[str] = ()) -> Sources:
    """Preprocess a Verilog file, together with further files that belong to its design.

    They are read as one: macros and compiler directives of a file reach into the next. Includes
    are looked for beside the named file, then beside the listed ones, in their order.

    Args:
        path: the design's file; it comes last.
        listed: the files before it, relative to its folder.

    Raises:
        DesignError: a file is missing, not text, or empty.
        VerilogError: the preprocessor rejects it (a missing include, say).
    """
    _check_readable(path)
    others = [_listed_file(path, name) for name in listed]
    folders = dict.fromkeys(file.parent for file in (path, *others))
    verilator = find_verilator()
    command: list[str | Path] = [verilator.program, "-E", *(f"-I{folder}" for folder in folders)]
    done = run([*command, *others, path], limit_s=_PREPROCESS_LIMIT_S, env=verilator.environment())
    if not done.ok:
        raise VerilogError(f"{path} cannot be preprocessed", got=_fault(done, path))
    included = dict.fromkeys(Path(found["file"]) for found in LINE_MARKER.finditer(done.output))
    files = dict.fromkeys([path, *others, *(name for name in included if name.is_file())])
    hashed = tuple(SourceFile(name, sha256_file(name)) for name in files)
    return Sources(hashed, done.output, defined_modules(_text_from(done.output, path)))


def _fault(done: Completed, path: Path) -> str:
    if done.timed_out:
        return f"the preprocessor did not end within {_PREPROCESS_LIMIT_S:.0f} s"
    return first_error(done.output, path)


def _listed_file(path: Path, name: str) -> Path:
    file = path.parent / name
    try:
        _check_readable(file)
    except DesignError as error:
        sidecar = path.with_suffix(".toml")
        raise DesignError(
            f"{sidecar}: {error.what}, listed in files",
            got=error.got,
            expected="Verilog files, relative to the folder of the sidecar",
            remedy=f"correct files in {sidecar.name}",
        ) from error
    return file


def _text_from(text: str, path: Path) -> str:
    """Return those parts of a preprocessed text that come from one file."""
    markers = list(LINE_MARKER.finditer(text))
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    return "".join(
        text[marker.end() : end]
        for marker, end in zip(markers, ends, strict=True)
        if Path(marker["file"]) == path
    )


def without_comments(text: str) -> str:
    """Blank out comments and what strings contain; lines keep their numbers."""
    return _TOKEN.sub(_blank, text)


def _blank(token: re.Match[str]) -> str:
    found = token[0]
    if found[0] == "\\":
        return found
    return '""' if found[0] == '"' else " " + "\n" * found.count("\n")


def sources_hash(files: Sequence[SourceFile]) -> str:
    """Return one hash over the contents of all files, whatever their paths."""
    return sha256_bytes("\n".join(file.sha256 for file in files).encode())


def diagnostics(output: str) -> list[Diagnostic]:
    """Read Verilator's messages; continuation lines and the closing count are left out."""
    found = (_DIAGNOSTIC.match(line) for line in output.splitlines())
    return [
        Diagnostic(match[1], match[2] or "", f"{match[3]}:{match[4]}" if match[3] else "", match[5])
        for match in found
        if match and not match[5].startswith(("Exiting due to", "Command Failed"))
    ]


def first_error(output: str, path: Path) -> str:
    """Return Verilator's first error, with file and line, else the end of its output."""
    errors = [str(item) for item in diagnostics(output) if item.severity == "Error"]
    return errors[0] if errors else (output.strip()[-300:] or f"no message about {path}")


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise DesignError(
            f"no Verilog file {path}",
            got="a folder" if path.is_dir() else "nothing of that name",
            remedy="name a .v or .sv file, or a design of rtl/ (rtlgrad list designs)",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DesignError(f"cannot read {path}", got=error.strerror) from error
    if not content.strip():
        raise DesignError(f"{path} is empty", expected="a Verilog module")
    if b"\0" in content:
        raise DesignError(f"{path} is not a text file", expected="Verilog source text")
