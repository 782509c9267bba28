from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtlgrad.core import files
from rtlgrad.core.errors import ConfigError
from rtlgrad.core.files import (
    cache_folder,
    canonical_json,
    readable_json,
    replace_folder,
    sha256_bytes,
    sha256_file,
    tidy_folder,
    write_atomic,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")}


def test_hashes_are_the_published_sha256_of_abc(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "abc") == expected


@given(PLAIN)
def test_json_reads_back_and_canonical_text_does_not_depend_on_order(value: object) -> None:
    assert json.loads(readable_json(value)) == json.loads(canonical_json(value)) == value
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_nan_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_write_makes_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", "é")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é".encode()
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_write_that_fails_at_its_end_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, "old")

    def broken(_self: Path, _target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(ConfigError, match=r"record\.json") as caught:
        write_atomic(path, "new")
    assert caught.value.got == "No space left on device"
    assert contents(tmp_path) == {"record.json": "old"}


def test_a_place_below_a_regular_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: write_atomic(tmp_path / "file" / "x", ""),
        lambda: replace_folder(tmp_path / "file" / "x").__enter__(),
    ):
        with pytest.raises(ConfigError, match="cannot write") as caught:
            attempt()
        assert "--out" in str(caught.value.remedy)


@pytest.mark.parametrize("before", [None, "old"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, before: str | None) -> None:
    target = tmp_path / "design"
    if before is not None:
        target.mkdir()
        (target / "stale.txt").write_text(before)
    with replace_folder(target) as scratch:
        (scratch / "new.txt").write_text("new")
        assert not (target / "new.txt").exists()
    assert contents(tmp_path) == {"design/new.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["design"]


class Interruption(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


@pytest.mark.parametrize("kind", [ValueError, Interruption])
def test_an_exception_in_the_middle_keeps_the_old_folder(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    target = tmp_path / "design"
    target.mkdir()
    (target / "a.txt").write_text("old")

    def write_half() -> None:
        with replace_folder(target) as scratch:
            (scratch / "a.txt").write_text("new")
            raise kind

    with pytest.raises(kind):
        write_half()
    assert contents(tmp_path) == {"design/a.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["design"]


def test_a_failure_between_the_two_renames_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "design"
    target.mkdir()
    (target / "a.txt").write_text("old")
    rename = Path.rename

    def second_fails(self: Path, where: Path) -> Path:
        if ".new-" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, where)

    monkeypatch.setattr(files, "_exchange", lambda _one, _other: False)
    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(ConfigError, match="design"), replace_folder(target) as scratch:
        (scratch / "a.txt").write_text("new")
    assert contents(tmp_path) == {"design/a.txt": "old"}


def killed_within(target: Path, when: str) -> None:
    """Replace a folder in a process that is killed at the call of a function of the system."""
    script = (
        "import os, signal, sys; from pathlib import Path; from rtlgrad.core import files\n"
        "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{when}\n"
        "with files.replace_folder(Path(sys.argv[1])) as scratch:\n"
        "    (scratch / 'a.txt').write_text('new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "when",
    [
        "files._put_in_place = die",
        "files._exchange = die",
        "shutil = files.shutil; shutil.rmtree = die",
        # Between the two renames, on a system that cannot exchange.
        (
            "files._exchange = lambda *_: False\nrename = Path.rename\n"
            "Path.rename = lambda p, q: die() if '.new-' in p.name else rename(p, q)"
        ),
    ],
)
def test_a_kill_leaves_old_or_new_and_the_next_one_tidies_up(tmp_path: Path, when: str) -> None:
    target = tmp_path / "design"
    target.mkdir()
    (target / "a.txt").write_text("old")
    killed_within(target, when)
    tidy_folder(tmp_path)
    assert contents(tmp_path) in ({"design/a.txt": "old"}, {"design/a.txt": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["design"]


def test_writers_of_one_parent_take_turns(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from rtlgrad.core.files import replace_folder\n"
        "for i in range(60):\n"
        "    with replace_folder(Path(sys.argv[1])) as scratch:\n"
        "        for name in 'ab':\n"
        "            (scratch / name).write_text(f'{sys.argv[2]} {i}')\n"
    )
    target = tmp_path / "design"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(target), who]) for who in ("x", "y")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert (target / "a").read_text() == (target / "b").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["design"]


def test_the_cache_goes_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTLGRAD_CACHE", "/here")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache_folder() == Path("/here")
    monkeypatch.delenv("RTLGRAD_CACHE")
    assert cache_folder() == Path("/there/rtlgrad")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "rtlgrad"
