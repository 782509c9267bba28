"""``rtlgrad conformance`` on a small library with one circuit for each thing that can be wrong."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rtlgrad.cli.main import main
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen.conformance import Published, find_circuits

from .small_checkout import (
    dropped,
    exact_figures,
    figures,
    right_figures,
    truncated_figures,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Invoke = "Callable[..., tuple[int, str, str]]"


@pytest.fixture
def invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in an empty folder; return exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rtlgrad", "conformance", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return int(str(ended.value.code or 0)), captured.out, captured.err

    return call


def conforming(root: Path) -> None:
    """Write three circuits that are as they say."""
    # The better circuit costs more, as published; one circuit is filed under two fronts.
    write(root / "4x4/mae", "mul4u_good", right_figures())
    write(root / "4x4/wce", "mul4u_good", right_figures())
    write(root / "4x4/mae", "mul4u_cut", truncated_figures(), cost=("60.0", "0.020", "0.50"))
    write(
        root / "4x4/mae",
        "mul4u_full",
        exact_figures(),
        cost=("90.0", "0.031", "0.60"),
        verilog="A * B",
        model="A * B",
        parameters=("A", "B"),
    )
    # A netlist of foundry cells, another size, and what is no multiplier are not asked about.
    write(root / "4x4/mae", "mul4u_good_pdk45", {}, verilog="8'd0", model=None)
    write(root / "5x5", "mul5u_other", {}, model=None)
    (root / "notes.v").write_text("nothing")


def test_a_conforming_library(tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]) -> None:
    conforming(tmp_path / "lib")
    arguments = (tmp_path / "lib", "--widths", "4x4", "--csv", "made/table.csv")
    code, printed, said = invoke(*arguments)
    assert code == 0
    assert "3 of 3 RTL tables equal their C models" in printed
    assert "2 of them do not commute" in printed
    assert "15 of 15 published figures agree" in printed
    assert "1 are truncated, not rounded" in printed
    assert f"truncated: mul4u_cut, mre_pct: {truncated_figures()['MRE%']} is printed" in printed
    assert "area                 Spearman 1.0000" in printed
    with Path("made/table.csv").open(newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["mul4u_cut", "mul4u_full", "mul4u_good"]
    good = rows["mul4u_good"]
    assert (good["table"], good["c_parameters"], good["commutes"]) == ("equal", "B, A", "False")
    assert float(good["mse"]) == float(figures(dropped)["MSE"])
    assert float(good["mre_pct"]) == pytest.approx(float(figures(dropped)["MRE%"]))
    assert good["netlist_proven"] == "True"
    # A second run takes the characterizations from the store.
    code, again, said = invoke(*arguments)
    assert (code, again) == (0, printed)
    assert "[1/3]" not in said


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """The outcome for a library in which much is wrong: status, JSON, CSV."""
    root = tmp_path_factory.mktemp("faulty")
    library = root / "lib"
    write(library, "mul4u_good", right_figures())
    write(library, "mul4u_model", right_figures(), model="A * (B & ~1) + (A == 9 && B == 7)")
    write(library, "mul4u_order", right_figures(), parameters=("A", "B"), model="B * (A & ~1)")
    write(library, "mul4u_mse", {**right_figures(), "MSE": "1.00"})
    write(library, "mul4u_alone", right_figures(), model=None)
    write(library, "mul4u_crash", right_figures(), model="1 / (int)(A * 0)")
    write(library, "mul4u_latch", right_figures(), verilog="undeclared[3] ? A : B")
    write(library / "one", "mul4u_copies", right_figures())
    write(library / "two", "mul4u_copies", {**right_figures(), "WCE": "3"}, verilog="A * B")
    write(library, "mul4u_silent", {})
    from rtlgrad.cosim.cost import cell_library
    from rtlgrad.lutgen.characterize import Settings
    from rtlgrad.lutgen.conformance.output import as_csv, as_data
    from rtlgrad.lutgen.conformance.run import run_conformance

    circuits = find_circuits(library, width_a=4, width_b=4)
    run = run_conformance(circuits, Settings(root / "store", cell_library()))
    return int(not run.conforms), as_data(run), as_csv(run)


@pytest.mark.parametrize(
    ("name", "table", "differing", "remark"),
    [
        ("mul4u_good", "equal", 0, ""),
        ("mul4u_model", "different", 1, ""),
        ("mul4u_order", "transposed", None, ""),
        ("mul4u_mse", "equal", 0, ""),
        ("mul4u_alone", "missing", 0, "no C model mul4u_alone.c"),
        ("mul4u_crash", "missing", 0, "did not survive being called"),
        ("mul4u_latch", "missing", 0, "undeclared"),
        ("mul4u_copies", "equal", 0, "its 2 Verilog files differ"),
        ("mul4u_silent", "equal", 0, ""),
    ],
)
def test_each_fault_is_found_where_it_is(
    faulty_run: tuple[int, dict[str, Any], str],
    name: str,
    table: str,
    differing: int | None,
    remark: str,
) -> None:
    code, found, text = faulty_run
    assert code == 1
    row = {row["name"]: row for row in found["circuits"]}[name]
    assert row["table"] == table
    assert differing is None or row["differing_entries"] == differing
    assert remark in row["remarks"]
    assert bool(remark) == bool(row["remarks"])
    assert row["conforms"] == (name in ("mul4u_good", "mul4u_silent"))
    assert json.loads(json.dumps(found)) == found
    assert sum(line.startswith(f"{name},") for line in text.splitlines()) == 1


def test_a_wrong_figure_is_named_alone(faulty_run: tuple[int, dict[str, Any], str]) -> None:
    rows = {row["name"]: row for row in faulty_run[1]["circuits"]}
    verdicts = [f"{figure}_verdict" for figure in ("mae", "wce", "mre_pct", "ep_pct", "mse")]
    wrong = rows["mul4u_mse"]
    assert [key for key in verdicts if wrong[key] == "differs"] == ["mse_verdict"]
    assert "publish different figures: wce" in rows["mul4u_copies"]["remarks"]
    assert {rows["mul4u_silent"][key] for key in verdicts} == {"absent"}
    # Entries of the product and of its transpose agree where a and b have the same lowest bit, or
    # where their errors happen to be equal.
    swapped = sum(dropped(a, b) != dropped(b, a) for a in range(16) for b in range(16))
    assert rows["mul4u_order"]["differing_entries"] == swapped > 0


def test_given_figures_replace_those_of_the_headers(
    tmp_path: Path,
) -> None:
    write(tmp_path, "mul4u_mse", {**right_figures(), "MSE": "1.00"})
    (found,) = find_circuits(
        tmp_path, width_a=4, width_b=4, published={"mul4u_mse": Published(mse="2")}
    )
    assert found.published == Published(mse="2")


def test_what_is_no_checkout_is_refused(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        find_circuits(tmp_path / "absent")
    code, _, said = invoke(tmp_path)
    assert code == 1
    assert "holds no 8 x 8 bit multiplier" in said
    code, _, said = invoke(tmp_path, "--widths", "8")
    assert code == 1
    assert "does not describe operand widths" in said
