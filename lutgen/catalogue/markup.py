"""HTML that cannot be broken by what users write: all text is escaped unless it is Markup."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from ...core.files import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_VOID = frozenset({"input", "br", "img"})


class Markup(str):
    """Text that is HTML already; made by this module's functions alone."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """Return text as HTML; Markup stays what it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(str(value), quote=True))


def join(*parts: object) -> Markup:
    """Return several parts, one after the other."""
    return Markup("".join(escape(part) for part in parts))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        children: its content; anything but Markup is escaped.
        attributes: its attributes; ``_`` stands for ``-`` and a final ``_`` is dropped
            (``class_``). True gives an attribute without a value; None and False give none.
    """
    opening = name + "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def fill(template: str, values: Mapping[str, Markup]) -> Markup:
    """Replace each ``{{name}}`` of a template; what is put in is not searched again.

    Raises:
        KeyError: the template names something that has no value.
    """
    return Markup(_PLACEHOLDER.sub(lambda match: values[match.group(1)], template))


def json_data(value: object) -> Markup:
    """Return a value as JSON that may stand inside a ``<script>`` element.

    No ``<``, ``>`` or ``&`` is left, so nothing in it can end the element.
    """
    text = canonical_json(value)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def number(value: float) -> str:
    """Format a figure for reading: at least five significant digits, integers in full."""
    if isinstance(value, int):
        return f"{value:,}"
    magnitude = abs(value)
    if magnitude == 0.0:
        return "0"
    if magnitude >= 10_000:
        return f"{value:,.0f}"
    if magnitude < 1e-3:
        return f"{value:.4e}"
    return f"{value:.5g}"
