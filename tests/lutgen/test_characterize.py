"""What is done again and what is not, interruptions, and places that cannot be written."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import ConfigError, DesignError, SimulationError
from rtlgrad.cosim.cost import SHIPPED_LIBRARY, cell_library
from rtlgrad.cosim.design import references
from rtlgrad.cosim.simulation.sweep import Swept
from rtlgrad.lutgen import characterize as pipeline
from rtlgrad.lutgen import freshness, schedule, tabulate, tasks
from rtlgrad.lutgen.characterize import Outcome, Settings, characterize
from rtlgrad.lutgen.store import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rtlgrad.cosim.cost import CellLibrary
    from rtlgrad.cosim.design import Design
    from rtlgrad.cosim.synthesis.synthesize import Synthesis

TEXT = (
    '`include "step.vh"\n'
    "module mul4u_x #(parameter K = 1)(input [3:0] A, B, output [7:0] O);\n"
    "assign O = A * B + K * `STEP;\nendmodule\n"
)
SIDECAR = "[variants.one]\nK = 1\n[variants.two]\nK = 2\n"


class Worked(Exception):  # noqa: N818
    """The pipeline went to work instead of taking what was stored."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a design of two variants, characterized into tables/."""
    folder = tmp_path_factory.mktemp("finished")
    write(folder)
    outcomes = characterize(references(folder / "mul4u_x.v"), Settings(folder / "tables"))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert not any(outcome.reused for outcome in outcomes)
    return folder


