"""The same work on a Dask cluster of two workers, one of which is killed."""

from __future__ import annotations

import importlib.util
import os
import signal
from typing import TYPE_CHECKING

import pytest
from clusters import cluster_of_two, free_port, needs_dask
from rtlgrad.core.errors import ConfigError, MissingToolError, VerilogError
from rtlgrad.cosim.cost import SHIPPED_LIBRARY, cell_library
from rtlgrad.cosim.design import references
from rtlgrad.lutgen.characterize import Outcome, Settings, characterize
from rtlgrad.lutgen.executors import dask_workers
from rtlgrad.lutgen.tasks import at_hand, send_library

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from rtlgrad.cosim.design import DesignReference


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler on loopback with two workers of one thread; its address, and the workers."""
    with cluster_of_two(tmp_path / "cluster") as made:
        yield made


@pytest.fixture
def designs(tmp_path: Path) -> list[DesignReference]:
    """A file that cannot be read, and six multipliers, one of them in two files."""
    folder = tmp_path / "designs"
    folder.mkdir()
    (folder / "broken.v").write_text("module broken(input [3:0] A,\n")
    head = "(input [3:0] A, input [3:0] B, output [7:0] O);"
    for k in range(5):
        (folder / f"m{k}.v").write_text(f"module m{k}{head} assign O = A * B + {k}; endmodule\n")
    (folder / "parts").mkdir()
    (folder / "parts" / "add.v").write_text(
        "module add(input [7:0] x, y, output [7:0] z); assign z = x + y; endmodule\n"
    )
    body = "wire [7:0] p = A * B; add sum(p, 8'd9, O);"
    (folder / "whole.v").write_text(f"module whole{head} {body} endmodule\n")
    (folder / "whole.toml").write_text('files = ["parts/add.v"]\n')
    order = ("broken", "m0", "m1", "m2", "m3", "m4", "whole")
    return [design for name in order for design in references(folder / f"{name}.v")]


@pytest.mark.slow
@needs_dask
def test_a_cluster_that_loses_a_worker_makes_what_this_machine_makes(
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    designs: list[DesignReference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, workers = cluster
    monkeypatch.setattr("rtlgrad.lutgen.executors.CONNECT_LIMIT_S", 60.0)
    with dask_workers(address) as found:
        while found.slots() < 2:  # both have joined
            pass

    def kill_one(outcome: Outcome) -> None:
        if isinstance(outcome.error, VerilogError):  # the first to be settled
            os.kill(workers[0].pid, signal.SIGKILL)

    remote = Settings(tmp_path / "remote", scheduler=address)
    made = characterize(designs, remote, kill_one)
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    here = characterize(designs, Settings(tmp_path / "here"))
    assert [type(outcome.error) for outcome in made] == [VerilogError] + [type(None)] * 6
    assert made[0].error is not None
    assert here[0].error is not None
    assert made[0].error.what == here[0].error.what
    for one, other in zip(made[1:], here[1:], strict=True):
        assert one.characterization is not None
        assert other.characterization is not None
        assert one.characterization.id == other.characterization.id
        assert one.characterization.cost == other.characterization.cost


@needs_dask
def test_a_scheduler_that_does_not_answer_is_named(
    designs: list[DesignReference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtlgrad.lutgen.executors.CONNECT_LIMIT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match=f"no Dask scheduler answers at {address}"):
        characterize(designs, Settings(tmp_path, scheduler=address))


def test_without_dask_the_extra_is_named(
    designs: list[DesignReference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", hide_distributed(importlib.util.find_spec))
    with pytest.raises(MissingToolError, match="distributed") as caught:
        characterize(designs, Settings(tmp_path, scheduler="tcp://127.0.0.1:1"))
    assert "rtlgrad[dask]" in str(caught.value)


def hide_distributed(find_spec: object) -> object:
    def hiding(name: str, *rest: object) -> object:
        return None if name == "distributed" else find_spec(name, *rest)  # type: ignore[operator]

    return hiding


def test_a_library_that_a_worker_does_not_have_arrives_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "mine.lib"
    own.write_bytes(SHIPPED_LIBRARY.read_bytes() + b"/* mine */\n")
    library = cell_library(own)
    content = own.read_bytes()
    sent = send_library(library)
    own.unlink()
    there = at_hand(sent)
    assert there.path != own
    assert there.path.read_bytes() == content
    assert (there.name, there.sha256) == (library.name, library.sha256)
