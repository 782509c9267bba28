"""Reports: what the runs of a folder say, against which fp32 run, and what is left out and why."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.lutgen import exact_table
from rtlgrad.nn.models import MODELS, ModelSpec
from rtlgrad.nn.report import (
    FORMATS,
    make_report,
    render,
    render_csv,
    render_json,
    render_markdown,
    render_text,
)
from rtlgrad.nn.training import load_result, train
from test_training import DATA, FP32, Small, StopAt, low_bits_cut, with_design

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUT = low_bits_cut(12)
EXACT = exact_table(8, 8)
METRICS = {
    CUT.id: {"mae_pct": 1.25, "mre_pct": 7.5, "area_relative": 0.625},
    EXACT.id: {"mae_pct": 0.0, "mre_pct": 0.0, "area_relative": 1.0},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "small", ModelSpec("for tests", Small, least_side=3))
        folder = tmp_path_factory.mktemp("runs")
        fp32 = folder / "fp32"
        train(FP32, DATA, None, fp32)
        for table in (CUT, EXACT):
            config = with_design(FP32, table, init=str(fp32), epochs=1, lr=0.01)
            train(config, DATA, table, folder / "retrained" / table.name)
        config = with_design(FP32, CUT, init=str(fp32), epochs=0)
        train(config, DATA, CUT, folder / "only evaluated")
        with pytest.raises(KeyboardInterrupt):
            train(FP32, DATA, None, folder / "stopped", progress=StopAt(8))
        broken = folder / "broken"
        shutil.copytree(fp32, broken)
        (broken / "result.json").write_text("{")
        yield folder


def test_rows_are_the_finished_runs_in_order_of_error(runs: Path) -> None:
    report = make_report(runs, METRICS)
    assert [(row.design, row.epochs) for row in report.rows] == [
        ("fp32", 3),
        (EXACT.name, 1),
        (CUT.name, 0),
        (CUT.name, 1),
    ]


def test_figures_are_those_of_the_results(runs: Path) -> None:
    rows = {(row.design, row.epochs): row for row in make_report(runs, METRICS).rows}
    fp32 = load_result(runs / "fp32")
    retrained = load_result(runs / "retrained" / CUT.name)
    assert retrained.initial is not None
    row = rows[CUT.name, 1]
    assert row.fp32 == 100 * fp32.accuracy
    assert row.before == 100 * retrained.initial.accuracy
    assert row.after == 100 * retrained.accuracy
    assert row.delta_before == row.before - row.fp32
    assert row.delta_after == row.after - row.fp32
    assert (row.mae_pct, row.mre_pct, row.area_relative) == (1.25, 7.5, 0.625)
    assert row.characterization_id == CUT.id
    only = rows[CUT.name, 0]
    assert only.before == row.before
    assert only.after is None
    assert only.delta_after is None
    baseline = rows["fp32", 3]
    assert (baseline.before, baseline.delta_after, baseline.mae_pct) == (None, None, None)


def test_unfinished_and_damaged_runs_are_named_with_the_reason(runs: Path) -> None:
    skipped = {run.folder: run.reason for run in make_report(runs).skipped}
    assert set(skipped) == {str(runs / "stopped"), str(runs / "broken")}
    assert "of 3 epochs done" in skipped[str(runs / "stopped")]
    assert "result.json is damaged" in skipped[str(runs / "broken")]


def test_without_its_parent_a_run_is_compared_with_the_only_alike_one_or_none(
    runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "retrained" / CUT.name, tmp_path / "cut")
    (lonely,) = make_report(tmp_path).rows
    assert lonely.delta_after is None
    assert lonely.note == "no comparable fp32 runs"
    train(replace(FP32, lr=0.05), DATA, None, tmp_path / "a")
    row = make_report(tmp_path).rows[-1]
    assert row.fp32 == 100 * load_result(tmp_path / "a").accuracy
    assert "another run" in row.note
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    row = make_report(tmp_path).rows[-1]
    assert row.fp32 is None
    assert row.note == "2 comparable fp32 runs"
    # The parent itself is told by its checkpoint's hash, whatever else lies there.
    shutil.copytree(runs / "fp32", tmp_path / "z")
    row = next(row for row in make_report(tmp_path).rows if row.design == CUT.name)
    assert row.fp32 == 100 * load_result(runs / "fp32").accuracy
    assert row.note == ""


def test_every_format_carries_the_same_figures(runs: Path) -> None:
    report = make_report(runs, METRICS, notes=["MRE leaves out pairs whose product is 0"])
    row = report.rows[-1]
    assert row.after is not None
    assert row.delta_after is not None
    shown = [CUT.name, "1.2500", "7.500", "0.625", f"{row.after:.2f}", f"{row.delta_after:+.2f}"]
    assert render_markdown(report).splitlines()[0].count("|") == 13
    for form in (render_text(report), render_markdown(report)):
        lines = [line for line in form.splitlines() if all(item in line for item in shown)]
        assert lines, form
        assert "MRE leaves out pairs" in form
        assert "not shown: " + str(runs / "stopped") in form
    table = list(csv.DictReader(io.StringIO(render_csv(report))))
    assert [line["design"] for line in table] == [row.design for row in report.rows]
    assert float(table[-1]["after"]) == row.after
    assert table[0]["before"] == ""
    payload = json.loads(render_json(report))
    assert payload["rows"][-1]["after"] == row.after
    assert payload["rows"][0]["before"] is None
    assert len(payload["skipped"]) == 2


def test_columns_without_any_figure_are_left_out(runs: Path) -> None:
    assert "MAE" not in render_text(make_report(runs))
    assert "MAE %" in render_text(make_report(runs, METRICS))


def test_columns_are_aligned(runs: Path) -> None:
    lines = render_text(make_report(runs, METRICS)).splitlines()
    ends = [index for index, mark in enumerate(lines[1] + " ") if mark == " "]
    for line in [lines[0], *lines[2:6]]:
        assert all(line.ljust(len(lines[1]) + 1)[end] == " " for end in ends)


def test_no_folder_no_runs_and_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        make_report(tmp_path / "nowhere")
    empty = make_report(tmp_path)
    assert (empty.rows, empty.skipped) == ((), ())
    assert all(render(empty, form) for form in FORMATS)
    with pytest.raises(UnknownNameError, match="'html'"):
        render(empty, "html")
