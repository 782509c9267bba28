"""The page of a study: figures of the result files, a front by brute force, nothing from elsewhere."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError
from rtlgrad.lutgen import exact_table
from rtlgrad.lutgen.histogram import OperandHistogram, save_recording
from rtlgrad.nn.models import MODELS, ModelSpec
from rtlgrad.nn.report.study import gather, write_study
from rtlgrad.nn.report.study.decision import decide, pareto
from rtlgrad.nn.report.study.operands import weighted
from rtlgrad.nn.report.study.rows import DesignRow
from rtlgrad.nn.training import load_result, train
from rtlgrad.nn.training.recording import record_checkpoint
from test_training import DATA, FP32, Small, low_bits_cut, with_design

if TYPE_CHECKING:
    from collections.abc import Iterator

CUT = low_bits_cut(12)
EXACT = exact_table(8, 8)
VOID = {"meta", "link", "img", "br", "input"}


class Page(html.parser.HTMLParser):
    """Checks that elements close in order, and keeps what the page loads and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.loaded += [found[key] or "" for key in ("src", "href", "srcset") if key in found]
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "small", ModelSpec("for tests", Small, least_side=3))
        folder = tmp_path_factory.mktemp("study")
        train(FP32, DATA, None, folder / "fp32")
        for table in (EXACT, CUT):
            config = with_design(FP32, table, init=str(folder / "fp32"), epochs=1, lr=0.01)
            train(config, DATA, table, folder / table.name)
        recording = record_checkpoint(folder / CUT.name, DATA, CUT)
        save_recording(recording, folder / CUT.name / "operands.npz")
        (folder / "predict.json").write_text(json.dumps(PREDICTED))
        (folder / "search").mkdir()
        (folder / "search" / "results.json").write_text(json.dumps(SEARCHED))
        yield folder


PREDICTED = {
    "network": {},
    "coefficients": [0.1, -0.9, 0.95],
    "comparison": [{"metric": "AME", "spearman": 0.875, "held_out": 0.0425}],
    "designs": [
        {"designs": ["p", "q"], "ame": 0.5, "accuracy": 0.75, "low": 0.625, "high": 0.8125,
         "measured": 0.71875, "fitted": True},
        {"designs": ["r"], "ame": 0.25, "accuracy": 0.875, "low": 0.75, "high": 0.9375,
         "measured": None, "fitted": False},
    ],
}  # fmt: skip


def candidate(
    number: int, by_layer: list[str], loss: float, per_layer: list[float]
) -> dict[str, object]:
    return {
        "number": number, "designs": sorted(set(by_layer)), "by_layer": by_layer, "loss_points": loss,
        "energy_nj": sum(per_layer), "energies_nj": {"per_layer": per_layer},
        "saved_pct": 100 * (1 - sum(per_layer) / 24), "violations": {},
        "measurement": {"stopped": False},
        "finals": {"validation": {"loss_points": loss}, "test": {"loss_points": 0.5, "accuracy": 0.75}},
    }  # fmt: skip


SEARCHED = {
    "schema": 1,
    "max_loss_points": 0.6,
    "settings": {"accelerator": "gated", "energy": "settled", "layers": ["one", "two"]},
    "reference": {"design": "e", "energy_nj": {"per_layer": [8.0, 16.0]}},
    "energy_model": {"products_per_image": {"one": 10, "two": 20}},
    "candidates": [
        candidate(0, ["e", "e"], 0.0, [8.0, 16.0]),
        candidate(1, ["e", "x"], 0.4, [8.0, 4.0]),
    ],
    "front": [0, 1],
    "chosen": 1,
    "best_single": 0,
}


