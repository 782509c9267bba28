"""``rtlgrad power`` and ``record``: operands from files and from networks."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from projects import rtlgrad, said
from rtlgrad.core.errors import ConfigError
from rtlgrad.cosim.design import read_design, references
from rtlgrad.cosim.gates.stimulus import uniform_stimulus
from rtlgrad.cosim.gates.stimulus_files import read_stream
from rtlgrad.lutgen.histogram import (
    OperandHistogram,
    OperandRecording,
    load_recording,
    save_recording,
)
from rtlgrad.lutgen.store import load, to_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rtlgrad.cosim.interface import Interface

UNSIGNED = "module plain(input [3:0] A, input [3:0] B, output [7:0] O); assign O = A * B; endmodule"
SIGNED = """\
module turned(input signed [3:0] A, input signed [2:0] B, output signed [6:0] O);
  assign O = A * B;
endmodule
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two designs and their store."""
    folder = tmp_path_factory.mktemp("power")
    (folder / "rtl").mkdir()
    (folder / "rtl/plain.v").write_text(UNSIGNED)
    (folder / "rtl/turned.v").write_text(SIGNED)
    assert rtlgrad(folder, "lut") == 0
    return folder


@pytest.fixture
def invoke(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in the workplace; return exit status, standard output, standard error."""

    monkeypatch.chdir(workplace)  # tests name files relative to it
    return partial(said, capfd, workplace)


@pytest.fixture
def power(invoke: Callable[..., tuple[int, str, str]]) -> Callable[..., dict[str, Any]]:
    """Run ``rtlgrad power --json`` and return what it prints."""

    def call(design: str, stimulus: Path, *options: object) -> dict[str, Any]:
        code, printed, said = invoke("power", design, "--stimulus", stimulus, "--json", *options)
        assert code == 0, said
        content: dict[str, Any] = json.loads(printed)
        return content

    return call


def interface(workplace: Path, name: str) -> Interface:
    (reference,) = references(workplace / f"rtl/{name}.v")
    return read_design(reference).interface


def test_the_uniform_operands_from_a_file_give_the_uniform_figures(
    workplace: Path, tmp_path: Path, power: Callable[..., dict[str, Any]]
) -> None:
    drawn = uniform_stimulus(interface(workplace, "plain"))
    np.save(tmp_path / "uniform.npy", np.stack([drawn.a, drawn.b], axis=1))
    before = load(workplace / "out/luts/plain")
    found = power("plain", tmp_path / "uniform.npy")
    (one,) = found["stimuli"]
    cost = before.cost
    assert one["power"]["energy_zero_delay_fj"] == cost.energy_fj
    assert one["power"]["energy_glitch_aware_fj"] == cost.energy_glitch_aware_fj
    assert one["power"]["power_zero_delay_uw"] == cost.power_uw
    assert one["power"]["seed"] is None
    assert one["file_sha256"] in one["power"]["stimulus"]
    assert found["uniform"]["energy_fj"] == cost.energy_fj
    assert (found["netlist_proven"], found["characterization_id"]) == (True, before.id)
    # The record's own figures stay those for uniform operands.
    assert to_record(load(workplace / "out/luts/plain")) == to_record(before)


def test_operands_that_stay_cost_leakage_alone(
    tmp_path: Path,
    power: Callable[..., dict[str, Any]],
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    np.savez(tmp_path / "still.npz", a=np.full(9, 13), b=np.full(9, 7))
    (one,) = power("plain", tmp_path / "still.npz")["stimuli"]
    assert one["power"]["energy_glitch_aware_fj"] == 0.0
    assert one["power"]["power_zero_delay_uw"] == pytest.approx(one["power"]["leakage_nw"] / 1e3)
    code, printed, _ = invoke("power", "plain", "--stimulus", tmp_path / "still.npz")
    assert code == 0
    assert "still.npz" in printed
    assert "uniform random" in printed
    assert "netlist proven equal to the table of characterization" in printed


@pytest.mark.parametrize("heading", ["", "a,b\n", "b,a\n"])
def test_values_and_codes_in_every_format_are_one_stream(
    workplace: Path, tmp_path: Path, heading: str
) -> None:
    bound = interface(workplace, "turned")
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 8, 50), rng.integers(-4, 4, 50)
    pairs = np.stack([a, b] if heading != "b,a\n" else [b, a], axis=1)
    text = heading + "".join(f"{first}, {second}\n" for first, second in pairs)
    (tmp_path / "s.csv").write_text(text)
    np.save(tmp_path / "s.npy", np.stack([a & 15, b & 7], axis=1))
    np.savez(tmp_path / "s.npz", b=b.astype(np.int8), a=a.astype(np.int8))
    streams = [
        read_stream(tmp_path / "s.csv", bound, values=True),
        read_stream(tmp_path / "s.npz", bound, values=True),
        read_stream(tmp_path / "s.npy", bound),
    ]
    for stream in streams:
        assert np.array_equal(stream.a, a % 16)
        assert np.array_equal(stream.b, b % 8)


