"""``rtlgrad audit`` and inference by live RTL, with a real simulation behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from projects import flip, rtlgrad
from reference import segments
from rtlgrad.cosim.design import pick_design, read_design, references
from rtlgrad.cosim.simulation.live import LiveMultiplier
from rtlgrad.lutgen.histogram import load_recording
from rtlgrad.nn.live_layers import DistinctProducts, WideOperand, find_ranges, make_live
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[..., tuple[int, Any]]

RTL = Path(__file__).resolve().parents[2] / "rtl"


@pytest.fixture(scope="module", autouse=True)
def _one_simulation_each() -> Iterator[None]:
    """Keep each text's simulation running between commands: building it is what takes time."""
    running: dict[str, LiveMultiplier] = {}

    class Kept(LiveMultiplier):
        def close(self) -> None:
            """Go on: the module ends it."""

    def shared(design: Any, *, latency: Any = None) -> LiveMultiplier:
        text = design.sources.text
        if text not in running:
            running[text] = Kept(design, latency=latency)
        return running[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtlgrad.lutgen.live.LiveMultiplier", shared)
        yield
    for live in running.values():
        LiveMultiplier.close(live)


@pytest.fixture
def call(project: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command; return the exit status, and its JSON or what it said of an error."""

    def run(*arguments: str) -> tuple[int, Any]:
        capfd.readouterr()
        code = rtlgrad(project, *arguments, "--json")
        said = capfd.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return run


def test_training_was_audited_and_its_operands_are_kept(project: Path) -> None:
    (line,) = (project / "run" / "metrics.jsonl").read_text().splitlines()
    audit = json.loads(line)["audit"]
    products = json.loads((project / "run" / "result.json").read_text())["table_products_per_image"]
    assert audit["right"] is True
    assert audit["products_compared"] == 2 * products
    recording = load_recording(project / "run" / "operands.npz")
    assert sum(one.products for one in recording.layers) == 5 * products


def test_an_audit_confirms_a_right_table_and_its_source(call: Call) -> None:
    code, found = call("audit", "run", "--images", "3")
    assert code == 0
    assert found["right"]
    assert found["products"] == found["products_compared"] > 0
    assert all(one["outputs"] == one["outputs_compared"] for one in found["layers"])
    (coverage,) = found["coverage"]
    assert coverage["not_covered"] == 256 - coverage["pairs"] >= 16  # weights have no code 0
    assert {one["verdict"] for one in found["sources"]} == {"verified"}


def test_a_flipped_bit_in_use_is_named_and_one_that_is_not_is_not_covered(
    project: Path, call: Call
) -> None:
    again = ["--design", "low", "--init", "run", "--init-from-other-table", "--epochs", "0"]
    size = ["--model", "lenet5", "--data", "digits", "--limit-test", "50"]
    recording = load_recording(project / "run" / "operands.npz").together()
    counts = recording.counts
    used = np.argwhere(counts > 0)
    for (a, b), expected in ((used[len(used) // 2], 1), ((3, 0), 0)):
        assert counts[a, b] > 0 or not expected
        flip(project, int(a), int(b), 4)
        assert rtlgrad(project, "train", *size, *again, "--out", f"flip{expected}") == 0
        code, found = call("audit", f"flip{expected}", "--images", "5")
        assert code == expected
        named = {(one["a"], one["b"]) for layer in found["layers"] for one in layer["wrong"]}
        assert named == ({(a, b)} if expected else set())
        if expected:
            wrong = [one for layer in found["layers"] for one in layer["wrong"]]
            assert all(one["rtl"] == a * b & ~1 == one["table"] ^ 4 for one in wrong)
            assert all(one["uses"] > 0 for one in wrong)
        flip(project, int(a), int(b), 4)


def test_a_changed_comment_is_said(project: Path, call: Call) -> None:
    with (project / "rtl" / "low.v").open("a") as stream:
        stream.write("// no more than a comment\n")
    code, said = call("audit", "run", "--images", "1")
    assert code == 1
    assert "source rtl/low.v of low is not the one that its table was made from" in said
    code, found = call("audit", "run", "--images", "1", "--changed-rtl")
    assert code == 0
    differing = [one["what"] for one in found["sources"] if one["verdict"] == "differs"]
    assert differing == ["source rtl/low.v"]


def test_a_design_with_mapped_weights_is_audited(project: Path, call: Call) -> None:
    network = ["--model", "lenet5", "--data", "digits", "--limit-test", "50", "--epochs", "0"]
    tuned = ["--design", "low+tuned", "--init", "run", "--init-from-other-table"]
    assert rtlgrad(project, "train", *network, *tuned, "--out", "tuned") == 0
    code, found = call("audit", "tuned", "--images", "1")
    assert code == 0
    assert found["products_compared"] == found["products"] > 0
    assert {one["design"] for one in found["layers"]} == {"low+tuned"}


def test_live_inference_gives_what_the_table_gives(call: Call) -> None:
    code, live = call("eval", "run", "--engine", "live", "--images", "50")
    assert code == 0
    _, table = call("eval", "run")
    assert (live["correct"], live["loss"]) == (table["correct"], table["loss"])
    assert live["live_products"] == live["products"]
    assert live["pairs_simulated"] <= 256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "nowhere"], "cannot read checkpoint"),
        (["audit", "run", "--rtl", "elsewhere"], None),
        (["eval", "run", "--engine", "live", "--images", "9", "--max-products", "5"], "too many"),
        (["eval", "run", "--engine", "live", "--design", "low"], "it was trained with"),
        (["eval", "run", "--engine", "live", "--assignment", "x.json"], "rtlgrad audit run"),
        (["audit", "run", "--pairs", "3", "--every"], "and a sample"),
    ],
)
def test_bad_input_is_explained(call: Call, arguments: list[str], message: str | None) -> None:
    code, said = call(*arguments)
    assert code == (0 if message is None else 1)
    assert message is None or message in said


def test_without_its_source_nothing_can_be_compared(project: Path, call: Call) -> None:
    (project / "rtl" / "low.v").unlink()
    code, found = call("audit", "run", "--images", "1")
    assert code == 1
    assert not found["right"]
    assert all("RTL of low is not at hand" in one["unchecked"] for one in found["layers"])
    code, said = call("eval", "run", "--engine", "live")
    assert code == 1
    assert "RTL of low is not at hand" in said


def test_a_16_bit_design_is_inferred_by_its_rtl_as_by_its_function() -> None:
    design = read_design(pick_design("mul16u_drum6", references(RTL / "mul16u_drum.v")))
    torch.manual_seed(0)
    x = torch.rand(3, 20)
    wide = (WideOperand(16, False), WideOperand(16, False))
    made = []
    with LiveMultiplier(design) as live:
        for multiply in (
            live.multiply_codes,
            lambda a, b: segments.drum_operand(a, 6) * segments.drum_operand(b, 6),
        ):
            torch.manual_seed(1)
            model = nn.Sequential(nn.Linear(20, 4)).eval()
            make_live(model, DistinctProducts(multiply), wide)
            find_ranges(model, [x])
            made.append(model(x))
    assert torch.equal(*made)
