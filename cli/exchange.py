"""``rtlgrad import``, ``export`` and ``check``: tables in other projects' formats."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, RecordError
from ..cosim.design import SUFFIXES, references, verilog_files
from ..lutgen.exchange import FORMATS, approxtrain, c_model, imported
from ..lutgen.exchange.diagnose import check_kind, diagnose, diagnose_mantissas
from ..lutgen.exchange.operands import parse_operands, parse_order
from ..lutgen.exchange.registry import read_file, write_table
from ..lutgen.mantissa import from_significands
from ..lutgen.metrics import error_metrics
from ..lutgen.record import Characterization, MantissaCharacterization
from ..lutgen.store import (
    RECORD_FILE,
    find,
    load,
    load_mantissas,
    load_table,
    stored_names,
    to_record,
)
from .console import err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..cosim.design import DesignReference
    from ..lutgen.exchange.diagnose import Diagnosis
    from ..lutgen.exchange.operands import Operands, Order
    from ..lutgen.mantissa import MantissaTable
    from ..lutgen.record import AnyCharacterization
    from ..lutgen.table import ProductTable


def run_import(
    path: Path,
    *,
    form: str | None,
    operands: str | None,
    order: str | None,
    function: str | None,
    out_bits: int | None,
    time_limit_s: float,
    name: str | None,
    store: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Read a table, or tabulate a C function, and keep it as a design."""
    said = None if operands is None else parse_operands(operands)
    taken = None if order is None else parse_order(order)
    made: AnyCharacterization
    if form == approxtrain.NAME:
        made = _from_mantissas(path, said, taken, name)
    elif function is not None or path.suffix in c_model.SUFFIXES:
        made = _from_c(path, form, function, said, taken, out_bits, time_limit_s, name)
    else:
        if out_bits is not None:
            raise ConfigError("--out-bits goes with --function alone")
        read = read_file(path, form, **_reading(said, taken))
        made = imported.from_file(read, _checked_name(name or path.stem))
    folder = imported.keep(made, store, replace=force)
    if as_json:
        print_json(to_record(made))
    else:
        from .lut import operands as operands_text

        out().print(f"{made.name}: {operands_text(made)}, id {made.id}", markup=False)
    for note in made.warnings:
        err().print(f"note: {note}", markup=False)
    err().print(f"kept in {folder}; see rtlgrad show {made.name}", markup=False)


def _from_mantissas(
    path: Path, operands: Operands | None, order: Order | None, name: str | None
) -> AnyCharacterization:
    bits = None if operands is None else operands.width_a - 1
    chosen = order or parse_order("ab")
    table = approxtrain.read_mantissas(path, mantissa_bits=bits, order=chosen)
    named = replace(table, name=_checked_name(name or path.stem))
    return imported.from_mantissas(
        named, path, chosen, order_stated=order is not None, form=approxtrain.NAME
    )


def _from_c(
    path: Path,
    form: str | None,
    function: str | None,
    operands: Operands | None,
    order: Order | None,
    out_bits: int | None,
    time_limit_s: float,
    name: str | None,
) -> Characterization:
    if form is not None:
        raise ConfigError("--format does not go with a C function", got=f"--format {form}")
    made = c_model.tabulate(
        path,
        function or "",
        operands=operands,
        order=order,
        out_bits=out_bits,
        time_limit_s=time_limit_s,
    )
    return imported.from_function(made, _checked_name(name or made.function.name))


def _checked_name(name: str) -> str:
    # A design's name is a folder of the store.
    if not name or name.startswith(".") or not all(c.isalnum() or c in "_.-" for c in name):
        raise ConfigError(
            f"{name!r} cannot be the name of a design",
            expected="letters, digits, '_', '.' and '-', not beginning with '.'",
            remedy="name it with --name",
        )
    return name


def _reading(operands: Operands | None, order: Order | None) -> dict[str, Any]:
    if operands is None:
        return {"order": order}
    return {
        "order": order,
        "signed": operands.signs,
        "width_a": operands.width_a,
        "width_b": operands.width_b,
    }


