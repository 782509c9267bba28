"""Keeps characterizations: a folder per design with ``record.json`` and an array.

The array is ``table.npy`` of every product, ``mantissa.npy`` of every product of mantissas, or
``sample.npy`` of a sample of products, by the record's kind.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import RecordError
from ..core.files import canonical_json, readable_json, replace_folder, sha256_bytes
from ..core.names import unknown_name
from . import record_json
from .mantissa import MantissaTable, from_significands, mantissas_from_codes
from .record import (
    SCHEMA,
    Characterization,
    MantissaCharacterization,
    RecordKind,
    SampledCharacterization,
    identity_hash,
)
from .rounding import Rounding
from .sample import Sample
from .table import ProductTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .record import AnyCharacterization, Content

TABLE_FILE = "table.npy"
MANTISSA_FILE = "mantissa.npy"
SAMPLE_FILE = "sample.npy"
RECORD_FILE = "record.json"
ARRAYS: Mapping[RecordKind, tuple[str, np.dtype[Any]]] = {
    RecordKind.TABLE: (TABLE_FILE, np.dtype("<i4")),
    RecordKind.MANTISSA: (MANTISSA_FILE, np.dtype("<u2")),
    RecordKind.SAMPLE: (SAMPLE_FILE, np.dtype("<u8")),
}
"""Kind of record -> its array's file and type."""
_REMAKE = "make it again: rtlgrad lut NAME --force"


def save(characterization: AnyCharacterization, root: Path) -> Path:
    """Write a characterization to ``root/<name>`` and return that folder.

    The folder is replaced as a whole: a reader sees the old one or the new one.

    Raises:
        ConfigError: the folder cannot be written.
    """
    folder = root / characterization.name
    file, kind = ARRAYS[characterization.kind]
    with replace_folder(folder) as scratch:
        np.save(scratch / file, _array(characterization).astype(kind, copy=False))
        (scratch / RECORD_FILE).write_text(readable_json(to_record(characterization)))
    return folder


def load(folder: str | Path) -> AnyCharacterization:
    """Read a characterization of any kind from its folder and verify it.

    Raises:
        RecordError: a file is missing or damaged, the schema is another one, or a hash does not
            fit; the message names the file and both hashes.
    """
    folder = Path(folder)
    record = _read_record(folder / RECORD_FILE)
    try:
        kind = record_json.kind_of(record)
        file, of = ARRAYS[kind]
        return _from_record(kind, record, _read_array(folder / file, of), folder)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{folder / RECORD_FILE} is not a complete record",
            got=f"{type(error).__name__}: {error}",
            remedy=_REMAKE,
        ) from error


def load_tabulated(folder: str | Path) -> Characterization:
    """Read a characterization that has a table of integer products, verified as in `load`.

    Raises:
        RecordError: as `load`; or the design has no such table, and then the message says what it
            is and what can be done with it.
    """
    made = load(folder)
    if isinstance(made, Characterization):
        return made
    ports = f"{made.interface.a.width} x {made.interface.b.width} bits"
    if isinstance(made, MantissaCharacterization):
        raise RecordError(
            f"{made.name} has no table of integer products",
            got=f"a floating-point multiplier with a table of {made.table.mantissa_bits}-bit mantissas",
            expected="an integer multiplier with operands of at most 12 bits",
            remedy="its table: rtlgrad.lutgen.store.load_mantissas",
        )
    raise RecordError(
        f"{made.name} has no table: its operands are too wide for one",
        got=f"operands of {ports}, characterized by a sample of {len(made.sample)} pairs",
        expected="an integer multiplier with operands of at most 12 bits",
        remedy="build a narrower variant of it (a parameter in [variants]); its products can be had "
        "one by one from rtlgrad.cosim.simulation.live.LiveMultiplier",
    )


def load_table(folder: str | Path) -> ProductTable:
    """Read the table of a characterization, verified; errors as for `load_tabulated`."""
    return load_tabulated(folder).table


def load_mantissas(folder: str | Path) -> MantissaTable:
    """Read the mantissa table of a floating-point multiplier, verified as in `load`.

    An integer table of equal, unsigned operands serves as a multiplier of significands.

    Raises:
        RecordError: as `load`, or the design has neither.
    """
    made = load(folder)
    if isinstance(made, MantissaCharacterization):
        return made.table
    if isinstance(made, Characterization):
        return from_significands(made.table)
    raise RecordError(
        f"{made.name} has no mantissa table: its operands are too wide for one",
        got=f"a sample of {len(made.sample)} operand pairs",
        expected="mantissas of at most 11 bits",
    )


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


