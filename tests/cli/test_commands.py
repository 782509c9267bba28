"""The command line, from a Verilog file to a report, and what it says when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from projects import rtlgrad, said
from rtlgrad.cli.main import app, main

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = "module good(input [2:0] A, input [2:0] B, output [5:0] O); assign O = A * B; endmodule\n"
LOW = """\
module low(input [2:0] A, input [2:0] B, output [5:0] O);
  assign O = (A * B) & 6'b111100;
endmodule
"""
BROKEN = (
    "module broken(input [2:0] A, input [2:0] B, output [5:0] O);\n  assign O = A * ;\nendmodule\n"
)
WIDE = """\
module wide #(parameter K = 0) (input [7:0] A, input [7:0] B, output [15:0] O);
  assign O = (A * B) & (16'hffff << K);
endmodule
"""
WIDE_SIDECAR = """\
title = "Exact product with the K low bits cleared"
[variants.wide0]
K = 0
[variants.wide7]
K = 7
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rtl/ and the characterizations of its good designs."""
    folder = tmp_path_factory.mktemp("project")
    rtl = folder / "rtl"
    rtl.mkdir()
    (rtl / "wide.v").write_text(WIDE)
    (rtl / "wide.toml").write_text(WIDE_SIDECAR)
    (rtl / "good.v").write_text(GOOD)
    (rtl / "low.v").write_text(LOW)
    assert rtlgrad(folder, "lut") == 0
    return folder


@pytest.fixture
def invoke(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in the project; return exit status, standard output, standard error."""

    monkeypatch.chdir(project)  # tests name files relative to it
    return partial(said, capfd, project)


def modules_after(*arguments: str) -> set[str]:
    """Return the top-level modules that a command loads, in a process of its own."""
    script = (
        "import sys; sys.argv = ['rtlgrad', *sys.argv[1:]]\n"
        "from rtlgrad.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def test_help_loads_no_heavy_package() -> None:
    assert modules_after("--help").isdisjoint({"numpy", "torch", "cocotb", "pyverilog", "pyslang"})


def test_lut_never_loads_torch(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    loaded = modules_after("lut")
    assert "torch" not in loaded
    # Nothing changed, so no front end is needed either.
    assert loaded.isdisjoint({"cocotb", "pyverilog", "pyslang", "pyosys"})


def test_list_designs_says_what_is_characterized(
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    code, text, _ = invoke("list", "--json")
    rows = {row["design"]: row for row in json.loads(text)}
    assert code == 0
    assert set(rows) == {"good", "low", "wide0", "wide7"}
    assert rows["wide7"]["parameters"] == "K=7"
    assert rows["good"]["characterized"] == "yes"


def test_engines_says_what_runs_here_and_why_a_route_is_taken(
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    code, text, _ = invoke(
        *("engines", "--explain", "good", "--shape", "16x144x32768", "--shape", "1x9x50", "--json")
    )
    assert code == 0
    found = json.loads(text)
    assert found["calibration"] is None
    usable = {engine["engine"]: engine["usable here"] for engine in found["engines"]}
    assert usable["numpy"] == "yes"
    assert set(usable) == {"numpy", "native", "cupy"}
    first, second = found["routes"]
    assert first[0].startswith("16x144x32768, table ")
    assert second[0].startswith("1x9x50, table ")
    routes = ["rows", "expanded", "planes", "residual", "lowrank"]
    assert [line.split()[0] for line in first[1:]] == routes
    code, text, _ = invoke("engines", "--explain", "good")
    assert code == 0
    assert "10x64x128, table " in text  # ResNet-20's layers where no shape is given


def test_engines_refuses_shapes_that_are_none(
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    for shape in ("16x144", "0x1x1", "1x-2x3", "axbxc"):
        code, _, message = invoke("engines", "--explain", "good", "--shape", shape)
        assert code == 1
        assert "not the shape of a layer" in message
    code, _, message = invoke("engines", "--shape", "1x1x1")
    assert code == 1
    assert "--explain DESIGN" in message


@pytest.mark.parametrize("what", ["models", "data", "engines", "calibrations"])
def test_list_names_what_the_other_options_take(
    invoke: Callable[..., tuple[int, str, str]], what: str
) -> None:
    code, text, _ = invoke("list", what)
    expected = {"models": "lenet5", "data": "digits", "engines": "numpy", "calibrations": "minmax"}
    assert code == 0
    assert expected[what] in text


def test_show_prints_ports_metrics_and_hashes(invoke: Callable[..., tuple[int, str, str]]) -> None:
    code, text, err = invoke("show", "wide7")
    assert code == 0
    assert "K = 7" in text
    assert "unsigned" in text
    assert "sha256" in text
    assert "verified" in err


def test_show_json_is_the_record(
    invoke: Callable[..., tuple[int, str, str]], project: Path
) -> None:
    _, text, _ = invoke("show", "low", "--json")
    assert json.loads(text) == json.loads((project / "out/luts/low/record.json").read_text())
    table = np.load(project / "out/luts/low/table.npy")
    codes = np.arange(8)
    assert np.array_equal(table, (codes[:, None] * codes) & 0b111100)


def test_lut_json_and_reuse(invoke: Callable[..., tuple[int, str, str]]) -> None:
    code, text, err = invoke("lut", "--json")
    assert code == 0
    assert all(entry["reused"] for entry in json.loads(text))
    assert "4 unchanged" in err


def test_lut_of_a_file_elsewhere_and_a_broken_one(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.v").write_text(LOW.replace("module low", "module mine"))
    (tmp_path / "broken.v").write_text(BROKEN)
    store = tmp_path / "store"
    code, text, err = invoke(
        "lut", tmp_path / "mine.v", tmp_path / "broken.v", "--out", store, "--jobs", 1
    )
    assert code == 1
    assert "FAILED broken" in err
    assert "broken.v:2" in err
    assert (store / "mine" / "table.npy").exists()
    assert not (store / "broken").exists()
    assert "mine" in text


def test_a_variant_by_parameters_given(
    invoke: Callable[..., tuple[int, str, str]], project: Path, tmp_path: Path
) -> None:
    code, _, _ = invoke("lut", "rtl/wide.v", "-P", "K=7", "--out", tmp_path)
    assert code == 0
    stored = json.loads((tmp_path / "wide_K7" / "record.json").read_text())
    listed = json.loads((project / "out/luts/wide7/record.json").read_text())
    assert stored["interface"]["parameters"] == {"K": 7}
    assert stored["id"] == listed["id"]  # the same circuit, whatever it is called


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lut", "rtl/wide.v", "-P", "K"), "-P K is not a parameter"),
        (("lut", "rtl/wide.v", "-P", "K=six"), "NAME=INTEGER"),
        (("lut", "wide7", "-P", "K=6"), "needs the Verilog file"),
        (("lut", "-P", "K=6"), "needs the Verilog file"),
        (("lut", "rtl/wide.v", "-P", "L=6", "--out", "elsewhere"), "no parameter 'L'"),
    ],
)
def test_bad_parameters(
    invoke: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = invoke(*arguments)
    assert code == 1
    assert message in err


def test_an_unknown_design_suggests_the_nearest(
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = invoke("lut", "gooood")
    assert code == 1
    assert "did you mean 'good'?" in err
    code, _, err = invoke("lut", "wide")
    assert code == 1
    assert "wide0, wide7" in err


def test_a_folder_that_cannot_be_written(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = invoke("lut", "good", "--out", tmp_path / "file" / "store")
    assert code == 1
    assert "cannot write" in err


def test_a_missing_rtl_folder(invoke: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, _, err = invoke("lut", "--rtl", tmp_path / "nowhere")
    assert code == 1
    assert "no folder" in err


def test_a_liberty_file_that_is_none(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "not.lib").write_text("hello")
    code, _, err = invoke("lut", "good", "--liberty", tmp_path / "not.lib")
    assert code == 1
    assert "cannot serve as cell library" in err
    code, _, err = invoke("lut", "good", "--liberty", tmp_path / "absent.lib")
    assert code == 1
    assert "absent.lib" in err


@pytest.fixture(scope="module")
def trained(project: Path) -> Path:
    """A network trained on digits in fp32, then fine-tuned through wide7."""
    quick = ["--model", "lenet300100", "--data", "digits", "--limit-train", "400", "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for arguments in (
            [*quick, "--epochs", "2", "--out", "out/runs/base"],
            [
                *quick,
                "--epochs",
                "1",
                "--design",
                "wide7",
                "--init",
                "out/runs/base",
                "--out",
                "out/runs/tuned",
            ],
        ):
            patch.setattr(sys, "argv", ["rtlgrad", "train", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code in (0, None)
    return project / "out/runs"


def test_train_result_names_its_table(trained: Path) -> None:
    result = json.loads((trained / "tuned" / "result.json").read_text())
    record = json.loads((trained.parent / "luts/wide7/record.json").read_text())
    assert result["characterization_id"] == record["id"]
    assert set(result["table_ids"].values()) == {record["id"]}


def test_eval_repeats_the_run_s_figure(
    invoke: Callable[..., tuple[int, str, str]], trained: Path
) -> None:
    code, text, _ = invoke("eval", trained / "tuned", "--json")
    result = json.loads((trained / "tuned" / "result.json").read_text())
    assert code == 0
    assert json.loads(text)["correct"] == result["test"]["correct"]


def test_eval_refuses_another_design_s_table(
    invoke: Callable[..., tuple[int, str, str]], trained: Path
) -> None:
    code, _, err = invoke("eval", trained / "tuned", "--design", "wide0")
    ids = [
        json.loads((trained.parent / f"luts/{name}/record.json").read_text())["id"]
        for name in ("wide0", "wide7")
    ]
    assert code == 1
    assert all(made in err for made in ids)


@pytest.mark.parametrize(
    ("form", "sign"), [("text", "wide7"), ("markdown", "|"), ("csv", "wide7,"), ("json", '"rows"')]
)
def test_report_in_every_form(
    invoke: Callable[..., tuple[int, str, str]], trained: Path, form: str, sign: str
) -> None:
    code, text, _ = invoke("report", trained, "--format", form)
    assert code == 0
    assert sign in text


def test_report_figures_come_from_the_records(
    invoke: Callable[..., tuple[int, str, str]], trained: Path
) -> None:
    _, text, _ = invoke("report", trained, "--json")
    row = next(row for row in json.loads(text)["rows"] if row["design"] == "wide7")
    areas = [
        json.loads((trained.parent / f"luts/{name}/record.json").read_text())["cost"]["area_um2"]
        for name in ("wide7", "wide0")
    ]
    # wide0 is the exact design with the same operands.
    assert row["area_relative"] == pytest.approx(areas[0] / areas[1])
    # The K low bits of the product are lost: on average their mean value, for the pairs counted.
    codes = np.arange(256)
    lost = (codes[:, None] * codes) % 128
    assert row["mae_pct"] == pytest.approx(100 * lost.mean() / 65536)


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [
        ("--model", "lenet-5", "lenet5"),
        ("--data", "digit", "digits"),
        ("--design", "wide70", "wide7"),
        ("--engine", "nativ", "native"),
        ("--calibration", "minmaxx", "minmax"),
    ],
)
def test_a_misspelt_name_in_train(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path, option: str, value: str, near: str
) -> None:
    arguments = {"--model": "lenet300100", "--data": "digits", "--design": "wide7"}
    arguments[option] = value
    flat = [item for pair in arguments.items() for item in pair]
    code, _, err = invoke("train", *flat, "--limit-train", 200, "--out", tmp_path / "run")
    assert code == 1
    assert value in err
    assert near in err


def test_an_exact_pattern_that_matches_no_layer(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = invoke(
        "train", "--model", "lenet300100", "--data", "digits", "--design", "wide7",
        "--exact", "conv*", "--limit-train", 200, "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 1
    assert "conv*" in err


def test_training_with_a_design_that_is_not_characterized(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = invoke(
        "train", "--model", "lenet300100", "--data", "digits", "--design", "good",
        "--store", tmp_path / "none", "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 1
    assert "rtlgrad lut good" in err


def test_a_table_edited_after_it_was_made(
    invoke: Callable[..., tuple[int, str, str]], project: Path, tmp_path: Path
) -> None:
    table = project / "out/luts/low/table.npy"
    kept = table.read_bytes()
    try:
        table.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        code, _, err = invoke("show", "low")
    finally:
        table.write_bytes(kept)
    assert code == 1
    assert "table.npy" in err
    assert err.count("sha256") == 2


def test_doctor_finds_what_these_tests_run_on(invoke: Callable[..., tuple[int, str, str]]) -> None:
    code, text, _ = invoke("doctor", "--json")
    found = {entry["tool"]: entry for entry in json.loads(text)}
    assert code == 0
    assert found["verilator"]["version"]
    assert Path(found["g++"]["where"]).exists()


def test_doctor_says_what_to_do_about_a_missing_tool(
    invoke: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text, err = invoke("doctor")
    assert code == 1
    assert "apt-get install g++" in text
    assert "missing: g++" in err


def test_every_command_is_documented_in_the_help() -> None:
    assert all(command.callback.__doc__ for command in app.registered_commands if command.callback)
