"""``rtlgrad predict``: from a trained network and a store to accuracies, measured once each."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rtlgrad.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Predict = Callable[..., tuple[int, str, str]]

CUTS = {"cut0": 0, "cut2": 2, "cut4": 4, "cut5": 5, "cut6": 6, "cut7": 7, "twin": 4}
"""Designs of 5x5 bits by name: low bits of the product that are 0."""


def rtlgrad(folder: Path, *arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["rtlgrad", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            return int(str(ended.code or 0))
    return 0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with characterized designs, two of them alike, and an fp32 run."""
    folder = tmp_path_factory.mktemp("predicted")
    exact = np.outer(np.arange(32), np.arange(32))
    for name, bits in CUTS.items():
        np.save(folder / f"{name}.npy", exact & ~((1 << bits) - 1))
        told = ["--operands", "u5xu5", "--order", "ab", "--name", name]
        assert rtlgrad(folder, "import", f"{name}.npy", *told) == 0
    network = ["--model", "lenet5", "--data", "digits", "--limit-test", "100"]
    assert rtlgrad(folder, "train", *network, "--epochs", 4, "--out", "run") == 0
    return folder


@pytest.fixture
def predict(project: Path, capfd: pytest.CaptureFixture[str]) -> Predict:
    """Predict for the run; return exit status, standard output, standard error."""

    def call(*options: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = rtlgrad(project, "predict", "run", *options)
        done = capfd.readouterr()
        return code, done.out, done.err

    return call


def test_all_designs_are_predicted_and_a_few_are_measured(predict: Predict, tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    options = ["--designs", "cut*", "--designs", "twin", "--fit", 3, "--images", 40]
    code, text, errors = predict(*options, "--measured", file, "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(text)
    rows = {tuple(row["designs"]): row for row in found["designs"]}
    assert ("cut4", "twin") in rows, "equal tables are one observation"
    assert ("cut0",) not in rows, "exact products are the reference"
    assert sum(row["fitted"] for row in rows.values()) == 3
    assert sum(row["measured"] is not None for row in rows.values()) == 3
    for row in rows.values():
        assert found["chance"] <= row["accuracy"] <= found["exact_accuracy"]
        assert row["low"] <= row["accuracy"] <= row["high"]
    # Clearing more bits makes every product smaller still, so the shifts grow together.
    ames = [rows[name]["ame"] for name in [("cut2",), ("cut4", "twin"), ("cut6",), ("cut7",)]]
    assert ames == sorted(ames)
    assert len(json.loads(file.read_text())["accuracy"]) == 4  # with the exact one
    code, again, errors = predict(*options, "--measured", file, "--json")
    assert code == 0
    assert "images" not in errors, "nothing is measured twice"
    assert json.loads(again)["designs"] == found["designs"]


def test_the_comparison_measures_all_and_lists_every_metric(
    predict: Predict, tmp_path: Path
) -> None:
    options = ["--designs", "cut*", "--fit", 3, "--images", 40, "--compare"]
    code, text, errors = predict(*options, "--measured", tmp_path / "all.json")
    assert code == 0, errors
    for metric in ("AME", "MAE", "MRE", "WCE", "MSE", "bias", "data-weighted |mean error|"):
        assert metric in text
    assert "times faster" in text
    assert "held out: 2 designs" in text


def test_accuracies_measured_elsewhere_are_taken_as_they_are(
    predict: Predict, tmp_path: Path
) -> None:
    file = tmp_path / "known.csv"
    file.write_text("design,accuracy\ncut0,0.9\ncut2,0.9\ncut4,0.8\ncut5,0.6\ncut6,0.4\n")
    options = ["--designs", "cut*", "--fit", 4, "--images", 40, "--measured", file, "--json"]
    code, text, errors = predict(*options)
    assert code == 0, errors
    assert "images" not in errors, "enough is known, so nothing is measured"
    found = json.loads(text)
    fitted = {row["designs"][0] for row in found["designs"] if row["fitted"]}
    assert fitted == {"cut2", "cut4", "cut5", "cut6"}
    x = [0.0] + [
        1 - np.exp(-row["ame"] / found["unit"]) for row in found["designs"] if row["fitted"]
    ]
    y = [0.9] + [row["measured"] for row in found["designs"] if row["fitted"]]
    np.testing.assert_allclose(found["coefficients"], np.polyfit(x, y, 2), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--designs", "nix*"], ["unknown design", "nix*", "cut2"]),
        ([], ["no design with a table", "none"]),  # fp32: unsigned 8x8
        (["--designs", "cut2", "--fit", "3"], ["too few measured designs"]),
        (["--designs", "cut*", "--store", "nowhere"], ["no folder nowhere", "rtlgrad lut"]),
        (["--designs", "cut*", "--level", "1.5"], ["illegal level"]),
        (["--designs", "cut*", "--measured", "cut0.npy"], ["holds no measured accuracies"]),
    ],
)
def test_what_makes_no_sense_is_refused(
    predict: Predict, options: list[str], said: list[str]
) -> None:
    code, _, errors = predict(*options, "--images", 10)
    assert code == 1
    for part in said:
        assert part in errors
