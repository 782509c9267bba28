from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rtlgrad.cosim.programs import process
from rtlgrad.cosim.programs.process import kill_all, run, worker_pool

PYTHON = Path(sys.executable)


def alive(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_both_streams_are_read_in_order() -> None:
    code = (
        "import os; os.write(1, b'one '); os.write(2, b'two '); os.write(1, b'\\xff'); os._exit(3)"
    )
    done = run([PYTHON, "-c", code], limit_s=60)
    assert (done.code, done.output) == (3, "one two \ufffd")
    assert not done.ok
    assert not done.timed_out


def test_no_input_is_waited_for() -> None:
    assert run(["cat"], limit_s=60).ok


def test_the_time_limit_kills_what_the_program_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    started = time.monotonic()
    done = run(["sh", "-c", f"echo before; sleep 600 & echo $! > '{note}'; wait"], limit_s=0.5)
    assert done.timed_out
    assert done.code is None
    assert done.output == "before\n"
    assert time.monotonic() - started < 20
    assert gone(wait_for(note))


def test_a_program_that_closes_its_streams_is_still_limited() -> None:
    assert run(["sh", "-c", "exec >&- 2>&-; sleep 600"], limit_s=0.3).timed_out


def test_a_program_that_prints_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_OUTPUT_BYTES", 1 << 20)
    done = run(["sh", "-c", "while :; do echo y; done"], limit_s=600)
    assert done.timed_out
    assert 1 << 20 < len(done.output) < 1 << 21


def test_kill_all_ends_what_another_thread_waits_for(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    ended = []
    command = ["sh", "-c", f"echo $$ > '{note}'; sleep 600"]
    thread = threading.Thread(target=lambda: ended.append(run(command, limit_s=600)))
    thread.start()
    pid = wait_for(note)
    kill_all()
    thread.join(20)
    assert ended[0].code == -9
    assert gone(pid)


class Interruption(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


def test_an_interruption_kills_what_runs_and_drops_what_waits(tmp_path: Path) -> None:
    def interrupted() -> None:
        with worker_pool(1) as pool:
            for index in range(3):
                command = ["sh", "-c", f"echo $$ > '{tmp_path}/{index}'; sleep 600"]
                pool.submit(run, command, limit_s=600)
            wait_for(tmp_path / "0")
            raise Interruption

    started = time.monotonic()
    with pytest.raises(Interruption):
        interrupted()
    assert time.monotonic() - started < 30
    assert gone(wait_for(tmp_path / "0"))
    assert os.listdir(tmp_path) == ["0"]  # noqa: PTH208


def test_an_interruption_kills_what_a_thread_was_about_to_start() -> None:
    about_to_start = threading.Event()

    def start_late() -> None:
        about_to_start.set()
        time.sleep(0.5)
        run(["sh", "-c", "sleep 600"], limit_s=600)

    def interrupted() -> None:
        with worker_pool(1) as pool:
            pool.submit(start_late)
            about_to_start.wait(20)
            raise Interruption

    started = time.monotonic()
    with pytest.raises(Interruption):
        interrupted()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("status", [0, 1, 127, 201, 255])
def test_a_program_s_own_status_is_its_own(status: int) -> None:
    assert run(["sh", "-c", f"exit {status}"], limit_s=60).code == status


def test_a_signal_is_told_from_a_status() -> None:
    assert run(["sh", "-c", "kill -SEGV $$"], limit_s=60).code == -signal.SIGSEGV