def write(folder: Path) -> None:
    (folder / "mul4u_x.v").write_text(TEXT)
    (folder / "mul4u_x.toml").write_text(SIDECAR)
    (folder / "step.vh").write_text("`define STEP 5\n")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any simulation or synthesis fail."""

    def work(*_arguments: object, **_options: object) -> None:
        raise Worked

    monkeypatch.setattr(pipeline, "read_sources", work)
    for name in ("bind_design", "lint", "synthesize", "measure"):
        monkeypatch.setattr(tasks, name, work)


def again(folder: Path, **changes: object) -> list[Outcome]:
    settings = Settings(folder / "tables")
    settings = dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
    (file,) = folder.glob("*.v")
    return characterize(references(file), settings)


def test_the_tables_are_right(finished: Path) -> None:
    for name, step in (("one", 5), ("two", 10)):
        expected = np.arange(16)[:, None] * np.arange(16) + step
        assert np.array_equal(load(finished / "tables" / name).table.products, expected)


def test_the_included_file_is_in_the_record(finished: Path) -> None:
    sources = load(finished / "tables" / "one").provenance.sources
    assert [source.path.rsplit("/", 1)[-1] for source in sources] == ["mul4u_x.v", "step.vh"]


@pytest.mark.usefixtures("idle")
def test_what_did_not_change_is_not_done_again(copy: Path) -> None:
    outcomes = again(copy)
    assert all(outcome.reused for outcome in outcomes)
    assert [outcome.reference.name for outcome in outcomes] == ["one", "two"]


@pytest.mark.usefixtures("idle")
def test_a_folder_that_moved_is_not_done_again(copy: Path, tmp_path: Path) -> None:
    copy.rename(tmp_path / "moved to here")
    assert all(outcome.reused for outcome in again(tmp_path / "moved to here"))


def comment(folder: Path) -> None:
    (folder / "mul4u_x.v").write_text(TEXT + "// a comment\n")


def include(folder: Path) -> None:
    (folder / "step.vh").write_text("`define STEP 5 // a comment\n")


def include_gone(folder: Path) -> None:
    (folder / "step.vh").unlink()


def sidecar(folder: Path) -> None:
    (folder / "mul4u_x.toml").write_text('title = "x"\n' + SIDECAR)


def file_name(folder: Path) -> None:
    # The name decides the signedness.
    for suffix in (".v", ".toml"):
        (folder / f"mul4u_x{suffix}").rename(folder / f"mul4s_x{suffix}")


def table_bit(folder: Path) -> None:
    for path in folder.glob("tables/*/table.npy"):
        data = bytearray(path.read_bytes())
        data[-4] ^= 1
        path.write_bytes(data)


def table_gone(folder: Path) -> None:
    for path in folder.glob("tables/*/table.npy"):
        path.unlink()


def record_edited(folder: Path) -> None:
    for path in folder.glob("tables/*/record.json"):
        path.write_text(path.read_text().replace('"mae": ', '"mae": 1'))


def records_swapped(folder: Path) -> None:
    one, two = folder / "tables" / "one", folder / "tables" / "two"
    one.rename(folder / "tables" / "x")
    two.rename(one)
    (folder / "tables" / "x").rename(two)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    "change",
    [
        comment,
        include,
        include_gone,
        sidecar,
        file_name,
        table_bit,
        table_gone,
        record_edited,
        records_swapped,
    ],
)
def test_any_change_of_what_went_in_or_came_out_is_work(
    change: Callable[[Path], None], copy: Path
) -> None:
    change(copy)
    with pytest.raises(Worked):
        again(copy)


@pytest.mark.usefixtures("idle")
def test_force_is_work(copy: Path) -> None:
    with pytest.raises(Worked):
        again(copy, force=True)


@pytest.mark.usefixtures("idle")
def test_another_library_is_work(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / SHIPPED_LIBRARY.name
    other.write_text(SHIPPED_LIBRARY.read_text() + "/* changed */\n")
    with pytest.raises(Worked):
        again(copy, library=cell_library(other))
    other.write_bytes(SHIPPED_LIBRARY.read_bytes())
    assert all(outcome.reused for outcome in again(copy, library=cell_library(other)))


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("testbench_hash", "0" * 64),
        ("table_tool_versions", {"verilator": "6.0"}),
        ("code_hash", "0" * 64),
        ("SCHEMA", 0),
    ],
)
def test_another_tool_or_testbench_is_work(
    name: str, value: object, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        freshness, name, (lambda *_rest: value) if callable(getattr(freshness, name)) else value
    )
    with pytest.raises(Worked):
        again(copy)


def test_a_damaged_record_is_made_again_and_is_the_same(copy: Path) -> None:
    before = load(copy / "tables" / "one").id
    path = copy / "tables" / "one" / "table.npy"
    path.write_bytes(path.read_bytes()[:-1])
    one, two = again(copy)
    assert (one.reused, two.reused) == (False, True)
    assert load(copy / "tables" / "one").id == before


def test_a_design_that_no_longer_works_leaves_its_old_record(copy: Path) -> None:
    before = load(copy / "tables" / "one").id
    (copy / "mul4u_x.v").write_text(TEXT.replace("endmodule", ""))
    assert all(isinstance(outcome.error, DesignError) for outcome in again(copy))
    assert load(copy / "tables" / "one").id == before


def test_two_designs_of_one_name_stop_before_any_work(copy: Path) -> None:
    twice = [*references(copy / "mul4u_x.v"), *references(copy / "mul4u_x.v")]
    with pytest.raises(DesignError, match="two designs are called 'one'"):
        characterize(twice, Settings(copy / "tables"))


def test_no_designs_are_no_work(tmp_path: Path) -> None:
    assert characterize([], Settings(tmp_path / "tables")) == []
    assert not (tmp_path / "tables").exists()


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps give the right table at once."""

    def attempt(batch: list[tuple[Design, object]], **_options: object) -> dict[str, object]:
        steps = {design.name: 5 * dict(design.reference.overrides)["K"] for design, _ in batch}
        exact = np.arange(16)[:, None] * np.arange(16)
        return {name: Swept(exact + step) for name, step in steps.items()}

    monkeypatch.setattr(tabulate, "attempt", attempt)


@pytest.mark.usefixtures("instant")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / "tables"
    with pytest.raises(ConfigError, match="cannot write") as caught:
        characterize(references(tmp_path / "mul4u_x.v"), Settings(root))
    assert str(root) in str(caught.value)
    assert "--out" in str(caught.value)


