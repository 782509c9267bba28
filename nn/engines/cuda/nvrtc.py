"""Compiles kernels for a GPU that need not be there, with NVIDIA's run-time compiler.

For checks and predictions: registers, spills and machine code of each architecture. The engine itself
compiles through CuPy. What is compiled stays in the user's cache, keyed by source, options and compiler. The compiler is the wheel nvidia-cuda-nvrtc (extra ``cuda-check``), or the one
that the dynamic linker finds.
"""

from __future__ import annotations

import ctypes
import re
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import MissingToolError, ToolFailedError
from ....core.files import cache_folder, sha256_bytes, write_atomic
from .launches import COMPILER_OPTIONS, source_of

if TYPE_CHECKING:
    from .launches import Kernel

_USAGE = re.compile(r"Used (\d+) registers")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A kernel's machine code for one architecture.

    Attributes:
        cubin: the object file.
        registers: per thread.
        stack_bytes: of local memory per thread.
        spill_bytes: written to and read from local memory for want of registers.
    """

    cubin: bytes
    registers: int
    stack_bytes: int
    spill_bytes: int


def compile_kernel(kernel: Kernel, architecture: str) -> Compiled:
    """Compile a kernel for an architecture such as "sm_90".

    Raises:
        MissingToolError: NVRTC is not installed.
        ToolFailedError: it rejects the source or the architecture; its message is in the error.
    """
    options = (
        f"--gpu-architecture={architecture}",
        *COMPILER_OPTIONS,
        *kernel.options,
        "--ptxas-options=-v",
    )
    cubin, log = _compile(source_of(kernel), kernel.source, options)
    return _compiled(kernel, cubin, log)


@cache
def _compile(source: str, name: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the object file and what the compiler says; kernels of one source share it."""
    facts = "\n".join((*options, *map(str, _version()), source))
    kept = cache_folder() / "nvrtc" / f"{Path(name).stem}-{sha256_bytes(facts.encode())[:24]}"
    log, cubin = kept.with_suffix(".log"), kept.with_suffix(".cubin")
    if cubin.exists() and log.exists():
        return cubin.read_bytes(), log.read_text()
    made = _compile_anew(source, name, options)
    write_atomic(log, made[1])
    write_atomic(cubin, made[0])
    return made


def _version() -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def _compile_anew(source: str, name: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    library = _library()
    program = ctypes.c_void_p()
    text = source.encode()
    if library.nvrtcCreateProgram(ctypes.byref(program), text, name.encode(), 0, None, None):
        raise ToolFailedError("NVRTC cannot take a program", got=name)
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = library.nvrtcCompileProgram(program, len(options), given)
        log = _text(library, program, "ProgramLog").decode(errors="replace")
        if status:
            raise ToolFailedError(
                f"NVRTC does not compile {name} with {' '.join(options)}",
                got=f"status {status}\n{log.strip()[-4000:]}",
            )
        return _text(library, program, "CUBIN"), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _compiled(kernel: Kernel, cubin: bytes, log: str) -> Compiled:
    """Read what ptxas says about the kernel; a source may hold several, one section each."""
    for section in log.split("Compiling entry function ")[1:]:
        if section.startswith(f"'{kernel.name}'"):
            stack, usage = _STACK.search(section), _USAGE.search(section)
            if stack and usage:
                frame, stores, loads = (int(number) for number in stack.groups())
                return Compiled(cubin, int(usage.group(1)), frame, stores + loads)
    raise ToolFailedError("NVRTC does not say what a kernel uses", got=log[-2000:])


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, content)
    return content.raw


def load_compilers() -> None:
    """Load the compilers that Python's packages brought, so that CuPy finds the one that it wants."""
    for path in _wheels():
        try:
            ctypes.CDLL(str(path))
        except OSError:  # one for another machine; CuPy says what it lacks
            continue


def _wheels() -> list[Path]:
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    return sorted(packages.glob("*/lib/libnvrtc.so.[0-9]*"), reverse=True)


@cache
def _library() -> ctypes.CDLL:
    for name in (*map(str, _wheels()), "libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise MissingToolError(
        "NVIDIA's run-time compiler is not installed",
        expected="libnvrtc 12 or 13",
        remedy="pip install 'rtlgrad[cuda-check]'",
    )
