"""Compiles the native engine on first use, into the user's cache.

One source per instruction set is compiled with that set's flags, so that the library serves every
CPU of its kind; which kernels run is decided at run time (`isa.choose_isa`).

A built library is keyed by its sources, its flags, the compiler's version and the machine, so a
change of any of them makes a new one and an old one is never loaded by mistake. Processes may
build at the same time: each compiles in a folder of its own, and the last rename wins with
identical content.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import MissingToolError, ToolFailedError
from ...core.files import cache_folder, sha256_bytes, unwritable
from .isa import Isa, possible_isas

FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
    # A product is rounded before it is added, as NumPy and torch do.
    "-ffp-contract=off",
    # No exception flag is looked at; with this comparisons of floats become vectors.
    "-fno-trapping-math",
    # Vector types never cross the library's boundary, so how they would be passed is of no account.
    "-Wno-psabi",
)
FOLDER = Path(__file__).parent
COMMON = (
    *("table_conv.cpp", "table_pack.cpp", "table_store.cpp"),
    *("table_routes.cpp", "table_planes.cpp"),
    *("mantissa_product.cpp", "mantissa_pack.cpp", "mantissa_steps.cpp", "mantissa_store.cpp"),
    *("lowrank_route.cpp", "parallel.cpp", "quantize.cpp"),
)
HEADERS = (
    *("kernels.h", "kernels_common.h", "kernels_layer.h", "kernels_mantissa.h"),
    *("planes_vbmi.h", "mantissa_vbmi.h", "order64_vbmi.h"),
    *("lowrank.h", "lowrank_kernels.h", "lowrank_kernels_avx2.h", "lowrank_kernels_vbmi.h"),
    *("table_conv.h", "table_routes.h", "mantissa.h", "mantissa_work.h", "numbers.h", "parallel.h"),
)
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


def build_library() -> Path:
    """Return the shared library of the native engine, compiling it unless the cache has it.

    It holds the kernels of every instruction set that this kind of machine may have and the
    compiler knows; which of them run is decided when they are called.

    Raises:
        MissingToolError: no compiler.
        ToolFailedError: the compiler rejects a source; its message is in the error.
        ConfigError: the cache cannot be written.
    """
    compiler = find_compiler()
    isas = possible_isas()
    library = cache_folder() / "native" / f"table_conv-{_key(compiler, isas)}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as scratch:
            made = _compile(compiler, isas, Path(scratch))
            made.chmod(0o755)
            made.replace(library)
    except OSError as error:
        raise unwritable(library, error) from error
    return library


def _key(compiler: Compiler, isas: tuple[Isa, ...]) -> str:
    sources = [*COMMON, *HEADERS, *(isa.source for isa in isas)]
    facts = [*FLAGS, *compiler.command, compiler.version, platform.machine()]
    for isa in isas:
        facts += [isa.name, *isa.flags]
    content = [sha256_bytes((FOLDER / name).read_bytes()) for name in sources]
    return sha256_bytes("\n".join([*facts, *content]).encode())[:24]


def _compile(compiler: Compiler, isas: tuple[Isa, ...], scratch: Path) -> Path:
    known = [isa for isa in isas if _knows(compiler, isa)]
    macros = tuple(f"-D{isa.macro}" for isa in known if isa.macro is not None)
    units = [(name, macros) for name in COMMON]
    units += [(isa.source, (*macros, *isa.flags)) for isa in known]

    def compile_one(unit: tuple[str, tuple[str, ...]]) -> str:
        name, more = unit
        target = str(scratch / f"{name}.o")
        _run([*compiler.command, *FLAGS, *more, "-c", str(FOLDER / name), "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compile_one, units))
    library = scratch / "library.so"
    _run([*compiler.command, *FLAGS, "-shared", *objects, "-o", str(library)])
    return library


def _knows(compiler: Compiler, isa: Isa) -> bool:
    """Say whether the compiler takes the flags of an instruction set; none are always known."""
    if not isa.flags:
        return True
    command = [*compiler.command, *isa.flags, "-fsyntax-only", "-x", "c++", os.devnull]
    try:
        _run(command)
    except ToolFailedError:
        return False
    return True


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
