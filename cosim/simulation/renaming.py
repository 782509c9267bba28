"""Gives the global names of several source texts different spellings, so that they share a model.

Files of different designs often define helper modules of the same name with different bodies.
In one model the one would silently replace the other. Here every global name of a text gets an
ending that no other text has, at every place where the text has that identifier, whatever it
names there: a text in which an identifier is replaced throughout by one that did not occur means
what it meant before. Where that is not so (the name of a C function, of a method of the
language), the result does not compile, and the design is simulated alone, as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..reading.lexer import global_names, is_identifier, plain, tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ..interface import ControlInput, Interface


def renamed(texts: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
    """Return the texts with their global names made distinct, and what was renamed to what.

    Args:
        texts: preprocessed sources; a single one is left as it is.
    """
    if len(texts) < 2:
        return [(text, {}) for text in texts]
    taken = {plain(token) for text in texts for kind, token in tokens(text) if kind != "blank"}
    results: list[tuple[str, Mapping[str, str]]] = []
    for index, text in enumerate(texts):
        ending = _ending(index, taken)
        names = {name: name + ending for name in global_names(text)[0]}
        results.append((_replaced(text, names), names))
    return results


def renamed_interface(interface: Interface, names: Mapping[str, str]) -> Interface:
    """Return an interface as the renamed text has it."""

    def new(name: str) -> str:
        return names.get(name, name)

    def control(item: ControlInput) -> ControlInput:
        return replace(item, name=new(item.name))

    clocking = interface.clocking
    if clocking is not None:
        clocking = replace(
            clocking,
            clock=new(clocking.clock),
            reset=None if clocking.reset is None else control(clocking.reset),
            start=None if clocking.start is None else control(clocking.start),
            done=None if clocking.done is None else new(clocking.done),
            enables=tuple(control(item) for item in clocking.enables),
        )
    return replace(
        interface,
        module=new(interface.module),
        a=replace(interface.a, name=new(interface.a.name)),
        b=replace(interface.b, name=new(interface.b.name)),
        out=replace(interface.out, name=new(interface.out.name)),
        clocking=clocking,
    )


def _ending(index: int, taken: Collection[str]) -> str:
    """Return an ending that no identifier of any text has."""
    ending = f"__design{index}"
    while any(name.endswith(ending) for name in taken):
        ending += "_"
    return ending


def _replaced(text: str, names: Mapping[str, str]) -> str:
    pieces = []
    for kind, token in tokens(text):
        new = names.get(plain(token)) if is_identifier(kind, token) else None
        if new is None:
            pieces.append(token)
        else:
            # The blank that ends an escaped identifier follows in the text.
            pieces.append(f"\\{new}" if kind == "escaped" else new)
    return "".join(pieces)
