"""Says where a module or package that a design lacks may be found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...core.errors import InterfaceError, RtlgradError, VerilogError
from .lexer import KEYWORDS, defined_modules, tokens

if TYPE_CHECKING:
    from pathlib import Path

    from ..design import DesignReference

_SUFFIXES = (".v", ".sv", ".vh", ".svh")
_MAX_BYTES = 1 << 20
_REPORTED = re.compile(r"(?:containing (?:module|interface)|not found): '(\w+)'")


def explained(error: RtlgradError, reference: DesignReference, text: str) -> RtlgradError:
    """Return an error with a remedy, if what is wrong is a module or package that is not there.

    Args:
        error: what reading or linting ended in.
        reference: the design.
        text: its preprocessed text.
    """
    if type(error) not in (VerilogError, InterfaceError):
        return error
    name = _undefined(error, text)
    if name is None:
        return error
    sidecar = reference.path.with_suffix(".toml").name
    places = _defining(name, reference.path)
    if len(places) == 1:
        known = [*reference.sidecar.files]
        listed = ", ".join(f'"{file}"' for file in [places[0].name, *known])
        remedy = f"{places[0].name} defines {name}; if that is meant, write into {sidecar}: files = [{listed}]"
    else:
        found = f" ({', '.join(place.name for place in places)} do)" if places else ""
        remedy = f'list the file that defines {name}{found} in {sidecar}: files = ["FILE.v"]'
    got = error.got if name in str(error.got) else f"nothing defines {name!r}"
    return type(error)(error.what, got=got, expected=error.expected, remedy=remedy)


def _undefined(error: RtlgradError, text: str) -> str | None:
    """Return the module or package that is lacking, if that is what the error is about."""
    reported = _REPORTED.search(error.got or "")
    if reported:
        return reported[1]
    # A port whose type is in a package that is lacking is reported as one without a type.
    scopes = _scopes(text)
    defined = {*defined_modules(text), *KEYWORDS}
    return next((name for name in scopes if name not in defined), None) if scopes else None


def _scopes(text: str) -> list[str]:
    """Return the names before a double colon, unless the text has classes, which look alike."""
    found = [token for kind, token in tokens(text) if kind not in ("blank", "comment")]
    if "class" in found:
        return []
    return [
        name
        for name, first, second in zip(found, found[1:], found[2:], strict=False)
        if first == second == ":" and re.fullmatch(r"[A-Za-z_]\w*", name)
    ]


def _defining(name: str, path: Path) -> list[Path]:
    """Return the files beside a design that define a module or package of that name."""
    places = []
    for file in sorted(path.parent.iterdir()):
        if file == path or file.suffix not in _SUFFIXES or not file.is_file():
            continue
        try:
            if file.stat().st_size > _MAX_BYTES:
                continue
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if name in defined_modules(text):
            places.append(file)
    return places
