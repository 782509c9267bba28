"""Parsed libraries kept in the user's cache, one file for each content of a Liberty file.

A file that is damaged, of another format or half-written counts as absent. Writing is atomic, so
that processes that read the same library at the same time do no harm.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ...core.files import cache_folder, canonical_json, sha256_bytes, write_atomic
from .functions import format_function, parse_function
from .library import GateCell, InputPin, Library, OutputPin, Register, Setup, TimingArc
from .lookup import LookupTable

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 2
"""Number of the format and of what the reader extracts: raise it when either changes."""


def cache_file(digest: str) -> Path:
    """Return where the library of a Liberty file with this SHA-256 is kept."""
    return cache_folder() / "libraries" / f"{digest}-{FORMAT}.json"


def load_cached(path: Path, digest: str) -> Library | None:
    """Return the library of the Liberty file ``path`` of hash ``digest`` if it is in the cache."""
    try:
        checksum, _, body = cache_file(digest).read_bytes().partition(b"\n")
    except OSError:
        return None
    if checksum.decode(errors="replace") != sha256_bytes(body):
        return None
    return _decode(json.loads(body), path, digest)


def store_cached(library: Library) -> None:
    """Keep a library in the cache; a cache that cannot be written is done without."""
    body = canonical_json(_encode(library)).encode()
    with contextlib.suppress(ConfigError):
        write_atomic(cache_file(library.sha256), sha256_bytes(body).encode() + b"\n" + body)


class _Tables:
    """The distinct tables of a library, referred to by number (None is no table)."""

    def __init__(self) -> None:
        self.numbers: dict[LookupTable | None, int] = {}

    def number(self, table: LookupTable | None) -> int:
        return self.numbers.setdefault(table, len(self.numbers))

    def rows(self) -> list[Any]:
        return [
            None if table is None else [table.slews_ps, table.loads_ff, table.values]
            for table in self.numbers
        ]


def _encode(library: Library) -> dict[str, Any]:
    tables = _Tables()
    cells = [_encode_cell(cell, tables) for cell in (*library.cells, *library.registers)]
    return {
        "name": library.name,
        "voltage_v": library.voltage_v,
        "skipped": dict(library.skipped),
        "cells": cells,
        "tables": tables.rows(),
    }


def _encode_cell(cell: GateCell, tables: _Tables) -> list[Any]:
    inputs = [[p.name, p.capacitance_ff, tables.number(p.energy_fj)] for p in cell.inputs]
    outputs = [
        [
            pin.name,
            format_function(pin.function),
            tables.number(pin.energy_fj),
            [
                [arc.pin, arc.sense]
                + [
                    tables.number(table)
                    for table in (arc.rise_ps, arc.fall_ps, arc.rise_slew_ps, arc.fall_slew_ps)
                ]
                for arc in pin.arcs
            ],
        ]
        for pin in cell.outputs
    ]
    register = None if cell.register is None else _encode_register(cell.register, tables)
    return [cell.name, cell.area_um2, cell.leakage_nw, inputs, outputs, register]


def _encode_register(register: Register, tables: _Tables) -> list[Any]:
    functions = (register.next_state, register.clear, register.preset)
    return [
        register.state,
        register.clock,
        register.falling,
        [None if function is None else format_function(function) for function in functions],
        [[s.pin, tables.number(s.rise_ps), tables.number(s.fall_ps)] for s in register.setups],
    ]


def _decode(body: Any, path: Path, digest: str) -> Library:
    tables = [None if row is None else LookupTable(*map(tuple, row)) for row in body["tables"]]
    cells = tuple(_decode_cell(row, tables) for row in body["cells"])
    return Library(
        body["name"],
        path,
        digest,
        body["voltage_v"],
        tuple(cell for cell in cells if cell.register is None),
        body["skipped"],
        tuple(cell for cell in cells if cell.register is not None),
    )


def _decode_cell(row: Any, tables: list[LookupTable | None]) -> GateCell:
    name, area, leakage, inputs, outputs, register = row

    def table(number: int) -> LookupTable:
        return _present(tables[number])

    return GateCell(
        name,
        area,
        leakage,
        tuple(InputPin(pin, load, tables[energy]) for pin, load, energy in inputs),
        tuple(
            OutputPin(
                pin,
                parse_function(function),
                tables[energy],
                tuple(TimingArc(cause, sense, *map(table, four)) for cause, sense, *four in arcs),
            )
            for pin, function, energy, arcs in outputs
        ),
        None if register is None else _decode_register(register, tables),
    )


def _decode_register(row: Any, tables: list[LookupTable | None]) -> Register:
    state, clock, falling, functions, setups = row
    next_state, clear, preset = (None if f is None else parse_function(f) for f in functions)
    assert next_state is not None
    return Register(
        state,
        clock,
        falling,
        next_state,
        clear,
        preset,
        tuple(Setup(pin, _present(tables[r]), _present(tables[f])) for pin, r, f in setups),
    )


def _present(table: LookupTable | None) -> LookupTable:
    assert table is not None
    return table
