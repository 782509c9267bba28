"""``rtlgrad import``, ``export`` and ``check`` as a user meets them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference.multipliers import MODELS
from rtlgrad.cli.main import main
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.lutgen.exchange import approxtrain, write_table
from rtlgrad.lutgen.mantissa import from_significands
from rtlgrad.lutgen.record import MantissaCharacterization
from rtlgrad.lutgen.store import load, to_record

if TYPE_CHECKING:
    from collections.abc import Callable

RTL = Path(__file__).parents[2] / "rtl"
MODEL = "int mul4u_low(int a, int b) { return (a * b) & ~3; }\n"


@pytest.fixture
def invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in an empty folder; return exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rtlgrad", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return int(str(code)), captured.out, captured.err

    return call


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A 4 x 4 bit table that is not commutative."""
    path = tmp_path / "skew.csv"
    products = exact_table(4, 4).products + np.arange(16)[:, None]
    write_table(ProductTable(products), path, "csv")
    return path


def test_a_mantissa_table_is_kept_shown_exported_and_compared(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    made = from_significands(exact_table(6, 6))
    approxtrain.write_mantissas(made, tmp_path / "ACC_5.bin")
    as_approxtrain = ("--format", "approxtrain")
    code, printed, _ = invoke("import", "ACC_5.bin", *as_approxtrain, "--json")
    assert code == 0
    record = json.loads(printed)
    assert (record["kind"], record["rounding"]) == ("mantissa", "truncated")
    assert record["interface"]["format"] == {
        "part": "mantissa",
        "mantissa_bits": 5,
        "exponent_bits": 0,
    }
    kept = load(Path("out/luts/ACC_5"))
    assert isinstance(kept, MantissaCharacterization)
    assert kept.table == made
    assert kept.table.id == kept.id
    assert "truncated" in invoke("show", "ACC_5")[1]
    assert invoke("export", "ACC_5", *as_approxtrain, "--out", "again.bin")[0] == 0
    assert Path("again.bin").read_bytes() == Path("ACC_5.bin").read_bytes()
    assert invoke("check", "again.bin", "--against", "ACC_5", *as_approxtrain)[0] == 0
    code, _, said = invoke("export", "ACC_5", "--format", "npy")
    assert (code, "no table of integer products" in said) == (1, True)
    code, _, said = invoke("check", "again.bin", "--against", "ACC_5", "--format", "csv")
    assert (code, "mantissa table can be compared" in said) == (1, True)


def test_an_imported_table_is_a_design_without_a_circuit(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    code, printed, _ = invoke("import", csv, "--json")
    assert code == 0
    record = json.loads(printed)
    assert record["interface"]["front_end"] == "import:csv"
    assert record["interface"]["order_from"] == "declaration"
    for figure in ("area_um2", "delay_ps", "power_uw"):
        assert record["cost"][figure] is None
        assert record["cost"]["absent"][figure] == "imported table: no circuit"
    unknown = {name for name, figure in record["cost"].items() if figure is None}
    assert unknown == set(record["cost"]["absent"])
    assert "imported with --format csv --order ab --operands u4xu4" in record["warnings"]
    made = load(Path("out/luts/skew"))
    assert json.loads(json.dumps(to_record(made))) == record
    assert made.table.id == made.id
    assert made.metrics.bias == 7.5
    code, printed, _ = invoke("show", "skew")
    assert code == 0
    assert "import:csv" in printed
    assert "not available: imported table: no circuit" in printed
    assert "skew" in invoke("list", "designs", "--rtl", RTL)[1]


def test_the_identity_of_an_import_does_not_depend_on_its_name(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    invoke("import", csv)
    invoke("import", csv, "--name", "second")
    invoke("import", csv, "--name", "third", "--order", "ba")
    first, second, third = (load(Path("out/luts") / name) for name in ("skew", "second", "third"))
    assert first.id == second.id != third.id
    assert third.interface.order_from == "sidecar"
    assert np.array_equal(third.table.products, first.table.products.T)


def test_an_import_replaces_nothing_unasked(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    invoke("import", csv)
    assert invoke("import", csv)[0] == 0, "the same table again changes nothing"
    code, _, said = invoke("import", csv, "--order", "ba")
    assert code == 1
    assert "another design called 'skew'" in said
    assert invoke("import", csv, "--order", "ba", "--force")[0] == 0
    record = Path("out/luts/skew/record.json")
    record.write_text("{}")
    assert "cannot be read" in invoke("import", csv)[2]
    assert invoke("import", csv, "--force")[0] == 0


def test_a_name_must_be_a_folder_name(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    for name in ("../up", ".hidden", "a b"):
        code, _, said = invoke("import", csv, "--name", name)
        assert code == 1
        assert "cannot be the name of a design" in said


def test_a_c_model_is_imported_by_its_function(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    path = tmp_path / "model.c"
    path.write_text(MODEL)
    code, printed, said = invoke("import", path, "--function", "mul4u_low")
    assert code == 0
    assert "mul4u_low: u4 x u4" in printed
    assert "imported with --function mul4u_low --order ab --operands u4xu4" in said
    made = load(Path("out/luts/mul4u_low"))
    assert made.interface.front_end == "import:c"
    assert (made.interface.a.name, made.interface.a.signed_from) == ("a", "name")
    assert np.array_equal(made.table.products, exact_table(4, 4).products & ~3)
    code, printed, _ = invoke(
        "check", path, "--function", "mul4u_low", "--against", "mul4u_low", "--json"
    )
    assert (code, json.loads(printed)["equal"]) == (0, True)
    assert "mul4u_low" in invoke("import", path)[2], "without --function, the functions are listed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("import", "skew.csv", "--operands", "8x8"), "does not describe operands"),
        (("import", "skew.csv", "--operands", "u8xu8"), "not the width that was said"),
        (("import", "skew.csv", "--order", "rows"), "not an order of operands"),
        (("import", "skew.csv", "--out-bits", "8"), "goes with --function alone"),
        (("import", "model.c", "--function", "f", "--format", "npy"), "does not go with a C"),
        (("import", "skew.csv", "--format", "approxtrain"), "not a mantissa table"),
        (("check", "nothing", "--against", "skew"), "unknown characterized design"),
        (("check", "skew.csv", "--against", "nothing"), "unknown characterized design"),
        (("export", "skew", "--format", "adapt", "--order", "ab"), "cannot hold"),
        (("export", "skew", "--format", "npy"), "does not settle which operand"),
        (("export", "skew", "--format", "approxtrian"), "did you mean"),
    ],
)
def test_options_that_do_not_fit_say_so(
    arguments: tuple[str, ...], says: str, csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    invoke("import", csv)
    code, printed, said = invoke(*arguments)
    assert (code, printed) == (1, "")
    assert says in said


def test_an_exported_table_checks_equal_and_its_transpose_does_not(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    invoke("import", csv)
    code, printed, _ = invoke("export", "skew", "--format", "npy", "--order", "ba", "--json")
    assert (code, json.loads(printed)["order"]) == (0, "ba")
    reading = ("--operands", "u4xu4", "--against", "skew")
    code, printed, _ = invoke("check", "skew.npy", *reading, "--order", "ba")
    assert code == 0
    assert "itself an imported table" in printed
    assert "equal in all 256 entries" in printed
    code, printed, _ = invoke("check", "skew.npy", *reading, "--order", "ab")
    assert code == 1
    assert "differs   in 240 of 256 entries (93.75 %)" in printed
    assert "a = 0, b = 1: 1 instead of 0" in printed
    assert "explained rows and columns (a and b) are exchanged" in printed
    code, printed, _ = invoke("check", "skew.npy", *reading, "--order", "ab", "--json")
    told = json.loads(printed)
    assert (code, told["explanations"][0]["mistakes"]) == (1, ["transposed"])
    assert told["comparison"]["max_abs"] == 15


def test_tables_that_nothing_explains(
    csv: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    invoke("import", csv)
    write_table(ProductTable(exact_table(4, 4).products ^ 5), "odd.csv", "csv")
    code, printed, _ = invoke("check", "odd.csv", "--against", "skew")
    assert code == 1
    assert "explained by none of the known mistakes, alone and in pairs" in printed


def test_mantissa_tables_are_exported_and_checked(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    write_table(exact_table(5, 5), tmp_path / "exact5.csv", "csv")
    write_table(exact_table(4, 4), tmp_path / "exact4.csv", "csv")
    invoke("import", "exact5.csv")
    invoke("import", "exact4.csv")
    assert invoke("export", "exact5", "--format", "approxtrain")[0] == 0
    data = Path("exact5.bin").read_bytes()
    assert len(data) == 4**4
    reading = ("--format", "approxtrain")
    code, printed, _ = invoke("check", "exact5.bin", *reading, "--against", "exact5")
    assert (code, "equal in all 256 entries" in printed) == (0, True)
    Path("low.bin").write_bytes(bytes(max(b & 0x7F, 1) - 1 | b & 0x80 for b in data))
    code, printed, _ = invoke("check", "low.bin", *reading, "--against", "exact5")
    assert code == 1
    assert "explained mantissas are one too low" in printed
    code, _, said = invoke("check", "exact5.bin", *reading, "--against", "exact4")
    assert code == 1
    assert "mantissas of 4 bits" in said


def test_the_table_that_adapt_would_ship_of_a_circuit_of_rtl_is_diagnosed(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    # AdaPT's generator takes magnitudes where both operands are negative. The circuit is simulated.
    right = MODELS["mul8s_bwtrunc6"]()
    wrong = right.copy()
    minus = np.arange(128, 256)
    wrong[np.ix_(minus, minus)] = right[np.ix_(256 - minus, 256 - minus)]
    write_table(ProductTable(wrong, True, True), tmp_path / "lut.h", "adapt", order="ab")
    wanted = ("--against", "mul8s_bwtrunc6", "--rtl", RTL, "--order", "ab")
    code, printed, _ = invoke("check", "lut.h", *wanted)
    assert code == 1
    assert f"differs   in {np.count_nonzero(wrong != right)} of 65536 entries" in printed
    assert "of 16384 with a < 0, b < 0;" in printed
    assert "explained where both operands are negative, the entry is that of |a| and |b|" in printed
    assert np.array_equal(load(Path("out/luts/mul8s_bwtrunc6")).table.products, right)
    # What came from Verilog is never replaced by an import.
    reading = ("--name", "mul8s_bwtrunc6", "--order", "ab", "--force")
    assert "a simulated design" in invoke("import", "lut.h", *reading)[2]
    code, printed, _ = invoke(
        "check", "lut.h", "--against", RTL / "mul8s_bwtrunc.v", "--order", "ab"
    )
    assert code == 1
    assert printed == ""