@pytest.fixture
def written(folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "report.html"
    write_study(gather(folder, tmp_path / "no store"), out)
    return out


def test_the_page_is_whole_and_loads_nothing(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert all(link.startswith(("#", "data:")) for link in page.loaded)
    assert {link[1:] for link in page.loaded if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?://|@import|url\(", text)
    assert {"iframe", "object", "form"}.isdisjoint(page.tags)


def test_figures_are_those_of_the_result_files(folder: Path, written: Path) -> None:
    data = json.loads(written.with_suffix(".json").read_text())
    rows = {row["design"]: row for row in data["designs"]}
    text = written.read_text(encoding="utf-8")
    for name, place in ((CUT.name, CUT.name), ("fp32", "fp32"), (EXACT.name, EXACT.name)):
        result = load_result(folder / place)
        assert rows[name]["accuracy"] == 100 * result.accuracy
        assert rows[name]["validation"] == 100 * (result.validation_accuracy or 0)
        assert f"{100 * result.accuracy:.2f}" in text
        assert result.checkpoint_sha256 in text
        assert str(result.data["sha256"]) in text
        epochs = [row for row in data["training"] if Path(row["source"]).name == place]
        lines = (folder / place / "metrics.jsonl").read_text().splitlines()
        assert [row["train_loss"] for row in epochs] == [json.loads(x)["train_loss"] for x in lines]
    assert CUT.id in text
    assert [row["measured"] for row in data["predictions"]] == [None, 71.875]
    assert data["predictors"][0]["held_out"] == 4.25
    chosen = [row for row in data["layers"] if row["of"] == "chosen"]
    assert [(r["layer"], r["design"], r["energy_nj"], r["reference_nj"]) for r in chosen] == [
        ("one", "e", 8.0, 8.0),
        ("two", "x", 4.0, 16.0),
    ]
    assert "saves 50.0 %" in text


def test_page_json_and_csv_hold_the_same_rows(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert found is not None
    data = json.loads(written.with_suffix(".json").read_text())
    assert json.loads(found.group(1)) == data
    for name in ("designs", "layers", "assignments", "training", "predictions", "trace"):
        with written.with_name(f"report-{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == len(data[name]) > 0
        for row, wanted in zip(rows, data[name], strict=True):
            for key, value in wanted.items():
                if isinstance(value, float):
                    assert float(row[key]) == value
                elif not isinstance(value, list):
                    assert row[key] == ("" if value is None else str(value))


def test_missing_sections_name_the_command_that_makes_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "fp32").mkdir(parents=True)
    for name in ("result.json", "config.json", "checkpoint.pt"):
        (tmp_path / "runs" / "fp32" / name).write_bytes((folder / "fp32" / name).read_bytes())
    write_study(gather(tmp_path / "runs", tmp_path), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    for command in ("rtlgrad record", "rtlgrad predict", "rtlgrad assign", "rtlgrad train"):
        assert command in text
    assert "no run multiplies through a table" in text


def test_what_is_damaged_is_named_and_nothing_at_all_is_an_error(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        gather(tmp_path / "none", tmp_path)
    with pytest.raises(ConfigError, match="nothing to report on"):
        gather(tmp_path, tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "results.json").write_text("{}")
    (tmp_path / "predict.json").write_text(json.dumps(PREDICTED))
    study = gather(tmp_path, tmp_path)
    assert [Path(name).name for name, _ in study.skipped] == ["results.json"]
    assert "damaged" in study.skipped[0][1]
    with pytest.raises(ConfigError, match="no name for a page"):
        write_study(study, tmp_path / "page.txt")
    with pytest.raises(ConfigError, match="negative"):
        gather(folder, tmp_path, max_loss=-1.0)


def row(
    name: str,
    energy: float | None,
    accuracy: float,
    validation: float | None = None,
    *,
    exact: bool = False,
) -> DesignRow:
    return DesignRow(
        "data", "net", name, "", (name,), (0,), 1, accuracy, accuracy, accuracy, 1000, None,
        validation, 0 if validation is None else 500, exact, True, energy, energy, None,
        energy, None, None, None, "", "",
    )  # fmt: skip


points = st.lists(st.tuples(st.integers(1, 8), st.integers(80, 90)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(points)
def test_the_front_is_what_no_other_dominates(places: list[tuple[int, int]]) -> None:
    rows = [row(str(i), float(x), float(y)) for i, (x, y) in enumerate(places)]
    expected = {
        i
        for i, (x, y) in enumerate(places)
        if not any(p <= x and q >= y and (p, q) != (x, y) for p, q in places)
    }
    assert set(pareto(rows, range(len(rows)), "energy_nj")) == expected


@settings(deadline=None, max_examples=60)
@given(points, st.integers(0, 6))
def test_the_choice_is_the_least_energy_within_the_loss(
    places: list[tuple[int, int]], max_loss: int
) -> None:
    rows = [row("exact", 5.0, 88.0, exact=True)]
    rows += [row(str(i), float(x), float(y)) for i, (x, y) in enumerate(places)]
    made = decide(rows, range(len(rows)), "uniform", float(max_loss))
    allowed = [one for one in rows if one.accuracy >= 88.0 - max_loss]
    assert made.reference == 0
    assert made.chosen is not None
    assert rows[made.chosen].energy_nj == min(one.energy_nj or 0 for one in allowed)
    assert len(made.allowed) == len(allowed)


def test_test_images_take_no_part_in_the_choice_where_others_were_held_out() -> None:
    rows = [
        row("exact", 5.0, 90.0, 90.0, exact=True),
        row("lucky in the test", 1.0, 95.0, 80.0),
        row("good", 2.0, 85.0, 89.5),
    ]
    made = decide(rows, range(3), "uniform", 0.6)
    assert made.judged_on == "validation"
    assert made.chosen == 2
    assert made.beyond == 1
    assert made.saved_pct[2] == pytest.approx(60.0)


def test_weighted_errors_are_those_of_the_products_one_by_one() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 256, (2, 500))
    counts = np.zeros((256, 256), np.int64)
    np.add.at(counts, (a, b), 1)
    made = weighted("run", CUT, OperandHistogram("l", counts, False, False, CUT.name, CUT.id), 1)
    errors = [int(CUT.products[x, y]) - int(x) * int(y) for x, y in zip(a, b, strict=True)]
    assert made.mae_weighted == pytest.approx(sum(map(abs, errors)) / 500)
    assert made.bias_weighted == pytest.approx(sum(errors) / 500)
    assert made.bias_uniform == pytest.approx(float(CUT.error.mean()))
