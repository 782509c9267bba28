"""The mapped netlists of clocked designs, run with the latencies that simulation measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from clocked_designs import GOOD, write
from rtlgrad.cosim.cost import cell_library
from rtlgrad.cosim.design import read_design, references
from rtlgrad.cosim.synthesis.synthesize import conclude, synthesize

if TYPE_CHECKING:
    from pathlib import Path

# One for each manner in which operations can follow each other.
MANNERS = (
    "valid_in_valid_out",
    "clock_unused",
    "named_by_sidecar",
    "start_level_until_done",
    "rests_after_done",
    "reset_for_start",
    "held_free_running",
    "bits_at_different_times",
    "partial_results_shifted_out",
)


@pytest.mark.parametrize("name", MANNERS)
def test_the_netlist_multiplies_in_the_measured_time(tmp_path: Path, name: str) -> None:
    case = GOOD[name]
    design = read_design(*references(write(tmp_path, name, case)))
    found = conclude(synthesize(design, cell_library()), case.latency)
    assert np.array_equal(found.codes, np.outer(np.arange(16), np.arange(16)))
    cost = found.cost
    assert not cost.absent
    assert cost.power_uw is not None
    assert cost.energy_fj is not None
    assert cost.leakage_nw is not None
    # fJ an operation, once in interval_cycles of 1 ns, is uW.
    expected = cost.energy_fj / case.latency.interval_cycles + cost.leakage_nw / 1e3
    assert cost.power_uw == pytest.approx(expected)
