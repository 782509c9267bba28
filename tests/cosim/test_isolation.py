"""What an outside program or a parser does to us: nothing, and nothing of it stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import VerilogError
from rtlgrad.cosim.programs.process import run
from rtlgrad.cosim.programs.scratch import remove_abandoned, scratch_folder
from rtlgrad.cosim.reading.lexer import KEYWORDS, defined_modules, global_names, tokens
from rtlgrad.cosim.reading.reader import read_in_child
from rtlgrad.cosim.simulation.renaming import renamed

HEAD = "module m(input [3:0] A, input [3:0] B, output [7:0] O);\n"

# A program that tells its number, and has a child that ignores all that can be ignored.
STUBBORN = "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
PARENT = (
    "import sys\nfrom rtlgrad.cosim.programs.process import run\n"
    "run([sys.executable, '-c', sys.argv[1], sys.argv[2]], limit_s=600)\n"
)


def alive(process: int) -> bool:
    try:
        state = (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_program_does_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "numbers"
    program = STUBBORN + (
        "os.fork()\nwith open(sys.argv[1], 'a') as f: f.write(f'{os.getpid()}\\n')\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, program, str(note)])
    while not note.exists() or len(note.read_text().splitlines()) < 2:
        time.sleep(0.01)
    numbers = [int(line) for line in note.read_text().splitlines()]
    assert all(alive(number) for number in numbers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(alive(number) for number in numbers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(number) for number in numbers)


def test_the_end_of_a_program_is_told_as_it_was() -> None:
    def ending(code: str) -> int | None:
        return run([sys.executable, "-c", code], limit_s=60).code

    assert ending("") == 0
    assert ending("raise SystemExit(7)") == 7
    assert ending("import os; os.kill(os.getpid(), 11)") == -signal.SIGSEGV
    assert ending("import sys; sys.exit(sys.stdin.read() != '')") == 0


def test_a_program_cannot_take_all_memory() -> None:
    done = run([sys.executable, "-c", "bytearray(1 << 45)"], limit_s=60)
    assert done.code == 1
    assert "MemoryError" in done.output


def test_scratch_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(
    tmp_path: Path,
) -> None:
    script = (
        "import os, signal, sys, tempfile\ntempfile.tempdir = sys.argv[1]\n"
        "from rtlgrad.cosim.programs.scratch import scratch_folder\n"
        "with scratch_folder('x') as folder:\n"
        "    (folder / 'file').write_text('')\n"
        "    print('ready', flush=True)\n    sys.stdin.read()\n"
    )

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def files() -> int:
        return len(list(tmp_path.rglob("file")))

    with start() as dead, start() as living:
        dead.kill()
        dead.wait()
        assert files() == 2
        remove_abandoned(tmp_path)
        assert files() == 1
        living.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_ends_with_its_block() -> None:
    with scratch_folder("x") as folder:
        (folder / "deep").mkdir()
    assert not folder.exists()


@pytest.mark.parametrize(
    "body",
    [
        "assign O = " + "(" * 200_000 + "A" + ")" * 200_000 + ";",
        "assign O = " + "~" * 500_000 + "A;",
        "localparam K = 2 ** (2 ** 62); wire [K:0] w;",
        "assign O = {99999999999{1'b1}};",
    ],
)
def test_a_text_that_ends_a_parser_ends_nothing_else(body: str) -> None:
    try:
        read_in_child(f"{HEAD}{body}\nendmodule\n", Path("m.v"), top=None, overrides={})
    except VerilogError as error:
        assert "m.v" in str(error)  # noqa: PT017
    # Whatever became of it, the next text is read as ever.
    found = read_in_child(f"{HEAD}endmodule\n", Path("m.v"), top=None, overrides={})
    assert [port.width for port in found.declaration.ports] == [4, 4, 8]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1'hF\"\\/*\n `$_.;x")))
def test_tokens_make_up_the_text(text: str) -> None:
    assert "".join(token for _, token in tokens(text)) == text


def test_global_names_are_those_that_other_files_see() -> None:
    text = (
        "`timescale 1ns/1ps\nmodule one(input a); wire inner; endmodule\n"
        "// module comment\nfunction automatic int two(int x); return x; endfunction\n"
        "package three; class four; endclass endpackage\nprimitive \\fi-ve (o, i); endprimitive\n"
        'interface six; endinterface\nmodule seven; string s = "module eight"; endmodule\n'
    )
    names, imports = global_names(text)
    assert names >= {"one", "two", "three", "four", "fi-ve", "six", "seven"}
    assert not names & {"inner", "comment", "eight", "s", "ns", "timescale"} | KEYWORDS & names
    assert not imports
    assert global_names("import p::*; module m; endmodule")[1]
    assert not global_names("module m; import p::*; endmodule")[1]
    assert defined_modules(text) == ("one", "three", "six", "seven")


def test_a_name_is_changed_where_it_is_a_name_and_nowhere_else() -> None:
    text = (
        "module FA(input b); wire [7:0] FAB = 8'hFA + 8 'h FA; initial $FA(\"FA\"); endmodule // FA"
    )
    (new, names), (other, _) = renamed([text, "module FA; endmodule"])
    assert new == text.replace("module FA", f"module {names['FA']}")
    assert names["FA"] not in other
    assert renamed([text]) == [(text, {})]
    # An ending that a text has already is not taken.
    taken = f"module {names['FA']}; endmodule"
    assert renamed([text, taken])[0][1]["FA"] != names["FA"]
