"""Tables of a page: columns as data, cells with their figures as they were computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....lutgen.catalogue.markup import Markup, number, tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        value: what it shows of a row; None is shown as a dash.
        form: how numbers are written, `NUMBER` for at least five digits; "" for text.
        long: whether its text may be broken into lines.
    """

    title: str
    value: Callable[[Any], object]
    form: str = ""
    long: bool = False


def table(
    columns: Sequence[Column],
    rows: Sequence[Any],
    caption: str,
    chosen: Callable[[Any], bool] = lambda _: False,
) -> Markup:
    """Return a table that scrolls sideways by itself; columns without any value are left out.

    Args:
        columns: what to show.
        rows: of which things.
        caption: its title.
        chosen: which rows stand out.
    """
    used = [one for one in columns if any(one.value(row) not in (None, "") for row in rows)]
    head = [
        tag("th", one.title, scope="col", class_="figure" if one.form else None) for one in used
    ]
    body = [
        tag("tr", *(_cell(one, row) for one in used), class_="chosen" if chosen(row) else None)
        for row in rows
    ]
    made = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body)
    )
    return tag("div", made, class_="wide", role="region", tabindex=0, aria_label=caption)


def lack(what: str, command: str) -> Markup:
    """Say what a section lacks, and which command makes it."""
    return tag("p", what, " ", tag("code", command), " makes it.", class_="lack")


def bars(value: float, reference: float | None, greatest: float) -> Markup:
    """Return a value as a bar before that of a reference."""
    parts = [tag("rect", width=f"{100 * value / (greatest or 1):.1f}", height=10)]
    if reference is not None:
        width = f"{100 * reference / (greatest or 1):.1f}"
        parts.insert(0, tag("rect", width=width, height=10, class_="base"))
    drawn = tag("svg", *parts, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")
    return tag("div", drawn, class_="bar")


def _cell(column: Column, row: Any) -> Markup:
    value = column.value(row)
    if value is None:
        return tag("td", "-", class_="figure" if column.form else None)
    text = _written(value, column.form) if column.form else value
    kind = "figure" if column.form else "long" if column.long else None
    return tag("td", text, class_=kind)


def _written(value: Any, form: str) -> str:
    return number(value) if form == NUMBER else format(value, form)
