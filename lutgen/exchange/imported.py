"""Keeps tables that did not come from Verilog: characterizations that say so.

The record's schema is that of a simulated design. What has no counterpart says what it is: the front
end is ``import:<format>`` (``import:c`` for a C function), the source is the imported file, cost is
absent with its reason, and there is no testbench. What the user said on the command line takes the
part that a sidecar plays for Verilog, what the format or the C type says that of a declaration, and
the rules in the record read accordingly.
"""

from __future__ import annotations

import datetime
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, RtlgradError
from ...core.files import canonical_json, sha256_bytes
from ...cosim.cost import Cost
from ...cosim.float_format import FloatFormat, FloatPart
from ...cosim.interface import Interface, OrderRule, Port, SignRule
from ...cosim.programs.tools import package_version
from ..float_metrics import float_metrics, table_rounding
from ..metrics import error_metrics
from ..record import (
    SCHEMA,
    Characterization,
    MantissaCharacterization,
    Provenance,
    SourceHash,
    identity,
    identity_hash,
)
from ..store import RECORD_FILE, load, save
from ..table import ProductTable

if TYPE_CHECKING:
    from pathlib import Path

    from ..mantissa import MantissaTable
    from ..record import AnyCharacterization
    from .c_model import TabulatedFunction
    from .operands import Operands, Order
    from .registry import TableFile

FRONT_END = "import:"
"""What the front end of every imported record begins with."""
NO_CIRCUIT = "imported table: no circuit"
_FIGURES = tuple(figure.name for figure in fields(Cost) if figure.type == "float | None")
_UNPROVEN = "imported table: nothing shows that a circuit computes it; compare with rtlgrad check"


def from_file(read: TableFile, name: str) -> Characterization:
    """Make the characterization of a table read from a file.

    Args:
        read: the table and how it was read.
        name: the design's name in the store.
    """
    sign = SignRule.SIDECAR if read.signs_stated else SignRule.KEYWORD
    ports = _ports(read.operands, ("a", "b", "out"), sign, _out_bits(read.table, read.operands))
    interface = Interface(
        # Part of the identity, which does not depend on the names that people choose.
        module="imported",
        a=ports[0],
        b=ports[1],
        out=ports[2],
        order_from=OrderRule.SIDECAR if read.order_stated else OrderRule.DECLARATION,
        parameters={},
        front_end=FRONT_END + read.format,
    )
    source = SourceHash(read.path.as_posix(), read.sha256)
    return _characterization(name, read.table, interface, source, read.options, {})


def from_function(made: TabulatedFunction, name: str) -> Characterization:
    """Make the characterization of a table made by calling a C function.

    Args:
        made: the table and how it was made.
        name: the design's name in the store.
    """
    sign = SignRule.SIDECAR if made.operands_stated else SignRule.NAME
    (_, first), (_, second) = made.function.parameters
    names = (first, second) if made.order == "ab" else (second, first)
    ports = _ports(made.operands, (*names, "return"), sign, made.out_bits)
    interface = Interface(
        module=made.function.name,
        a=ports[0],
        b=ports[1],
        out=ports[2],
        order_from=OrderRule.SIDECAR if made.order_stated else OrderRule.NAMES,
        parameters={},
        front_end=f"{FRONT_END}c",
    )
    source = SourceHash(made.path.as_posix(), made.sha256)
    tools = {"compiler": made.compiler}
    return _characterization(name, made.table, interface, source, made.options, tools)


def from_mantissas(
    table: MantissaTable, path: Path, order: Order, *, order_stated: bool, form: str
) -> MantissaCharacterization:
    """Make the characterization of a mantissa table read from a file; its name is the table's.

    Args:
        table: the table.
        path: the file.
        order: which operand its rows, or first operands, were taken for.
        order_stated: whether the user said so, rather than the format.
        form: name of the format.
    """
    bits = table.mantissa_bits
    rule = SignRule.SIDECAR
    interface = Interface(
        module="imported",
        a=Port("a", bits, False, rule),
        b=Port("b", bits, False, rule),
        out=Port("out", bits + 1, False, rule),
        order_from=OrderRule.SIDECAR if order_stated else OrderRule.DECLARATION,
        parameters={},
        front_end=FRONT_END + form,
        format=FloatFormat(FloatPart.MANTISSA, bits),
    )
    source = SourceHash(path.as_posix(), sha256_bytes(path.read_bytes()))
    options = f"--format {form} --order {order}"
    named = replace(table, id=identity_hash(identity(interface, (source,), table)))
    return MantissaCharacterization(
        **_description(table.name, interface, source, options, {}),
        table=named,
        metrics=float_metrics(named),
        rounding=table_rounding(named),
    )