def to_record(characterization: AnyCharacterization) -> dict[str, Any]:
    """Return the content of ``record.json`` as plain data."""
    made = characterization
    record: dict[str, Any] = {"schema": SCHEMA, **record_json.described(made)}
    array = {
        "file": ARRAYS[made.kind][0],
        "shape": list(_array(made).shape),
        "sha256": made.content.content_hash,
    }
    if isinstance(made, Characterization):
        record["table"] = array
    elif isinstance(made, MantissaCharacterization):
        record["mantissa"] = {**array, "mantissa_bits": made.table.mantissa_bits}
        record["rounding"] = made.rounding
        record["decomposition"] = None if made.decomposition is None else asdict(made.decomposition)
    else:
        record["sample"] = {**array, "seed": made.sample.seed, "method": made.sample.method}
        record["netlist_pairs"] = made.netlist_pairs
    return {**record, "checksum": _checksum(record)}


def _array(made: AnyCharacterization) -> NDArray[Any]:
    """Return what goes into the array's file."""
    if isinstance(made, Characterization):
        return made.table.products
    if isinstance(made, MantissaCharacterization):
        return made.table.codes
    return made.sample.array


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


def _read_array(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    try:
        with path.open("rb") as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError as error:
        raise RecordError(f"no array {path}", remedy=_REMAKE) from error
    except Exception as error:
        # A damaged header fails in numpy in many ways: ValueError, TokenError, MemoryError, ...
        raise RecordError(f"{path} is damaged", got=error, remedy=_REMAKE) from error
    if array.dtype != kind or array.ndim != 2:
        raise RecordError(
            f"{path} is not an array of its kind",
            got=f"{array.dtype} of shape {array.shape}",
            expected=f"{kind} with two axes",
            remedy=_REMAKE,
        )
    return np.asarray(array)


def _from_record(
    kind: RecordKind, record: Mapping[str, Any], array: NDArray[Any], folder: Path
) -> AnyCharacterization:
    shared = record_json.description(record)
    if kind is RecordKind.TABLE:
        ports = shared["interface"]
        table = ProductTable(
            array, ports.a.signed, ports.b.signed, name=record["name"], id=record["id"]
        )
        _check_hashes(record, table, folder)
        metrics = record_json.error_metrics(record["metrics"])
        return Characterization(table=table, metrics=metrics, **shared)
    if kind is RecordKind.MANTISSA:
        mantissas = mantissas_from_codes(array, name=record["name"], id=record["id"])
        _check_hashes(record, mantissas, folder)
        return MantissaCharacterization(
            table=mantissas,
            metrics=record_json.float_metrics(record["metrics"]),
            rounding=Rounding(record["rounding"]),
            decomposition=record_json.decomposition(record["decomposition"]),
            **shared,
        )
    kept = record["sample"]
    sample = Sample(array[:, 0], array[:, 1], array[:, 2:], kept["seed"], kept["method"])
    _check_hashes(record, sample, folder)
    return SampledCharacterization(
        sample=sample,
        metrics=record_json.sampled_metrics(record["metrics"]),
        netlist_pairs=record["netlist_pairs"],
        **shared,
    )


def _check_hashes(record: Mapping[str, Any], content: Content, folder: Path) -> None:
    identity = record["identity"]
    key = content.identity_key
    if content.content_hash != identity[key]:
        raise RecordError(
            f"{folder / record[key]['file']} is not the {key} that its record describes",
            got=f"sha256 {content.content_hash} of shape {_shape(content)}",
            expected=f"sha256 {identity[key]} of shape {tuple(record[key]['shape'])}",
            remedy=_REMAKE,
        )
    if identity_hash(identity) != record["id"]:
        raise RecordError(
            f"{folder / RECORD_FILE}: the id does not belong to the identity",
            got=record["id"],
            expected=identity_hash(identity),
            remedy=_REMAKE,
        )


def _shape(content: Content) -> tuple[int, ...]:
    if isinstance(content, ProductTable):
        return content.products.shape
    return content.codes.shape if isinstance(content, MantissaTable) else content.array.shape
