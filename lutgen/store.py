"""Keeps characterizations: a folder per design with ``table.npy`` and ``record.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import RecordError
from ..core.files import canonical_json, readable_json, replace_folder, sha256_bytes
from ..core.names import unknown_name
from ..cosim.cost import Cost
from ..cosim.interface import Interface, OrderRule, Port, SignRule
from .metrics import ErrorMetrics
from .record import (
    SCHEMA,
    Characterization,
    Provenance,
    SourceHash,
    identity_hash,
)
from .table import ProductTable

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE_FILE = "table.npy"
RECORD_FILE = "record.json"
_REMAKE = "make it again: rtlgrad lut NAME --force"


def save(characterization: Characterization, root: Path) -> Path:
    """Write a characterization to ``root/<name>`` and return that folder.

    The folder is replaced as a whole: a reader sees the old one or the new one.

    Raises:
        ConfigError: the folder cannot be written.
    """
    folder = root / characterization.name
    with replace_folder(folder) as scratch:
        np.save(scratch / TABLE_FILE, characterization.table.products)
        (scratch / RECORD_FILE).write_text(readable_json(to_record(characterization)))
    return folder


def load(folder: str | Path) -> Characterization:
    """Read a characterization from its folder and verify it.

    Raises:
        RecordError: a file is missing or damaged, the schema is another one, or a hash does not
            fit; the message names the file and both hashes.
    """
    folder = Path(folder)
    record = _read_record(folder / RECORD_FILE)
    products = _read_products(folder / TABLE_FILE)
    try:
        return _from_record(record, products, folder)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{folder / RECORD_FILE} is not a complete record",
            got=f"{type(error).__name__}: {error}",
            remedy=_REMAKE,
        ) from error


def load_table(folder: str | Path) -> ProductTable:
    """Read the table of a characterization, verified as in `load`."""
    return load(folder).table


def stored_names(root: Path) -> list[str]:
    """Return the names of the designs kept in a folder, sorted."""
    return sorted(path.parent.name for path in root.glob(f"[!.]*/{RECORD_FILE}"))


def find(root: Path, name: str) -> Path:
    """Return the folder of a design by name, or the path itself if it is such a folder.

    Raises:
        UnknownNameError: there is no such design in ``root``.
    """
    for folder in (root / name, Path(name)):
        if (folder / RECORD_FILE).is_file():
            return folder
    raise unknown_name(
        name,
        stored_names(root),
        kind=f"characterized design in {root}:",
        remedy="characterize it first: rtlgrad lut NAME",
    )


def to_record(characterization: Characterization) -> dict[str, Any]:
    """Return the content of ``record.json`` as plain data."""
    interface = characterization.interface
    table = characterization.table
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "id": characterization.id,
        "identity": characterization.identity,
        "name": characterization.name,
        "title": characterization.title,
        "citation": characterization.citation,
        "interface": asdict(interface),
        "table": {
            "file": TABLE_FILE,
            "shape": list(table.products.shape),
            "sha256": table.content_hash,
        },
        "metrics": asdict(characterization.metrics),
        "cost": asdict(characterization.cost),
        "provenance": asdict(characterization.provenance),
        "warnings": list(characterization.warnings),
    }
    return {**record, "checksum": _checksum(record)}


def _checksum(record: Mapping[str, Any]) -> str:
    # Found by any edit, also of what is not part of the identity (a metric, say).
    content = {key: value for key, value in record.items() if key != "checksum"}
    return sha256_bytes(canonical_json(json.loads(canonical_json(content))).encode())


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError as error:
        raise RecordError(f"no record {path}", remedy=_REMAKE) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read", got=error, remedy=_REMAKE) from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise RecordError(
            f"{path} follows another format",
            got=f"schema {record.get('schema') if isinstance(record, dict) else None!r}",
            expected=f"schema {SCHEMA}",
            remedy=_REMAKE,
        )
    checksum = _checksum(record)
    if record.get("checksum") != checksum:
        raise RecordError(
            f"{path} was changed after it was written",
            got=f"checksum {checksum}",
            expected=f"checksum {record.get('checksum')}",
            remedy=_REMAKE,
        )
    return record


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not a number that a record may hold")


def _read_products(path: Path) -> np.ndarray[Any, Any]:
    try:
        with path.open("rb") as stream:
            products = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError as error:
        raise RecordError(f"no table {path}", remedy=_REMAKE) from error
    except Exception as error:
        # A damaged header fails in numpy in many ways: ValueError, TokenError, MemoryError, ...
        raise RecordError(f"{path} is damaged", got=error, remedy=_REMAKE) from error
    if products.dtype != np.dtype("<i4"):
        raise RecordError(f"{path} is not a table", expected="an int32 array", remedy=_REMAKE)
    return products


def _from_record(
    record: Mapping[str, Any], products: np.ndarray[Any, Any], folder: Path
) -> Characterization:
    interface = _interface(record["interface"])
    table = ProductTable(
        products,
        interface.a.signed,
        interface.b.signed,
        name=record["name"],
        id=record["id"],
    )
    _check_hashes(record, table, folder)
    return Characterization(
        name=record["name"],
        title=record["title"],
        citation=record["citation"],
        interface=interface,
        table=table,
        metrics=ErrorMetrics(**record["metrics"]),
        cost=Cost(**record["cost"]),
        provenance=_provenance(record["provenance"]),
        warnings=tuple(record["warnings"]),
    )


def _check_hashes(record: Mapping[str, Any], table: ProductTable, folder: Path) -> None:
    identity = record["identity"]
    if table.content_hash != identity["table"]:
        raise RecordError(
            f"{folder / TABLE_FILE} is not the table that its record describes",
            got=f"sha256 {table.content_hash} of shape {table.products.shape}",
            expected=f"sha256 {identity['table']} of shape {tuple(record['table']['shape'])}",
            remedy=_REMAKE,
        )
    if identity_hash(identity) != record["id"]:
        raise RecordError(
            f"{folder / RECORD_FILE}: the id does not belong to the identity",
            got=record["id"],
            expected=identity_hash(identity),
            remedy=_REMAKE,
        )


def _interface(content: Mapping[str, Any]) -> Interface:
    ports = {
        role: Port(**{**content[role], "signed_from": SignRule(content[role]["signed_from"])})
        for role in ("a", "b", "out")
    }
    return Interface(
        module=content["module"],
        **ports,
        order_from=OrderRule(content["order_from"]),
        parameters=dict(content["parameters"]),
        front_end=content["front_end"],
    )


def _provenance(content: Mapping[str, Any]) -> Provenance:
    sources = tuple(SourceHash(**source) for source in content["sources"])
    return Provenance(**{**content, "sources": sources})
