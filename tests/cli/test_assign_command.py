"""``rtlgrad assign``: from designs and a network to a file that evaluation and training take."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rtlgrad.cli.main import main
from rtlgrad.lutgen.histogram import load_recording
from rtlgrad.lutgen.store import load_tabulated
from rtlgrad.lutgen.tuning import tuned_table
from rtlgrad.nn.assignment.file import load_assignment
from rtlgrad.nn.training import load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

EXACT = "module whole(input [3:0] A, input [3:0] B, output [7:0] O); assign O = A * B; endmodule\n"
ROUGH = """\
module rough(input [3:0] A, input [3:0] B, output [7:0] O);
  assign O = ({A[3:2], 2'b01} * B) & 8'b11111100;
endmodule
"""
SIGNED = """\
module other(input signed [3:0] A, input signed [3:0] B, output signed [7:0] O);
  assign O = A * B;
endmodule
"""
SEARCH = ["--tiles", "2", "--images", "30", "--trials", "8", "--population", "4"]
SEARCH += ["--stop-loss", "60", "--max-loss", "20", "--finalists", "3", "--pairs", "512"]


def rtlgrad(folder: Path, *arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["rtlgrad", *arguments])
        try:
            main()
        except SystemExit as ended:
            return int(str(ended.code or 0))
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with designs, a network quantized for the exact one, and a finished study."""
    folder = tmp_path_factory.mktemp("assigned")
    (folder / "rtl").mkdir()
    for name, text in (("whole", EXACT), ("rough", ROUGH), ("other", SIGNED)):
        (folder / "rtl" / f"{name}.v").write_text(text)
    assert rtlgrad(folder, "lut") == 0
    network = ["--model", "lenet5", "--data", "digits", "--batch-size", "32"]
    size = ["--limit-train", "400", "--limit-test", "50"]
    run = ["--design", "whole", "--epochs", "1", "--out", "run"]
    assert rtlgrad(folder, "train", *network, *size, *run) == 0
    options = ["--designs", "rough", "--accelerator", "gated", "--tune", "both", "--out", "study"]
    assert rtlgrad(folder, "assign", "run", *options, *SEARCH) == 0
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(made, tmp_path / "project")


@pytest.fixture
def command(project: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = rtlgrad(project, *arguments)
        return (code, *capfd.readouterr())

    return call


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "study" / "results.json").read_text())
    return content


def test_the_energy_of_every_candidate_is_that_of_its_recorded_operands(made: Path) -> None:
    found = results(made)
    recording = load_recording(made / "study" / "operands.npz")
    images = recording.source["images"]
    counted = {one.layer: one.products / images for one in recording.layers}
    model = found["energy_model"]
    assert model["products_per_image"] == counted
    for one in found["candidates"]:
        per_layer = [
            model["fj_per_product"][design][layer]["settled"] * counted[layer] * 1e-6
            for layer, design in zip(counted, one["by_layer"], strict=True)
        ]
        assert one["energies_nj"]["per_layer"] == pytest.approx(per_layer)
        assert one["energy_nj"] == pytest.approx(sum(per_layer))
        base = found["reference"]["energy_nj"]["settled"]
        assert one["saved_pct"] == pytest.approx(100 * (1 - sum(per_layer) / base))


def test_the_files_of_a_study_agree(made: Path) -> None:
    found, study = results(made), made / "study"
    with (study / "candidates.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["number"]) for row in rows] == [one["number"] for one in found["candidates"]]
    assert len(rows) == 8
    with (study / "front.csv").open() as stream:
        assert [int(row["number"]) for row in csv.DictReader(stream)] == found["front"]
    circles = ElementTree.parse(study / "front.svg").iter("{http://www.w3.org/2000/svg}circle")
    assert sum(1 for _ in circles) >= len(found["front"])
    for number in found["finalists"]:
        content = load_assignment(study / "assignments" / f"candidate-{number:04d}.json")
        assert list(content.tile_map.by_layer) == found["candidates"][number]["by_layer"]
    assert set(found["designs"]) == {"whole", "rough", "rough+tuned"}


def test_evaluation_through_the_file_gives_what_the_study_measured(
    made: Path, command: Command, project: Path
) -> None:
    found = results(made)
    for number in found["finalists"]:
        file = f"study/assignments/candidate-{number:04d}.json"
        code, out, _ = command("eval", "run", "--assignment", file, "--json")
        assert code == 0
        expected = found["candidates"][number]["finals"]["test"]
        said = json.loads(out)
        assert (said["correct"], said["count"]) == (expected["correct"], 50)
        assert said["table_ids"] == {
            layer: found["designs"][design]["table_id"]
            for layer, design in load_assignment(project / file).layers
        }


def test_training_with_the_file_records_each_layers_table_and_traces_it(
    command: Command, project: Path
) -> None:
    # Of all that could be chosen, an assignment of two designs, one with mapped weights.
    study = results(project)
    file = project / "study" / "assignments" / f"candidate-{study['finalists'][0]:04d}.json"
    content = json.loads(file.read_text())
    rough = study["designs"]["rough+tuned"]
    tiles = [("whole", study["designs"]["whole"]), ("rough+tuned", rough)]
    ids = ("table_id", "characterization_id")
    content["tiles"] = [{"design": d, **{key: of[key] for key in ids}} for d, of in tiles]
    for place, layer in enumerate(content["layers"]):
        layer.update(tile=place % 2, design=tiles[place % 2][0])
    (project / "two.json").write_text(json.dumps(content))
    size = ["--limit-train", "400", "--limit-test", "50", "--batch-size", "32"]
    run = ["--model", "lenet5", "--data", "digits", "--assignment", "two.json", *size]
    begun = ["--init", "run", "--init-from-other-table", "--epochs", "1", "--out", "mixed"]
    assert command("train", *run, *begun)[0] == 0
    checkpoint = load_checkpoint(project / "mixed" / "checkpoint.pt")
    table = load_tabulated(project / "out" / "luts" / "rough").table
    assert tuned_table(table).id == rough["table_id"]
    assert set(checkpoint.table_ids.values()) == {tiles[0][1]["table_id"], rough["table_id"]}
    assert checkpoint.config.assignment == load_assignment(project / "two.json").layers
    code, out, _ = command("trace", "mixed", "--evaluate", "--json")
    findings = {one["what"]: one["verdict"] for one in json.loads(out)["findings"]}
    assert code == 0
    assert findings["weights mapped to suit rough"] == "verified"
    assert findings["test images right, evaluated again"] == "verified"
    assert findings["table and record of whole"] == "verified"
    # The same run with another design in a layer is another run.
    content["layers"][0].update(tile=1, design="rough+tuned")
    (project / "two.json").write_text(json.dumps(content))
    code, _, err = command("train", *run, *begun)
    assert code == 1
    assert "holds a run of another configuration" in err


def test_a_finished_study_is_only_read(command: Command, project: Path) -> None:
    before = results(project)["candidates"]
    options = ["--designs", "rough", "--accelerator", "gated", "--tune", "both", "--out", "study"]
    code, out, _ = command("assign", "run", *options, *SEARCH)
    assert code == 0
    assert "chosen on validation images" in out
    assert results(project)["candidates"] == before
    code, _, err = command("assign", "run", *options, *SEARCH, "--tiles", "3")
    assert code == 1
    assert "holds another study" in err
    assert "tiles: 3, not 2" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--designs", "roug"], "roug"),
        (["--designs", "other"], "does not take the operands of layer"),
        (["--designs", "rough", "--tiles", "5"], "fewer tiles than the network has layers"),
        (["--designs", "rough", "--accelerator", "steam"], "steam"),
        (["--designs", "rough", "--images", "4000"], "not enough images were held out"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], message: str, command: Command) -> None:
    code, _, err = command("assign", "run", *SEARCH, *options, "--out", "elsewhere")
    assert code == 1
    assert message in " ".join(err.split())


def test_a_design_without_cost_is_refused(command: Command, project: Path) -> None:
    record = project / "out" / "luts" / "rough" / "record.json"
    content = json.loads(record.read_text())
    absent = dict.fromkeys(("area_um2", "delay_ps", "power_uw", "energy_fj"), "no cells")
    content["cost"].update({**dict.fromkeys(absent), "absent": absent})
    record.write_text(json.dumps(with_checksum(content)))
    code, _, err = command("assign", "run", *SEARCH, "--designs", "rough", "--out", "elsewhere")
    assert code == 1
    assert "the characterization of rough has no" in err


def test_an_assignment_of_another_table_is_refused(command: Command, project: Path) -> None:
    file = next((project / "study" / "assignments").iterdir())
    content = json.loads(file.read_text())
    content["tiles"][0]["table_id"] = "0" * 64
    file.write_text(json.dumps(content))
    for options in (["eval", "run"], ["train", "--model", "lenet5", "--data", "digits"]):
        code, _, err = command(*options, "--assignment", str(file))
        assert code == 1
        assert "is not the one that" in err


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """Seal an edited record again."""
    from rtlgrad.core.files import canonical_json, sha256_bytes

    content.pop("checksum")
    assert np.isfinite(content["metrics"]["mae"])
    return {**content, "checksum": sha256_bytes(canonical_json(content).encode())}