class Interruption(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


@pytest.mark.usefixtures("instant")
def test_an_interruption_keeps_what_was_done(tmp_path: Path) -> None:
    write(tmp_path)
    designs = references(tmp_path / "mul4u_x.v")
    settings = Settings(tmp_path / "tables")

    def stop(_outcome: Outcome) -> None:
        raise Interruption

    with pytest.raises(Interruption):
        characterize(designs, settings, stop)
    assert sorted(outcome.reused for outcome in characterize(designs, settings)) == [False, True]


def test_an_interruption_does_not_wait_for_tools(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(design: Design, _library: object, **_options: object) -> object:
        from rtlgrad.cosim.programs.process import run

        return run(["sleep", "600"], limit_s=600)

    def interrupted(*_arguments: object, **_options: object) -> None:
        time.sleep(0.2)
        raise Interruption

    monkeypatch.setattr(tasks, "synthesize", slow)
    monkeypatch.setattr(schedule, "wait", interrupted)
    started = time.monotonic()
    with pytest.raises(Interruption):
        again(copy, force=True)
    assert time.monotonic() - started < 30


def test_progress_tells_each_outcome_once(copy: Path) -> None:
    seen: list[Outcome] = []
    outcomes = characterize(references(copy / "mul4u_x.v"), Settings(copy / "tables"), seen.append)
    assert seen == outcomes


def test_the_pipeline_never_loads_torch() -> None:
    code = "import sys, rtlgrad.lutgen.characterize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_record_says_where_the_table_comes_from(rtl_outcomes: Mapping[str, Outcome]) -> None:
    made = rtl_outcomes["mul8u_drum6"].characterization
    assert made is not None
    assert made.provenance.tools["verilator"].startswith("5.")
    assert made.interface.parameters == {"K": 6}
    assert len(made.provenance.sources) == 1
    assert made.provenance.sources[0].path.endswith("rtl/mul8u_drum.v")


def test_every_netlist_of_rtl_is_proven_and_has_all_figures(
    rtl_outcomes: Mapping[str, Outcome],
) -> None:
    for name, outcome in rtl_outcomes.items():
        assert outcome.characterization is not None, name
        cost = outcome.characterization.cost
        # Wider operands are too many to evaluate them all.
        assert cost.netlist_proven or not outcome.characterization.interface.tabulable, name
        assert not cost.absent, name
        assert cost.power_uw is not None
        assert cost.power_glitch_aware_uw is not None
        assert cost.power_glitch_aware_uw >= cost.power_uw > 0


def test_less_hardware_takes_less_of_everything(rtl_outcomes: Mapping[str, Outcome]) -> None:
    # Truncated arrays of one structure, from more columns to fewer.
    costs = []
    for name in ("mul8u_trunc4", "mul8u_trunc6", "mul8u_trunc8"):
        made = rtl_outcomes[name].characterization
        assert made is not None
        costs.append(made.cost)
    for figure in ("area_um2", "power_uw", "leakage_nw", "energy_fj"):
        values = [getattr(cost, figure) for cost in costs]
        assert values == sorted(values, reverse=True), figure


def test_a_netlist_that_computes_something_else_is_an_error(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = tasks.synthesize

    def wrong(design: Design, library: CellLibrary, **options: float) -> Synthesis:
        found = right(design, library, **options)
        assert found.codes is not None
        codes = found.codes.copy()
        codes[3, 9] ^= np.uint64(1)
        return dataclasses.replace(found, codes=codes)

    monkeypatch.setattr(tasks, "synthesize", wrong)
    outcomes = again(copy, force=True)
    assert all(isinstance(outcome.error, SimulationError) for outcome in outcomes)
    assert "a=3 b=9" in str(outcomes[0].error)
    # What was stored before stays.
    assert load(copy / "tables" / "one").cost.netlist_proven