def run_export(
    design: str, *, form: str, order: str | None, path: Path | None, store: Path, as_json: bool
) -> None:
    """Write a design's table in another project's format."""
    folder = find(store, design)
    made = load(folder)
    taken = None if order is None else parse_order(order)
    if form == approxtrain.NAME:
        target = path or Path(f"{made.name}.bin")
        taken = taken or parse_order("ab")
        approxtrain.write_mantissas(load_mantissas(folder), target, order=taken)
    else:
        suffix = FORMATS[form].suffix if form in FORMATS else ""
        target = path or Path(f"{made.name}{suffix}")
        taken = write_table(load_table(folder), target, form, order=taken)
    if as_json:
        print_json({"path": str(target), "format": form, "order": str(taken), "id": made.id})
    else:
        rows = "a (activation)" if taken == "ab" else "b (weight)"
        out().print(f"{target}: {made.name} as {form}, first operand {rows}", markup=False)


def run_check(
    table: str,
    *,
    against: str,
    form: str | None,
    operands: str | None,
    order: str | None,
    function: str | None,
    store: Path,
    rtl: Path,
    as_json: bool,
) -> int:
    """Say whether a table is that of a design; return 0 if it is, 1 if not."""
    said = None if operands is None else parse_operands(operands)
    taken = None if order is None else parse_order(order)
    design = _design(against, store, rtl)
    if form == approxtrain.NAME:
        bits = None if said is None else said.width_a - 1
        mantissas = approxtrain.read_mantissas(table, mantissa_bits=bits, order=taken or "ab")
        expected = _mantissas_of(design)
        if mantissas.mantissa_bits != expected.mantissa_bits:
            raise ConfigError(
                f"{table} cannot be a table of {design.name}",
                got=f"mantissas of {mantissas.mantissa_bits} bits",
                expected=f"{expected.mantissa_bits} bits, one less than the design's operands",
            )
        diagnosis, found = diagnose_mantissas(mantissas, expected), None
    else:
        if not isinstance(design, Characterization):
            raise ConfigError(
                f"{design.name} has no table of integer products to compare with",
                got=f"a record of kind {design.kind}",
                remedy=f"a mantissa table can be compared with --format {approxtrain.NAME}",
            )
        found = _table(table, form, said, taken, function, store)
        check_kind(found, design.table)
        diagnosis = diagnose(found, design, _others(store))
    if as_json:
        print_json(_as_data(table, design, diagnosis, found))
    else:
        for line in _lines(table, design, diagnosis, found):
            out().print(line, markup=False)
    return int(not diagnosis.equal)


def _table(
    table: str,
    form: str | None,
    operands: Operands | None,
    order: Order | None,
    function: str | None,
    store: Path,
) -> ProductTable:
    path = Path(table)
    if not path.is_file():
        return load_table(find(store, table))
    if function is not None or path.suffix in c_model.SUFFIXES:
        return c_model.tabulate(path, function or "", operands=operands, order=order).table
    return read_file(path, form, **_reading(operands, order)).table


def _mantissas_of(design: AnyCharacterization) -> MantissaTable:
    if isinstance(design, MantissaCharacterization):
        return design.table
    if isinstance(design, Characterization):
        return from_significands(design.table)
    raise ConfigError(f"{design.name} has no mantissa table: its operands are too wide for one")


def _design(name: str, store: Path, rtl: Path) -> AnyCharacterization:
    """Return a stored design, or characterize a Verilog file or a design of rtl/ now."""
    path = Path(name)
    if path.suffix in SUFFIXES:
        chosen = references(path)
    else:
        chosen = [] if _is_stored(name, store) else _named(name, rtl)
        if not chosen:
            return load(find(store, name))
    if len(chosen) != 1:
        raise ConfigError(
            f"{name} holds several designs",
            got=", ".join(design.name for design in chosen),
            remedy="characterize it (rtlgrad lut), then name the design",
        )
    from ..lutgen.characterize import Settings, characterize

    outcome = characterize(chosen, Settings(store))[0]
    if outcome.error is not None:
        raise outcome.error
    assert outcome.characterization is not None
    return outcome.characterization


