"""The command killed at random moments: what was stored is whole, and nothing else is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rtlgrad.cosim.design import references
from rtlgrad.cosim.programs.scratch import remove_abandoned
from rtlgrad.lutgen.characterize import Settings, characterize
from rtlgrad.lutgen.store import load, stored_names

if TYPE_CHECKING:
    from rtlgrad.cosim.design import DesignReference

KILLS = 3
"""With an endless simulation among the designs, and as often without it."""
HEAD = "(input [3:0] A, input [3:0] B, output [7:0] O);"
ENDLESS = """module endless(input [3:0] A, input [3:0] B, output reg [7:0] O);
always @* begin O = A * B; while (A == 4'd5 && B == 4'd5) O = O + 1; end endmodule
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six designs: four multipliers, one that is refused, one whose simulation never ends."""
    for k in range(4):
        text = f"module m{k}{HEAD} assign O = A * B + {k}; endmodule\n"
        (tmp_path / f"m{k}.v").write_text(text)
    (tmp_path / "broken.v").write_text("module broken(input [3:0] A,\n")
    (tmp_path / "endless.v").write_text(ENDLESS)
    return tmp_path


def designs(folder: Path) -> list[DesignReference]:
    return [design for path in sorted(folder.glob("*.v")) for design in references(path)]


def command(folder: Path) -> subprocess.Popen[bytes]:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    arguments = ["lut", *map(str, sorted(folder.glob("*.v")))]
    options = ["--out", str(folder / "killed"), "--jobs", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "rtlgrad.cli.main", *arguments, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    )


def descendants_in(scratch: Path) -> list[str]:
    """Return the processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if where.is_relative_to(scratch):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def killed(folder: Path, after_s: float) -> None:
    """Start the command, and kill it if it has not ended by then; check what it leaves."""
    store, scratch = folder / "killed", folder / "scratch"
    before = set(stored_names(store))
    running = command(folder)
    try:
        running.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.kill(running.pid, signal.SIGKILL)
    running.wait()
    kept = stored_names(store)
    for name in kept:
        load(store / name)  # whole, or this raises
    assert before <= set(kept), "a stored design was lost"
    deadline = time.monotonic() + 10
    while (left := descendants_in(scratch)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, "outlived the command that was killed"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261122])
def test_kills_lose_nothing_and_leave_nothing(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    scratch, store = folder / "scratch", folder / "killed"
    for _ in range(KILLS):
        killed(folder, rng.uniform(0.5, 8.0))
    (folder / "endless.v").unlink()
    for _ in range(KILLS):
        killed(folder, rng.uniform(0.5, 8.0))
    assert command(folder).wait() == 1  # one design is refused
    calm = characterize(designs(folder), Settings(folder / "calm"))
    good = sorted(outcome.reference.name for outcome in calm if outcome.error is None)
    assert good == ["m0", "m1", "m2", "m3"]
    assert sorted(path.name for path in store.iterdir()) == good
    for name in good:
        assert load(store / name).id == load(folder / "calm" / name).id
    remove_abandoned(scratch)
    assert [path.name for path in scratch.iterdir() if path.name.startswith("rtlgrad-")] == []


@pytest.mark.slow
def test_two_commands_on_one_store_do_not_disturb_each_other(folder: Path) -> None:
    for name in ("endless", "broken", "m3"):
        (folder / f"{name}.v").unlink()
    both = [command(folder), command(folder)]
    assert [one.wait() for one in both] == [0, 0]
    store = folder / "killed"
    assert sorted(path.name for path in store.iterdir()) == ["m0", "m1", "m2"]
    for design in designs(folder):
        load(store / design.name)
