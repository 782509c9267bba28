"""What is kept comes back, and damage of any kind is found and named."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import MODELS
from rtlgrad.core.errors import ConfigError, RecordError, UnknownNameError
from rtlgrad.core.files import readable_json
from rtlgrad.cosim.cost import Cost
from rtlgrad.cosim.design import pick_design, read_design, references
from rtlgrad.cosim.interface import (
    Clocking,
    ClockStyle,
    ControlInput,
    Interface,
    Latency,
    OrderRule,
    Port,
    SignRule,
)
from rtlgrad.lutgen import store
from rtlgrad.lutgen.float_metrics import float_metrics
from rtlgrad.lutgen.freshness import source_hashes
from rtlgrad.lutgen.mantissa import MantissaTable
from rtlgrad.lutgen.metrics import error_metrics
from rtlgrad.lutgen.record import (
    Characterization,
    Described,
    MantissaCharacterization,
    Provenance,
    SourceHash,
    identity,
    identity_hash,
)
from rtlgrad.lutgen.rounding import Rounding
from rtlgrad.lutgen.store import find, load, load_mantissas, load_table, save, stored_names
from rtlgrad.lutgen.table import ProductTable, exact_table

if TYPE_CHECKING:
    from collections.abc import Callable

RTL = Path(__file__).parents[2] / "rtl"
INTERFACE = Interface(
    module="m",
    a=Port("A", 3, False, SignRule.UNSIGNED),
    b=Port("B", 4, True, SignRule.KEYWORD),
    out=Port("O", 7, True, SignRule.OPERANDS),
    order_from=OrderRule.NAMES,
    parameters={"K": 2},
    front_end="pyverilog",
)
SOURCES = (SourceHash("rtl/m.v", "1" * 64), SourceHash("inc.vh", "2" * 64))
PRODUCTS = np.random.default_rng(7).integers(-64, 64, size=(8, 16))


def made(
    interface: Interface = INTERFACE,
    sources: tuple[SourceHash, ...] = SOURCES,
    products: np.ndarray[Any, Any] = PRODUCTS,
    name: str = "m2",
    created: str = "2026-01-01T00:00:00+00:00",
    library: str = "3" * 64,
) -> Characterization:
    bare = ProductTable(products, interface.a.signed, interface.b.signed, name=name)
    identifier = identity_hash(identity(interface, sources, bare))
    table = ProductTable(bare.products, bare.signed_a, bare.signed_b, name=name, id=identifier)
    return Characterization(
        name=name,
        title="A title with é and 乘",
        citation="",
        interface=interface,
        table=table,
        metrics=error_metrics(table),
        cost=Cost(1.5, None, None, {"INVX1": 3}, "lib", library, "by hand", {"delay_ps": "why"}),
        provenance=Provenance(SOURCES and sources, "", "4" * 64, "5" * 64, {"x": "1"}, created),
        warnings=("one", "two"),
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return save(made(), tmp_path)


def test_all_comes_back_as_it_was(kept: Path) -> None:
    original, loaded = made(), load(kept)
    for field in dataclasses.fields(Characterization):
        assert getattr(loaded, field.name) == getattr(original, field.name), field.name
    assert np.array_equal(loaded.table.products, PRODUCTS)
    assert loaded.id == loaded.table.id == original.id
    assert (loaded.table.signed_a, loaded.table.signed_b) == (False, True)
    assert load_table(kept) == original.table
    assert isinstance(loaded.interface.order_from, OrderRule)
    assert isinstance(loaded.interface.b.signed_from, SignRule)


CLOCKED = Clocking(
    clock="clk",
    falling=True,
    reset=ControlInput("rst_n", active_low=True),
    start=ControlInput("go"),
    done="ready",
    done_active_low=True,
    enables=(ControlInput("ce"), ControlInput("cs_n", active_low=True)),
    style=ClockStyle.HANDSHAKE,
    cycles=4,
    decided_from="sidecar",
)


def test_the_clock_and_the_latency_come_back(tmp_path: Path) -> None:
    latency = Latency(ClockStyle.HANDSHAKE, cycles=9, least_cycles=3, interval_cycles=10)
    original = dataclasses.replace(
        made(dataclasses.replace(INTERFACE, clocking=CLOCKED)), latency=latency
    )
    loaded = load(save(original, tmp_path))
    assert loaded.interface.clocking == CLOCKED
    assert loaded.latency == latency
    assert isinstance(loaded.latency.style, ClockStyle)
    assert loaded == original


def test_ids_are_what_they_were_before_there_were_other_kinds() -> None:
    # Checkpoints name them: that of mul4u_trunc3 was printed in docs/record-format.md of schema 1.
    reference = pick_design("mul4u_trunc3", references(RTL / "mul4u_trunc.v"))
    design = read_design(reference)
    table = ProductTable(MODELS["mul4u_trunc3"]())
    content = identity(design.interface, source_hashes(design), table)
    assert identity_hash(content) == (
        "ac8c2bb36e49463bcfaf15b3fbf1626cfd210751710dd438b0c73b8961b26f75"
    )


MANTISSAS = MantissaTable(2, np.arange(16).reshape(4, 4) % 4, np.arange(16).reshape(4, 4) > 7)


def test_a_mantissa_table_is_kept_with_the_carry_above_the_mantissa(tmp_path: Path) -> None:
    original = MantissaCharacterization(
        **shared(),
        table=MANTISSAS,
        metrics=float_metrics(MANTISSAS),
        rounding=Rounding.NEITHER,
    )
    original = dataclasses.replace(
        original, table=dataclasses.replace(MANTISSAS, name="m2", id=original.id)
    )
    folder = save(original, tmp_path)
    stored = np.load(folder / "mantissa.npy")
    assert (stored & 3 == MANTISSAS.mantissa).all()
    assert (stored >> 2 == MANTISSAS.carry).all()
    assert load(folder) == original
    assert load_mantissas(folder) == MANTISSAS
    with pytest.raises(RecordError, match="m2 has no table of integer products") as caught:
        load_table(folder)
    assert "load_mantissas" in str(caught.value.remedy)
    stored[1, 1] ^= 4
    np.save(folder / "mantissa.npy", stored)
    with pytest.raises(RecordError, match=r"mantissa\.npy is not the mantissa"):
        load(folder)


def shared() -> dict[str, Any]:
    """What every kind of characterization has."""
    of_table = made()
    names = [field.name for field in dataclasses.fields(Described)]
    return {name: getattr(of_table, name) for name in names}


def test_saving_what_was_loaded_changes_no_byte(kept: Path, tmp_path: Path) -> None:
    again = save(load(kept), tmp_path / "again")
    for name in (store.TABLE_FILE, store.RECORD_FILE):
        assert (again / name).read_bytes() == (kept / name).read_bytes()


def test_a_peer_with_numpy_and_json_alone_can_read_it(kept: Path) -> None:
    record = json.loads((kept / "record.json").read_text())
    products = np.load(kept / record["table"]["file"])
    assert list(products.shape) == record["table"]["shape"] == [8, 16]
    assert products.dtype == np.int32
    assert record["interface"]["b"]["signed"] is True


def edited(kept: Path, change: Callable[[dict[str, Any]], object], seal: bool = False) -> None:
    path = kept / "record.json"
    record = json.loads(path.read_text())
    change(record)
    if seal:
        record["checksum"] = store._checksum(record)
    path.write_text(readable_json(record))


def flip(path: Path, byte: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("entry", [0, 77, 127])
@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_of_the_table_is_found_and_both_hashes_named(
    kept: Path, entry: int, bit: int
) -> None:
    path = kept / "table.npy"
    flip(path, path.stat().st_size - 4 * (128 - entry), bit)
    with pytest.raises(RecordError, match=r"table\.npy") as caught:
        load(kept)
    damaged = ProductTable(np.load(path), False, True)
    assert str(caught.value.got).startswith(f"sha256 {damaged.content_hash}")
    assert str(caught.value.expected).startswith(f"sha256 {made().table.content_hash}")
    assert "rtlgrad lut" in str(caught.value.remedy)


def test_a_table_of_another_design_is_found(kept: Path, tmp_path: Path) -> None:
    other = save(made(products=PRODUCTS + 1, name="other"), tmp_path)
    shutil.copy(other / "table.npy", kept / "table.npy")
    with pytest.raises(RecordError, match=r"m2/table\.npy is not the table"):
        load(kept)


def test_a_transposed_table_is_found(tmp_path: Path) -> None:
    kept = save(made(products=np.arange(128).reshape(8, 16)), tmp_path)
    np.save(kept / "table.npy", np.load(kept / "table.npy").T)
    with pytest.raises(RecordError, match=r"\(16, 8\)"):
        load(kept)


CUTS = {"empty": 0, "within the header": 50, "within the data": -3}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("file", ["table.npy", "record.json"])
def test_a_truncated_file_is_named(kept: Path, file: str, name: str) -> None:
    data = (kept / file).read_bytes()
    (kept / file).write_bytes(data[: CUTS[name]])
    with pytest.raises(RecordError, match=file.replace(".", r"\.")) as caught:
        load(kept)
    assert caught.value.remedy


@pytest.mark.parametrize("file", ["table.npy", "record.json"])
def test_a_missing_file_is_named(kept: Path, file: str) -> None:
    (kept / file).unlink()
    with pytest.raises(RecordError, match=file.replace(".", r"\.")):
        load(kept)


WRONG_ARRAYS = {
    "int64": PRODUCTS.astype(np.int64),
    "float": PRODUCTS.astype(np.float32),
    "big-endian": PRODUCTS.astype(">i4"),
    "one row less": PRODUCTS[:4].astype(np.int32),
    "flat": PRODUCTS.ravel().astype(np.int32),
    "a number": np.int32(3),
    "no power of two": PRODUCTS[:7].astype(np.int32),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_an_array_of_another_kind_is_refused(kept: Path, name: str) -> None:
    np.save(kept / "table.npy", WRONG_ARRAYS[name])
    with pytest.raises(RecordError):
        load(kept)


def test_pickled_and_zipped_arrays_are_never_opened(kept: Path) -> None:
    for write in (
        lambda stream: np.save(stream, np.array([print]), allow_pickle=True),
        lambda stream: np.savez(stream, PRODUCTS),
    ):
        stream = io.BytesIO()
        write(stream)
        (kept / "table.npy").write_bytes(stream.getvalue())
        with pytest.raises(RecordError, match=r"table\.npy is damaged"):
            load(kept)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a metric": lambda record: record["metrics"].update(mae=0.0),
    "an area": lambda record: record["cost"].update(area_um2=1.0),
    "the title": lambda record: record.update(title="better"),
    "a sign": lambda record: record["interface"]["a"].update(signed=True),
    "the id": lambda record: record.update(id="0" * 64),
    "the hash of the table": lambda record: record["identity"].update(table="0" * 64),
    "an additional key": lambda record: record.update(note="hello"),
    "a key less": lambda record: record.pop("warnings"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_found_and_both_checksums_named(kept: Path, name: str) -> None:
    before = json.loads((kept / "record.json").read_text())["checksum"]
    edited(kept, EDITS[name])
    with pytest.raises(RecordError, match=r"record\.json was changed") as caught:
        load(kept)
    assert caught.value.expected == f"checksum {before}"
    assert str(caught.value.got) != caught.value.expected


SEALED: dict[str, Callable[[dict[str, Any]], object]] = {
    "the id": lambda record: record.update(id="0" * 64),
    "the identity": lambda record: record["identity"]["ports"]["a"].update(name="X"),
    "the hash of the table": lambda record: record["identity"].update(table="0" * 64),
    "a sign, which the table's hash covers": lambda record: record["interface"]["a"].update(
        signed=True
    ),
    "a key less": lambda record: record["interface"].pop("front_end"),
    "a key more": lambda record: record["cost"].update(colour="blue"),
    "a list for a table": lambda record: record.update(interface=[]),
    "a number for sources": lambda record: record["provenance"].update(sources=[5]),
    "an unknown rule": lambda record: record["interface"].update(order_from="dice"),
    "nothing": lambda record: record.update(identity=None),
}


@pytest.mark.parametrize("name", SEALED)
def test_a_record_that_contradicts_itself_is_refused_even_with_a_new_checksum(
    kept: Path, name: str
) -> None:
    edited(kept, SEALED[name], seal=True)
    with pytest.raises(RecordError, match="m2/"):
        load(kept)


@pytest.mark.parametrize("schema", [0, 1, "2", None])
def test_another_schema_is_named(kept: Path, schema: object) -> None:
    edited(kept, lambda record: record.update(schema=schema), seal=True)
    with pytest.raises(RecordError, match="another format") as caught:
        load(kept)
    assert caught.value.got == f"schema {schema!r}"
    assert caught.value.expected == "schema 2"


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "3", '{"schema": 1, "x": NaN}', '{"schema": 1, "x": Infinity}', "[" * 9000],
)
def test_other_json_is_refused(kept: Path, text: str) -> None:
    (kept / "record.json").write_text(text)
    with pytest.raises(RecordError, match=r"record\.json"):
        load(kept)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damage_gives_other_content_or_another_exception(
    kept: Path, data: st.DataObject
) -> None:
    path = kept / data.draw(st.sampled_from(["table.npy", "record.json"]))
    before = path.read_bytes()
    damaged = bytearray(before)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(before) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        loaded = load(kept)
    except RecordError:
        pass
    else:
        # White space in JSON, say, or padding in the header of the table.
        assert store.to_record(loaded) == store.to_record(made())
        assert np.array_equal(loaded.table.products, PRODUCTS)
    finally:
        path.write_bytes(before)


def test_a_header_that_promises_too_much_is_refused(kept: Path) -> None:
    path = kept / "table.npy"
    data = path.read_bytes().replace(b"(8, 16), }         ", b"(8589934592, 16), }")
    assert len(data) == path.stat().st_size
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"table\.npy"):
        load(kept)


class TestIdentity:
    """What makes a characterization another one."""

    @pytest.mark.parametrize(
        "other",
        [
            made(sources=(SourceHash("rtl/m.v", "9" * 64), SOURCES[1])),
            made(sources=(SOURCES[0], SourceHash("inc.vh", "9" * 64))),
            made(sources=SOURCES[:1]),
            made(sources=SOURCES[::-1]),
            made(products=np.where(np.arange(128).reshape(8, 16) == 5, PRODUCTS ^ 1, PRODUCTS)),
            made(dataclasses.replace(INTERFACE, parameters={"K": 3})),
            made(dataclasses.replace(INTERFACE, parameters={"J": 2})),
            made(dataclasses.replace(INTERFACE, module="n")),
            made(dataclasses.replace(INTERFACE, a=Port("X", 3, False, SignRule.UNSIGNED))),
            made(dataclasses.replace(INTERFACE, a=Port("A", 3, True, SignRule.UNSIGNED))),
            made(dataclasses.replace(INTERFACE, out=Port("O", 8, True, SignRule.OPERANDS))),
            made(dataclasses.replace(INTERFACE, out=Port("O", 7, False, SignRule.OPERANDS))),
        ],
        ids=[
            "source", "include", "include gone", "order of sources", "table bit", "parameter",
            "parameter name", "module", "port name", "sign of a", "width of out", "sign of out",
        ],
    )  # fmt: skip
    def test_it_changes(self, other: Characterization) -> None:
        assert other.id != made().id

    @pytest.mark.parametrize(
        "other",
        [
            made(sources=(SourceHash("elsewhere/n.v", "1" * 64), SOURCES[1])),
            made(name="another"),
            made(created="1999-01-01T00:00:00+00:00"),
            made(library="0" * 64),
            made(dataclasses.replace(INTERFACE, front_end="pyslang")),
            made(dataclasses.replace(INTERFACE, order_from=OrderRule.SIDECAR)),
            made(dataclasses.replace(INTERFACE, a=Port("A", 3, False, SignRule.SIDECAR))),
        ],
        ids=["file name", "design name", "time", "library", "front end", "order rule", "sign rule"],
    )
    def test_it_stays(self, other: Characterization) -> None:
        assert other.id == made().id


def test_a_save_that_fails_keeps_the_old_record(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.np, "save", full)
    with pytest.raises(ConfigError, match="cannot write"):
        save(made(products=PRODUCTS + 1), tmp_path)
    assert load(kept).id == made().id
    assert [path.name for path in tmp_path.iterdir()] == ["m2"]


def test_designs_are_found_by_name_and_by_folder(kept: Path, tmp_path: Path) -> None:
    save(made(name="another"), tmp_path)
    (tmp_path / ".another.new-x").mkdir()
    (tmp_path / "not a design").mkdir()
    assert stored_names(tmp_path) == ["another", "m2"]
    assert find(tmp_path, "m2") == find(Path("/nowhere"), str(kept)) == kept
    with pytest.raises(UnknownNameError) as caught:
        find(tmp_path, "anothr")
    assert "did you mean 'another'?" in str(caught.value)


def test_the_exact_table_is_kept_like_any_other(tmp_path: Path) -> None:
    interface = dataclasses.replace(INTERFACE, b=Port("B", 4, False, SignRule.UNSIGNED))
    kept = save(made(interface, products=exact_table(3, 4).products), tmp_path)
    assert load_table(kept) == exact_table(3, 4)
    assert load(kept).metrics.mae == 0
