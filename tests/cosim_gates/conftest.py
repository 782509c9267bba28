"""A small hand-written library, and designs of rtl/ mapped by Yosys in one child process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rtlgrad.cosim.cost import SHIPPED_LIBRARY
from rtlgrad.cosim.design import Design, read_design, references
from rtlgrad.cosim.gates.adders import full_adder, full_adder_commands, full_adder_verilog
from rtlgrad.cosim.gates.liberty import read_library
from rtlgrad.cosim.gates.netlist import read_netlist
from rtlgrad.cosim.interface import Interface, OrderRule, Port, SignRule
from rtlgrad.cosim.synthesis.mapping import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rtlgrad.cosim.gates.library import Library
    from rtlgrad.cosim.gates.netlist import Netlist

ROOT = Path(__file__).parents[2]
RTL = ROOT / "rtl"
DATA = ROOT.parent / "shared" / "data" / "liberty"

MAPPED = ("mul8u_exact", "mul8s_exact", "mul8u_mitchell", "mul7u_trunc5", "mul4u_kulkarni")
WITH_ADDERS = "mul8u_exact+adders"

# 2 V; capacitance in fF, time in ps, so that energies come in units of fF * V^2 = 1 fJ.
SMALL_LIBRARY = textwrap.dedent("""
    library (small) {
      time_unit : "1ps"; voltage_unit : "1V"; leakage_power_unit : "1uW";
      capacitive_load_unit (1, ff); nom_voltage : 2.0;
      lu_table_template (delays) {
        variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
        index_1 ("0, 10"); index_2 ("0, 100");
      }
      power_lut_template (energies) { variable_1 : input_transition_time; index_1 ("0, 100"); }
      cell (INV) {
        area : 1; cell_leakage_power : 0.001;
        pin (A) { direction : input; capacitance : 3; }
        pin (Y) { direction : output; function : "A'";
          internal_power () { related_pin : "A";
            rise_power (energies) { values ("1, 5"); } fall_power (energies) { values ("3, 7"); } }
          timing () { related_pin : "A"; timing_sense : negative_unate;
            cell_rise (delays) { values ("10, 20", "40, 50"); }
            cell_fall (delays) { values ("5, 15", "25, 35"); }
            rise_transition (delays) { values ("2, 2", "12, 12"); }
            fall_transition (delays) { values ("1, 1", "6, 6"); } } }
      }
      cell (AND) {
        area : 2; cell_leakage_power : 0.002;
        pin (A) { direction : input; capacitance : 4;
          internal_power () { when : "!B";
            rise_power (scalar) { values ("0.4"); } fall_power (scalar) { values ("0.8"); } } }
        pin (B) { direction : input; rise_capacitance : 5; fall_capacitance : 7; }
        pin (Y) { direction : output; function : "A B";
          timing () { related_pin : "A B"; timing_sense : positive_unate;
            cell_rise (scalar) { values ("30"); } cell_fall (scalar) { values ("20"); } } }
      }
      cell (HALF) {
        area : 4; leakage_power () { value : 0.001; } leakage_power () { value : 0.003; }
        pin (A) { direction : input; capacitance : 1; }
        pin (B) { direction : input; capacitance : 1; }
        pin (C) { direction : output; function : "A*B"; }
        pin (S) { direction : output; function : "A^B"; }
      }
      cell (BUS) { area : 1; bus (D) { direction : input; } }
      cell (TRI) { area : 1;
        pin (A) { direction : input; capacitance : 1; }
        pin (E) { direction : input; capacitance : 1; }
        pin (Y) { direction : output; function : "A"; three_state : "E'"; } }
      lu_table_template (setups) {
        variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
        index_1 ("0, 50"); index_2 ("0, 10");
      }
      cell (DFF) { area : 9; cell_leakage_power : 0.004;
        ff (IQ, IQN) { clocked_on : "!C"; next_state : "D IQN' + E"; clear : "R'"; }
        pin (D) { direction : input; capacitance : 1;
          timing () { related_pin : "C"; timing_type : setup_falling;
            rise_constraint (setups) { values ("4, 6", "40, 60"); }
            fall_constraint (setups) { values ("2, 3", "20, 30"); } }
          timing () { related_pin : "C"; timing_type : hold_falling;
            rise_constraint (setups) { values ("900, 900", "900, 900"); } } }
        pin (E) { direction : input; capacitance : 1; }
        pin (R) { direction : input; capacitance : 1; }
        pin (C) { direction : input; capacitance : 2; clock : true;
          internal_power () { when : "Q";
            rise_power (scalar) { values ("1"); } fall_power (scalar) { values ("3"); } } }
        pin (Q) { direction : output; function : "IQ";
          internal_power () { related_pin : "C"; power (scalar) { values ("5"); } }
          internal_power () { related_pin : "R"; power (scalar) { values ("700"); } }
          timing () { related_pin : "C"; timing_type : falling_edge;
            cell_rise (scalar) { values ("50"); } cell_fall (scalar) { values ("60"); } }
          timing () { related_pin : "R"; timing_type : clear; timing_sense : positive_unate;
            cell_fall (scalar) { values ("7000"); } } }
        pin (QN) { direction : output; function : "IQN";
          timing () { related_pin : "C"; timing_type : falling_edge;
            cell_rise (scalar) { values ("70"); } cell_fall (scalar) { values ("80"); } } } }
      cell (LATCH) { area : 5; latch (IQ, IQN) { enable : "C"; data_in : "D"; }
        pin (D) { direction : input; capacitance : 1; }
        pin (C) { direction : input; capacitance : 1; }
        pin (Q) { direction : output; function : "IQ"; } }
      cell (TWO) { area : 5; ff (IQ, IQN) { clocked_on : "C D"; next_state : "D"; }
        pin (D) { direction : input; capacitance : 1; }
        pin (C) { direction : input; capacitance : 1; }
        pin (Q) { direction : output; function : "IQ"; } }
      cell (MIXED) { area : 5; ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
        pin (D) { direction : input; capacitance : 1; }
        pin (C) { direction : input; capacitance : 1; }
        pin (Q) { direction : output; function : "IQ D"; } }
      cell (FILL) { area : 1; }
    }
