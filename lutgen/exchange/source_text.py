"""C source text, as far as it has to be understood here."""

from __future__ import annotations

import re

_COMMENT_OR_STRING = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)

_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


def without_comments(text: str) -> str:
    """Blank out comments and the contents of strings and character constants."""
    return _COMMENT_OR_STRING.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    if match[0].startswith("/"):
        return " "
    return match[0][0] * 2


def without_directives(text: str) -> str:
    """Drop preprocessor lines, continued ones too."""
    return _DIRECTIVE.sub("", text)
