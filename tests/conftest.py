"""What several test folders share: the designs of rtl/ characterized once, and small designs."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rtlgrad.cosim.design import DesignReference
    from rtlgrad.lutgen.characterize import Outcome

RTL = Path(__file__).parents[1] / "rtl"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests to CI and to who asks for them: everyday runs are to take minutes."""
    if config.getoption("--slow") or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="slow: make test-all, or pytest --slow; CI runs it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


# Routes are chosen by the shipped figures, whatever this machine is busy with.
os.environ.setdefault("RTLGRAD_CALIBRATE", "0")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of one test run have in common."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each worker a folder of its own below the common one.
    return base.parent if base.name.startswith("popen-") else base


@pytest.fixture(scope="session")
def rtl_references() -> list[DesignReference]:
    """Every design of rtl/."""
    from rtlgrad.cosim.design import references, verilog_files

    return [reference for file in verilog_files(RTL) for reference in references(file)]


@pytest.fixture(scope="session")
def rtl_outcomes(
    shared_folder: Path, rtl_references: list[DesignReference]
) -> Mapping[str, Outcome]:
    """Every design of rtl/ characterized from nothing, by name."""
    from rtlgrad.lutgen.characterize import Settings, characterize

    # The first worker does the work, the others find it in the store.
    with (shared_folder / "rtl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcomes = characterize(rtl_references, Settings(shared_folder / "rtl-tables"))
    return {outcome.reference.name: outcome for outcome in outcomes}


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a design and perhaps its sidecar into the test's folder; return the Verilog file."""

    def write(text: str | bytes, name: str = "design.v", sidecar: str | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if sidecar is not None:
            path.with_suffix(".toml").write_text(sidecar)
        return path

    return write


@pytest.fixture
def fresh_tools() -> Iterator[None]:
    """Forget which tools were found, before and after a test that moves them."""
    from rtlgrad.cosim.programs.tools import find_verilator, table_tool_versions

    def forget() -> None:
        find_verilator.cache_clear()
        table_tool_versions.cache_clear()

    forget()
    yield
    forget()