""")

_YOSYS = textwrap.dedent("""
    import json, sys
    from pyosys import libyosys
    for commands in json.load(open(sys.argv[1])):
        design = libyosys.Design()
        for command in commands:
            libyosys.run_pass(command, design)
""")


@dataclass(frozen=True)
class Mapped:
    """A design of rtl/ after mapping: its netlist, and the delay that ABC reports for it."""

    design: Design
    netlist: Netlist
    abc_delay_ps: float


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of a file may share."""
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.lib"
    path.write_text(SMALL_LIBRARY)
    return path


@pytest.fixture
def small(small_file: Path) -> Library:
    return read_library(small_file)


@pytest.fixture
def build(tmp_path: Path, small: Library) -> Callable[..., Netlist]:
    """Make a netlist over the small library from ports and (cell, connections) pairs."""

    def make(
        inputs: dict[str, list[Any]],
        outputs: dict[str, list[Any]],
        cells: list[tuple[str, dict[str, Any]]],
        **assumptions: float,
    ) -> Netlist:
        ports = {name: {"direction": "input", "bits": bits} for name, bits in inputs.items()}
        ports |= {name: {"direction": "output", "bits": bits} for name, bits in outputs.items()}
        instances = {
            f"u{k}": {"type": kind, "connections": {pin: [bit] for pin, bit in wires.items()}}
            for k, (kind, wires) in enumerate(cells)
        }
        path = tmp_path / "netlist.json"
        path.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": instances}}}))
        return read_netlist(path, small, **assumptions)

    return make


def interface(width_a: int, width_b: int, width_out: int) -> Interface:
    """Return the interface of an unsigned design with ports a, b and o."""
    ports = [
        Port(name, width, False, SignRule.UNSIGNED)
        for name, width in (("a", width_a), ("b", width_b), ("o", width_out))
    ]
    return Interface("top", *ports, OrderRule.NAMES, {}, "pyverilog")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RTLGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield read_library(SHIPPED_LIBRARY)


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory, shipped: Library) -> dict[str, Mapped]:
    """Some designs of rtl/, and one of them with full adders, mapped onto the shipped library."""
    folder = tmp_path_factory.mktemp("mapped")
    adder = full_adder(shipped)
    assert adder is not None
    declaration, techmap = full_adder_verilog(adder)
    (folder / "declaration.v").write_text(declaration)
    (folder / "map.v").write_text(techmap)
    designs = {
        reference.name: read_design(reference)
        for path in sorted(RTL.glob("*.v"))
        for reference in references(path)
        if reference.name in MAPPED
    }
    designs[WITH_ADDERS] = designs["mul8u_exact"]
    jobs = [_commands(folder, name, design) for name, design in designs.items()]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-c", _YOSYS, "jobs.json"]
    # Yosys keeps converted libraries in TMPDIR, by path: not those of another run.
    own = os.environ | {"TMPDIR": str(folder)}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120, env=own)
    return {
        name: Mapped(
            design, read_netlist(folder / f"{name}.json", shipped), _abc_delay(folder, name)
        )
        for name, design in designs.items()
    }


def _commands(folder: Path, name: str, design: Design) -> list[str]:
    (folder / f"{name}.sv").write_text(re.sub(r"^`line.*$", "", design.sources.text, flags=re.M))
    chosen = " ".join(f"-chparam {k} {v}" for k, v in design.reference.overrides.items())
    adders = full_adder_commands("declaration.v", "map.v") if name == WITH_ADDERS else []
    script = SCRIPTS[0]
    return [
        f"read_verilog -sv {name}.sv",
        f"hierarchy -check -top {design.interface.module} {chosen}",
        "synth -flatten -noabc",
        *adders,
        f"tee -q -o {name}.txt abc -liberty {SHIPPED_LIBRARY} -script {script}",
        "opt_clean -purge",
        f"write_json {name}.json",
    ]


def _abc_delay(folder: Path, name: str) -> float:
    return float(re.findall(r"Delay =\s*([\d.]+) ps", (folder / f"{name}.txt").read_text())[-1])
