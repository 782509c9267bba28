"""Builds and runs a cocotb model, by Verilator or Icarus, within a time limit."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ToolFailedError
from ..programs.process import Completed, run
from ..programs.tools import (
    find_verilator,
    require_compiler,
    require_libpython,
    require_package,
    require_program,
)
from .simulator_process import STEP_FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Simulator(StrEnum):
    """The simulators that the sweep runs in."""

    VERILATOR = "verilator"
    ICARUS = "icarus"


@dataclass(frozen=True, slots=True)
class Model:
    """A compiled simulation.

    Attributes:
        simulator: what compiled it.
        folder: where it was built.
        top: name of its top module.
    """

    simulator: Simulator
    folder: Path
    top: str


def require_simulator(simulator: Simulator) -> None:
    """Check that all that a simulation needs is installed.

    Raises:
        MissingToolError: something is not; the message says what to install.
    """
    require_package("cocotb")
    require_libpython()
    if simulator is Simulator.ICARUS:
        require_program("iverilog", apt="iverilog", why="as the second simulator")
    else:
        find_verilator()
        require_compiler()
        require_program("make", apt="make", why="to compile simulation models")
        require_program("perl", apt="perl", why="by Verilator")


def build(
    simulator: Simulator,
    sources: Sequence[Path],
    top: str,
    folder: Path,
    *,
    jobs: int,
    limit_s: float,
) -> tuple[Model, Completed]:
    """Compile sources into a model.

    Args:
        simulator: which one.
        sources: Verilog files.
        top: name of the top module.
        folder: where to build; must exist.
        jobs: compiler processes at a time.
        limit_s: seconds of wall time.

    Returns:
        The model and how the build ended; the model can be run only if that is ``ok``.
    """
    arguments = {
        "sources": [str(source) for source in sources],
        "hdl_toplevel": top,
        "build_dir": str(folder / "model"),
        "always": True,
        "build_args": _VERILATOR_ARGUMENTS if simulator is Simulator.VERILATOR else [],
    }
    environment = _environment(simulator)
    # -j by way of MAKEFLAGS, since cocotb calls make itself. The precompiled header that
    # Verilator's makefile includes is not found when a model is split over several files;
    # a plain -include of the header is.
    # Verilator's makefile runs `python`, which Debian does not have outside of an environment.
    interpreter = Path(sys.executable)
    environment["PATH"] = os.pathsep.join([str(interpreter.parent), environment.get("PATH", "")])
    flags = ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1", f"PYTHON3={interpreter.name}"]
    if shutil.which("ccache"):
        flags.append("OBJCACHE=ccache")
    environment["MAKEFLAGS"] = f"-j{jobs} " + " ".join(flags)
    done = _step(simulator, "build", arguments, folder, environment, limit_s)
    return Model(simulator, folder, top), done


def simulate(
    model: Model,
    test_module: str,
    *,
    name: str,
    plusargs: Sequence[str],
    variables: Mapping[str, str],
    limit_s: float,
) -> Completed:
    """Run a cocotb test module in a model.

    Args:
        model: a model that was built well.
        test_module: importable name of the module with the tests.
        name: name of this run; its files carry it.
        plusargs: arguments for the simulation.
        variables: environment variables for the test module.
        limit_s: seconds of wall time.
    """
    arguments = {
        "hdl_toplevel": model.top,
        "hdl_toplevel_lang": "verilog",
        "test_module": test_module,
        "build_dir": str(model.folder / "model"),
        "test_dir": str(model.folder),
        "results_xml": str(model.folder / f"{name}.xml"),
        "plusargs": list(plusargs),
        "extra_env": dict(variables),
    }
    environment = _environment(model.simulator)
    return _step(model.simulator, "test", arguments, model.folder, environment, limit_s, name)


_VERILATOR_ARGUMENTS = [
    "--timing",
    "-CFLAGS",
    "-std=c++20",
    "-Wno-fatal",
    # A module defined twice would be replaced without a word.
    "-Werror-MODDUP",
    # Up to 5.050 this pass drops what a loop assigns if the loop also waits, or calls a function
    # that stays one (https://github.com/verilator/verilator/issues/7921).
    "-fno-life",
    # Every unknown gets a value of its own at run time, so that two runs can tell an output
    # that depends on one.
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
    # cocotb's runner makes every signal public, which bloats the model; the lanes mark theirs.
    "--no-public-flat-rw",
]


def _environment(simulator: Simulator) -> dict[str, str]:
    base = find_verilator().environment() if simulator is Simulator.VERILATOR else dict(os.environ)
    # The child must not take itself for a part of a test run, nor draw on the user's settings.
    dropped = ("PYTEST_CURRENT_TEST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "WAVES", "GUI")
    return {key: value for key, value in base.items() if key not in dropped}


def _step(
    simulator: Simulator,
    step: str,
    arguments: Mapping[str, object],
    folder: Path,
    environment: Mapping[str, str],
    limit_s: float,
    name: str = "build",
) -> Completed:
    job = folder / f"{name}.json"
    job.write_text(json.dumps({"simulator": simulator.value, "step": step, "arguments": arguments}))
    command: list[str | Path] = [
        Path(sys.executable),
        "-m",
        "rtlgrad.cosim.simulation.simulator_process",
        job,
    ]
    done = run(command, limit_s=limit_s, cwd=folder, env=environment)
    if done.code not in (0, None, STEP_FAILED):
        raise ToolFailedError(
            f"cocotb's runner for {simulator} failed while doing its {step} step",
            got=done.output.strip()[-600:],
            remedy="run `rtlgrad doctor`; if that finds nothing, report this",
        )
    return done
