"""``rtlgrad trace``: every number back to its RTL, and what was changed on the way is found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from projects import DESIGN, flip, rtlgrad

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Trace = Callable[..., tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def trace(project: Path, capfd: pytest.CaptureFixture[str]) -> Trace:
    """Trace the run; return the exit status and the findings by what they are about."""

    def call(*options: str) -> tuple[int, dict[str, dict[str, str]]]:
        capfd.readouterr()
        code = rtlgrad(project, "trace", "run", "--json", *options)
        findings: list[dict[str, Any]] = json.loads(capfd.readouterr().out)["findings"]
        return code, {finding["what"]: finding for finding in findings}

    return call


def verdicts(findings: dict[str, dict[str, str]], verdict: str) -> set[str]:
    return {what for what, finding in findings.items() if finding["verdict"] == verdict}


def test_every_step_is_verified_to_the_rtl(trace: Trace) -> None:
    code, findings = trace("--evaluate", "--resimulate")
    assert code == 0
    assert verdicts(findings, "verified") == set(findings)
    assert {
        "source rtl/low.v",
        "sidecar rtl/low.toml",
        "data set digits",
        "table of low, simulated again",
        "test images right, evaluated again",
        "version of verilator",
    } < set(findings)


def test_a_changed_comment_changes_the_source_and_its_id(project: Path, trace: Trace) -> None:
    with (project / "rtl" / "low.v").open("a") as stream:
        stream.write("// no more than a comment\n")
    code, findings = trace("--resimulate")
    assert code == 1
    changed = {"source rtl/low.v", "table of low, simulated again"}
    assert verdicts(findings, "differs") == changed


def test_a_changed_product_is_found_by_simulation(project: Path, trace: Trace) -> None:
    (project / "rtl" / "low.v").write_text(DESIGN.replace("11111110", "11111101"))
    _, findings = trace("--resimulate")
    assert "table of low, simulated again" in verdicts(findings, "differs")


def test_an_edited_accuracy_is_found_by_evaluation(project: Path, trace: Trace) -> None:
    file = project / "run" / "result.json"
    result = json.loads(file.read_text())
    result["test"]["correct"] += 1
    result["test"]["accuracy"] = result["accuracy"] = result["test"]["correct"] / 50
    file.write_text(json.dumps(result))
    assert trace()[0] == 0
    code, findings = trace("--evaluate")
    assert code == 1
    assert verdicts(findings, "differs") == {"test images right, evaluated again"}


def test_a_table_that_was_edited_with_its_record_is_not_the_run_s(
    project: Path, trace: Trace
) -> None:
    flip(project, 3, 5, 2)
    _, findings = trace()
    assert verdicts(findings, "cannot be verified") == {"table of 5 layers"}


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("run/checkpoint.pt", "checkpoint run/checkpoint.pt"),
        ("rtl/low.v", "source rtl/low.v"),
        ("out/luts/low/table.npy", "table of 5 layers"),
    ],
)
def test_what_is_not_at_hand_is_said(project: Path, trace: Trace, missing: str, what: str) -> None:
    (project / missing).unlink()
    assert what in verdicts(trace("--resimulate")[1], "cannot be verified")


def test_another_checkpoint_is_found(project: Path, trace: Trace) -> None:
    with (project / "run" / "checkpoint.pt").open("ab") as stream:
        stream.write(b"\0")
    code, findings = trace()
    assert code == 1
    assert "checkpoint run/checkpoint.pt" in verdicts(findings, "differs")