@pytest.mark.parametrize(
    ("content", "values", "message"),
    [
        ("1,2\n-1,0\n", False, "no codes of 4 bits"),
        ("1,2\n8,0\n", True, "no values of the operand"),
        ("1,2\n", False, "needs transitions"),
        ("1,2,3\n4,5,6\n", False, "no operand stream"),
        ("1,x\n", False, "cannot read"),
        ("0.5,1\n1,1\n", False, "cannot read"),
        (None, False, "cannot read"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused(
    workplace: Path, tmp_path: Path, content: str | None, values: bool, message: str
) -> None:
    if content is not None:
        (tmp_path / "s.csv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_stream(tmp_path / "s.csv", interface(workplace, "turned"), values=values)
    with pytest.raises(ConfigError, match="no operand stream"):
        read_stream(tmp_path / "s.txt", interface(workplace, "turned"))
    np.save(tmp_path / "s.npy", np.ones((5, 2)))
    for meaning in (False, True):
        with pytest.raises(ConfigError, match="not a list of codes"):
            read_stream(tmp_path / "s.npy", interface(workplace, "turned"), values=meaning)


def recording(layers: dict[str, np.ndarray], signed: bool = False) -> OperandRecording:
    return OperandRecording(
        tuple(
            OperandHistogram(name, counts.astype(np.int64), signed, signed, "plain", "0" * 64)
            for name, counts in layers.items()
        )
    )


def test_a_recording_gives_a_figure_for_each_layer(
    tmp_path: Path,
    power: Callable[..., dict[str, Any]],
    invoke: Callable[..., tuple[int, str, str]],
) -> None:
    busy, still = np.ones((16, 16)), np.zeros((16, 16))
    still[3, 9] = 4
    file = tmp_path / "operands.npz"
    save_recording(recording({"conv": busy, "fc": still}), file)
    found = power("plain", file)
    together, conv, fc = found["stimuli"]
    assert [one["label"] for one in found["stimuli"]] == ["all layers", "conv", "fc"]
    assert [one["products"] for one in found["stimuli"]] == [260, 256, 4]
    # All pairs equally often is what the uniform figure is for, but for the draw.
    uniform = found["uniform"]["energy_fj"]
    assert conv["power"]["energy_zero_delay_fj"] == pytest.approx(uniform, rel=0.02)
    assert fc["power"]["energy_zero_delay_fj"] == 0.0
    assert 0.0 < together["power"]["energy_zero_delay_fj"] < uniform * 1.02
    named = power("plain", file, "--layer", "fc", "--pairs", "100", "--seed", "3")
    (only,) = named["stimuli"]
    assert (only["power"]["pairs"], only["power"]["seed"]) == (100, 3)
    assert only["recorded_with"] == {"design": "plain", "characterization_id": "0" * 64}
    code, _, said = invoke("power", "plain", "--stimulus", file, "--layer", "fcc")
    assert code == 1
    assert "did you mean 'fc'?" in said


def test_operands_of_another_kind_are_refused(
    tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    file = tmp_path / "operands.npz"
    save_recording(recording({"conv": np.ones((16, 16))}, signed=True), file)
    code, _, said = invoke("power", "plain", "--stimulus", file)
    assert code == 1
    assert "found: s4 x s4" in said
    assert "expected: u4 x u4" in said
    (tmp_path / "s.csv").write_text("1,2\n3,4\n")
    code, _, said = invoke("power", "plain", "--stimulus", tmp_path / "s.csv", "--layer", "conv")
    assert code == 1
    assert "has no layers" in said


def test_without_a_record_of_the_same_text_nothing_is_proven(
    workplace: Path, tmp_path: Path, power: Callable[..., dict[str, Any]]
) -> None:
    np.save(tmp_path / "s.npy", np.array([[1, 2], [3, 4]]))
    changed = tmp_path / "plain.v"
    changed.write_text(UNSIGNED.replace("A * B", "A * B + 1"))
    for arguments in ((str(changed),), ("plain", "--store", tmp_path)):
        found = power(arguments[0], tmp_path / "s.npy", *arguments[1:])
        assert (found["netlist_proven"], found["characterization_id"]) == (False, None)
        assert "rtlgrad lut" in found["unproven"]
    file = tmp_path / "kept.json"
    assert power("plain", tmp_path / "s.npy", "--out", file) == json.loads(file.read_text())


def test_the_operands_of_a_network_are_recorded(
    workplace: Path, tmp_path: Path, invoke: Callable[..., tuple[int, str, str]]
) -> None:
    run, file = tmp_path / "run", tmp_path / "operands.npz"
    quick = ("--model", "lenet300100", "--data", "digits", "--limit-train", "300")
    code, _, said = invoke("train", *quick, "--design", "plain", "--epochs", "1", "--out", run)
    assert code == 0, said
    code, printed, _ = invoke("record", run, "--images", "20", "--out", file, "--json")
    assert code == 0
    found = json.loads(printed)
    # LeNet-300-100 takes (inputs * 300 + 300 * 100 + 100 * 10) products an image.
    inputs = found["layers"][0]["products"] // (20 * 300)
    assert [layer["products"] for layer in found["layers"]] == [
        20 * inputs * 300,
        20 * 300 * 100,
        20 * 100 * 10,
    ]
    recorded = load_recording(file)
    assert recorded.content_hash == found["sha256"]
    assert recorded.source["images"] == 20
    assert {one.characterization_id for one in recorded.layers} == {
        load(workplace / "out/luts/plain").id
    }
    code, printed, _ = invoke("power", "plain", "--stimulus", file)
    assert code == 0
    assert "all layers" in printed
    fp32 = tmp_path / "fp32"
    invoke("train", *quick, "--epochs", "1", "--out", fp32)
    code, _, said = invoke("record", fp32, "--out", file)
    assert code == 1
    assert "no approximate layer" in said
