"""Every table of rtl/ against an independent model, in two simulators."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from reference import MODELS
from rtlgrad.cosim.design import read_design
from rtlgrad.cosim.simulation.lint import LintReport
from rtlgrad.cosim.simulation.simulator import Simulator
from rtlgrad.cosim.simulation.sweep import Swept, sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rtlgrad.core.errors import RtlgradError
    from rtlgrad.cosim.design import DesignReference
    from rtlgrad.lutgen.characterize import Outcome


@pytest.fixture(scope="session")
def icarus_tables(
    rtl_references: list[DesignReference],
) -> Mapping[str, Swept | RtlgradError]:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    ours = [reference for reference in rtl_references if reference.name in MODELS]
    nothing = LintReport(warnings=(), may_float=False)
    designs = [(read_design(reference), nothing) for reference in ours]
    return {design.name: found for design, found in sweep(designs, simulator=Simulator.ICARUS)}


def test_every_model_has_a_design(rtl_references: list[DesignReference]) -> None:
    assert set(MODELS) <= {reference.name for reference in rtl_references}


def test_all_of_rtl_is_characterized(rtl_outcomes: Mapping[str, Outcome]) -> None:
    failed = {name: str(outcome.error) for name, outcome in rtl_outcomes.items() if outcome.error}
    assert failed == {}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_verilator_gives_the_table_of_the_model(
    name: str, rtl_outcomes: Mapping[str, Outcome]
) -> None:
    characterization = rtl_outcomes[name].characterization
    assert characterization is not None
    assert np.array_equal(characterization.table.products, MODELS[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS))
def test_icarus_gives_the_table_of_the_model(
    name: str, icarus_tables: Mapping[str, Swept | RtlgradError]
) -> None:
    found = icarus_tables[name]
    assert isinstance(found, Swept), str(found)
    assert np.array_equal(found.products, MODELS[name]())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_record_of_a_design_is_complete(name: str, rtl_outcomes: Mapping[str, Outcome]) -> None:
    made = rtl_outcomes[name].characterization
    assert made is not None
    assert made.warnings == ()
    assert made.title
    assert made.interface.front_end == "pyverilog"
    assert made.cost.area_um2 is not None
    assert made.cost.area_um2 > 0
    assert made.cost.delay_ps is not None
    assert made.cost.delay_ps > 0
    assert not made.cost.absent
    assert made.table.id == made.id


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("mul8u_trunc8", "mul8u_trunc6"),
        ("mul8u_trunc6", "mul8u_trunc4"),
        ("mul8u_trunc4", "mul8u_exact"),
        ("mul8u_drum3", "mul8u_drum6"),
        ("mul8s_bbm8", "mul8s_bbm4"),
        ("mul8u_perf_j0k3", "mul8u_perf_j0k1"),
    ],
)
def test_leaving_out_more_of_the_circuit_makes_it_smaller(
    smaller: str, larger: str, rtl_outcomes: Mapping[str, Outcome]
) -> None:
    areas = []
    for name in (smaller, larger):
        made = rtl_outcomes[name].characterization
        assert made is not None
        assert made.cost.area_um2 is not None
        areas.append(made.cost.area_um2)
    assert areas[0] < areas[1]
