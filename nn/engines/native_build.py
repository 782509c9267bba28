"""Compiles the native engine on first use, into the user's cache.

A built library is keyed by its source, its flags, the compiler's version and the machine, so a
change of any of them makes a new one and an old one is never loaded by mistake. Processes may
build at the same time: each compiles under a name of its own, and the last rename wins with
identical content.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import MissingToolError, ToolFailedError
from ...core.files import cache_folder, sha256_bytes, unwritable

FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
    # Vector types never cross the library's boundary, so how they would be passed is of no account.
    "-Wno-psabi",
)
SOURCE = Path(__file__).with_name("table_conv.cpp")
_TIME_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C++ compiler that answers.

    Attributes:
        command: program and leading arguments, for example ("ccache", "g++").
        version: the first line of its ``--version``.
    """

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """Return the compiler named by ``$CXX``, else ``g++``.

    Raises:
        MissingToolError: there is no such program.
        ToolFailedError: it does not answer ``--version``.
    """
    command = tuple(shlex.split(os.environ.get("CXX", ""))) or ("g++",)
    if shutil.which(command[0]) is None:
        raise MissingToolError(
            "no C++ compiler for the native engine",
            got=f"no program {command[0]!r}",
            expected="a compiler of C++17 with GNU extensions, such as g++ or clang++",
            remedy="install g++ (apt install g++), or name a compiler in the variable CXX",
        )
    answer = _run([*command, "--version"])
    return Compiler(command, answer.splitlines()[0] if answer else "")


def build_library(source: Path = SOURCE) -> Path:
    """Return the shared library made from ``source``, compiling it unless the cache has it.

    Raises:
        MissingToolError: no compiler.
        ToolFailedError: the compiler rejects the source; its message is in the error.
        ConfigError: the cache cannot be written.
    """
    compiler = find_compiler()
    text = source.read_bytes()
    facts = "\n".join([*FLAGS, *compiler.command, compiler.version, platform.machine()])
    key = sha256_bytes(facts.encode() + b"\0" + text)[:24]
    library = cache_folder() / "native" / f"{source.stem}-{key}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{library.stem}.", suffix=".so", dir=library.parent
        )
    except OSError as error:
        raise unwritable(library, error) from error
    os.close(handle)
    scratch = Path(name)
    try:
        _run([*compiler.command, *FLAGS, str(source), "-o", name])
        scratch.chmod(0o755)
        scratch.replace(library)
    except OSError as error:
        raise unwritable(library, error) from error
    finally:
        scratch.unlink(missing_ok=True)
    return library


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolFailedError(
            f"{shlex.join(command[:2])} did not run", got=error, expected="a working compiler"
        ) from error
    if done.returncode != 0:
        raise ToolFailedError(
            f"the C++ compiler failed: {shlex.join(command)}",
            got=f"exit status {done.returncode}\n{(done.stderr or done.stdout).strip()[-4000:]}",
            expected="a compiler of C++17 with GNU extensions",
            remedy="name another compiler in the variable CXX, or use the engine 'numpy'",
        )
    return done.stdout