def _is_stored(name: str, store: Path) -> bool:
    return any((folder / RECORD_FILE).is_file() for folder in (store / name, Path(name)))


def _named(name: str, rtl: Path) -> list[DesignReference]:
    if not rtl.is_dir():
        return []
    return [
        design for file in verilog_files(rtl) for design in references(file) if design.name == name
    ]


def _others(store: Path) -> Iterator[Characterization]:
    for name in stored_names(store):
        try:
            made = load(store / name)
        except RecordError as error:
            err().print(f"note: {name} not compared: {error.what}", markup=False)
            continue
        if isinstance(made, Characterization):
            yield made


def _lines(
    table: str, design: AnyCharacterization, diagnosis: Diagnosis, found: ProductTable | None
) -> Iterator[str]:
    simulated = not design.interface.front_end.startswith(imported.FRONT_END)
    kind = "simulated" if simulated else "itself an imported table"
    yield f"{table} against {design.name} ({kind}, id {design.id})"
    if diagnosis.equal:
        yield f"equal in all {diagnosis.shape[0] * diagnosis.shape[1]} entries"
        return
    for difference in diagnosis.signs:
        yield f"differs   {difference}"
    yield from _comparison_lines(diagnosis)
    comparable = found is not None and not diagnosis.signs and diagnosis.comparison is not None
    if comparable and isinstance(design, Characterization):
        assert found is not None
        here, there = error_metrics(found), design.metrics
        yield f"MAE       {here.mae:.6g} in the table, {there.mae:.6g} in the design"
        yield f"WCE       {here.wce} in the table, {there.wce} in the design"
    for index, explanation in enumerate(diagnosis.explanations):
        yield f"{'explained' if index == 0 else 'or'.rjust(9)} {explanation}"
    if diagnosis.explanations:
        yield "          (exactly: in every entry)"
    elif diagnosis.comparison is None or diagnosis.comparison.differing:
        tried = "alone and in pairs" if diagnosis.pairs_tried else "alone"
        yield f"explained by none of the known mistakes, {tried}"


def _comparison_lines(diagnosis: Diagnosis) -> Iterator[str]:
    comparison = diagnosis.comparison
    if comparison is None:
        shapes = [f"{rows} x {columns}" for rows, columns in _shapes(diagnosis)]
        yield f"differs   in shape: {shapes[0]} in the table, {shapes[1]} in the design"
        return
    share = 100.0 * comparison.differing / comparison.entries
    yield f"differs   in {comparison.differing} of {comparison.entries} entries ({share:.2f} %)"
    if not comparison.differing:
        return
    where = "; ".join(
        f"{region.differing} of {region.entries} with {region.where}"
        for region in comparison.regions
    )
    yield f"where     {where}; in {comparison.rows} rows, {comparison.columns} columns"
    yield (
        f"by        at most {comparison.max_abs}, {comparison.mean_abs:.6g} on average where they "
        f"differ (with sign: {comparison.mean_signed:.6g})"
    )
    for entry in comparison.first:
        yield f"          a = {entry.a}, b = {entry.b}: {entry.found} instead of {entry.expected}"


def _shapes(diagnosis: Diagnosis) -> tuple[tuple[int, int], tuple[int, int]]:
    return diagnosis.shape, diagnosis.expected_shape


def _as_data(
    table: str, design: AnyCharacterization, diagnosis: Diagnosis, found: ProductTable | None
) -> dict[str, Any]:
    content = {"table": table, "design": design.name, "id": design.id, **asdict(diagnosis)}
    if (
        found is not None
        and not diagnosis.signs
        and found.products.shape == diagnosis.expected_shape
    ):
        content["metrics"] = asdict(error_metrics(found))
        content["design_metrics"] = asdict(design.metrics)
    return content