def keep(made: AnyCharacterization, root: Path, *, replace: bool = False) -> Path:
    """Save an imported characterization, unless its name belongs to something else.

    Args:
        made: what to save.
        root: the store.
        replace: whether an imported table of that name may be replaced. A design made from
            Verilog is never replaced.

    Raises:
        ConfigError: the name is taken, or the store cannot be written.
    """
    folder = root / made.name
    if (folder / RECORD_FILE).is_file():
        _check_replaceable(made, folder, replace)
    return save(made, root)


def _check_replaceable(made: AnyCharacterization, folder: Path, replace: bool) -> None:
    try:
        stored = load(folder)
    except RtlgradError as error:
        if replace:
            return
        raise ConfigError(
            f"{folder} holds a record that cannot be read", got=error, remedy="--force, or --name"
        ) from error
    imported = stored.interface.front_end.startswith(FRONT_END)
    if stored.id != made.id and not (imported and replace):
        raise ConfigError(
            f"{folder.parent} has another design called {made.name!r}",
            got=f"{'an imported table' if imported else 'a simulated design'}, id {stored.id}",
            expected=f"a free name, or the same table, id {made.id}",
            remedy="give the import another name with --name"
            + (", or replace the other import with --force" if imported else ""),
        )
    if not imported:
        raise ConfigError(
            f"{folder} holds the same table, made from Verilog", remedy="nothing needs importing"
        )


def _ports(
    operands: Operands, names: tuple[str, str, str], rule: SignRule, out_bits: int
) -> tuple[Port, Port, Port]:
    def port(name: str, width: int, signed: bool) -> Port:
        return Port(name, width, signed, rule)

    return (
        port(names[0], operands.width_a, operands.signed_a),
        port(names[1], operands.width_b, operands.signed_b),
        Port(
            names[2],
            out_bits,
            operands.signed_out,
            SignRule.OPERANDS if operands.signed_out else rule,
        ),
    )


def _out_bits(table: ProductTable, operands: Operands) -> int:
    """Bits of the product, or more where an entry needs more."""
    low, high = int(table.products.min()), int(table.products.max())
    needed = max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0)
    return max(operands.width_a + operands.width_b, needed + int(operands.signed_out))


def _characterization(
    name: str,
    table: ProductTable,
    interface: Interface,
    source: SourceHash,
    options: str,
    tools: dict[str, str],
) -> Characterization:
    named = ProductTable(
        table.products,
        table.signed_a,
        table.signed_b,
        name=name,
        id=identity_hash(identity(interface, (source,), table)),
    )
    shared = _description(name, interface, source, options, tools)
    shared["warnings"] = (*shared["warnings"], *_negative_note(table, interface))
    return Characterization(**shared, table=named, metrics=error_metrics(named))


def _description(
    name: str, interface: Interface, source: SourceHash, options: str, tools: dict[str, str]
) -> dict[str, Any]:
    """Return what is said of an imported table of any kind, as arguments of its characterization."""
    versions = {"rtlgrad": package_version("rtlgrad") or "unknown", **tools}
    key = canonical_json([SCHEMA, interface.front_end, options, versions])
    cost = Cost(
        area_um2=None,
        delay_ps=None,
        power_uw=None,
        cells={},
        library="none",
        library_sha256="",
        method=NO_CIRCUIT,
        absent=dict.fromkeys(_FIGURES, NO_CIRCUIT),
    )
    provenance = Provenance(
        sources=(source,),
        sidecar_sha256=sha256_bytes(options.encode()),
        testbench_sha256="",
        work_key=sha256_bytes(key.encode()),
        tools=versions,
        created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return {
        "name": name,
        "title": "",
        "citation": "",
        "interface": interface,
        "cost": cost,
        "provenance": provenance,
        "warnings": (_UNPROVEN, f"imported with {options}"),
    }


def _negative_note(table: ProductTable, interface: Interface) -> tuple[str, ...]:
    if interface.out.signed and int(table.products.min()) >= 0:
        return ("operands are signed but no product is negative: check the signs",)
    if not interface.out.signed and int(table.products.min()) < 0:
        return ("operands are unsigned but products are negative: check the signs",)
    return ()
