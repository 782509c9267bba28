"""One bad design in a batch: it is refused with a clear message, and the others get their tables."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rtlgrad.core.errors import RtlgradError
from rtlgrad.cosim.design import references
from rtlgrad.cosim.simulation.lint import may_float
from rtlgrad.lutgen.characterize import Settings, characterize
from rtlgrad.lutgen.store import stored_names
from rtlgrad.lutgen.table import code_values
from small_designs import (
    BAD,
    ENDED,
    ENDLESS,
    FLOATING,
    GOOD,
    HIDDEN,
    MAY_FLOAT,
    Bad,
    Good,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rtlgrad.lutgen.characterize import Outcome

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed"
)


def characterized(
    cases: Mapping[str, Good | Bad], folder: Path, time_limit_s: float = 120.0
) -> dict[str, Outcome]:
    """Characterize all cases in one call; return outcomes by the name of the case."""
    found = {name: references(write(folder, name, case)) for name, case in cases.items()}
    assert all(len(designs) == 1 for designs in found.values())
    settings = Settings(folder / "tables", time_limit_s=time_limit_s)
    outcomes = characterize([design for (design,) in found.values()], settings)
    return dict(zip(found, outcomes, strict=True))


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    # Good and bad designs alternate, so that models hold both.
    half = len(BAD) // len(GOOD) + 1
    bad = list(BAD.items())
    mixed: dict[str, Good | Bad] = {}
    for index, (name, case) in enumerate(GOOD.items()):
        mixed |= {name: case, **dict(bad[half * index : half * (index + 1)])}
    assert len(mixed) == len(BAD) + len(GOOD)
    return characterized(mixed, tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="session")
def endless_outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    cases = {**ENDLESS, "bystander": GOOD["lopsided"]}
    return characterized(cases, tmp_path_factory.mktemp("endless"), time_limit_s=6.0)


@pytest.fixture(scope="session")
def floating_outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return characterized(FLOATING, tmp_path_factory.mktemp("floating"))


def check_table(outcome: Outcome, case: Good) -> None:
    assert outcome.error is None, str(outcome.error)
    assert outcome.characterization is not None
    table = outcome.characterization.table
    assert (table.signed_a, table.signed_b) == case.signed
    a, b = (code_values(*port) for port in zip(case.widths, case.signed, strict=True))
    expected = [[case.product(int(x), int(y)) for y in b] for x in a]
    assert np.array_equal(table.products, expected)


def check_error(outcome: Outcome, case: Bad) -> None:
    assert outcome.characterization is None
    assert type(outcome.error) is case.error, repr(outcome.error)
    message = str(outcome.error)
    assert str(outcome.reference.path) in message
    for text in case.says:
        assert text in message
    assert "Traceback" not in message
    assert "/rtlgrad-" not in message, "names a scratch folder"


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_good_design_gets_its_table(name: str, outcomes: Mapping[str, Outcome]) -> None:
    check_table(outcomes[name], GOOD[name])


@pytest.mark.parametrize("name", GOOD)
def test_warnings_are_those_that_the_user_should_read(
    name: str, outcomes: Mapping[str, Outcome]
) -> None:
    made = outcomes[name].characterization
    assert made is not None
    warnings = "\n".join(made.warnings)
    assert GOOD[name].warning in warnings
    assert bool(warnings) == bool(GOOD[name].warning)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_design_is_refused_with_a_clear_message(
    name: str, outcomes: Mapping[str, Outcome]
) -> None:
    check_error(outcomes[name], BAD[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_a_design_that_never_ends_is_refused_at_its_time_limit(
    name: str, endless_outcomes: Mapping[str, Outcome]
) -> None:
    check_error(endless_outcomes[name], ENDLESS[name])


def test_such_a_design_does_not_cost_another_its_table(
    endless_outcomes: Mapping[str, Outcome],
) -> None:
    check_table(endless_outcomes["bystander"], GOOD["lopsided"])


@pytest.mark.parametrize("name", ENDED)
def test_a_design_that_cannot_be_simulated_to_the_end_is_refused(name: str, tmp_path: Path) -> None:
    check_error(characterized({name: ENDED[name]}, tmp_path)[name], ENDED[name])


@pytest.mark.slow
def test_an_unknown_that_hides_from_lint_and_synthesis_is_found_by_simulation(
    tmp_path: Path,
) -> None:
    check_error(characterized({"hidden": HIDDEN}, tmp_path)["hidden"], HIDDEN)


@pytest.mark.parametrize(("text", "floats"), MAY_FLOAT.items())
def test_a_text_that_can_drive_z_is_recognized(text: str, floats: bool) -> None:
    assert may_float(f"module m;\n{text};\nendmodule\n") == floats


@pytest.mark.slow
@needs_icarus
@pytest.mark.parametrize("name", FLOATING)
def test_what_only_icarus_sees_is_refused_and_the_operands_named(
    name: str, floating_outcomes: Mapping[str, Outcome]
) -> None:
    check_error(floating_outcomes[name], FLOATING[name])


def test_a_refused_design_leaves_nothing_in_the_store(
    outcomes: Mapping[str, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = next(iter(outcomes.values())).reference.path.parents[1] / "tables"
    made = {o.reference.name for o in outcomes.values() if o.characterization is not None}
    assert set(stored_names(root)) == made
    assert made == {outcomes[name].reference.name for name in GOOD}
    assert not list(root.glob(".*"))


def test_every_error_is_one_for_the_user(outcomes: Mapping[str, Outcome]) -> None:
    for outcome in outcomes.values():
        assert outcome.error is None or isinstance(outcome.error, RtlgradError)
        assert not outcome.reused
