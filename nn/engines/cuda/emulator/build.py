"""Compiles a kernel for the emulator, into the user's cache.

A built library is keyed by the kernel's source with all that it includes, the emulator's header, the
flags, the compiler's version and the machine, like the native engine's (native_build.py).
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .....core.errors import ToolFailedError
from .....core.files import cache_folder, sha256_bytes, unwritable
from ...native_build import find_compiler
from ..launches import SOURCES, source_of

if TYPE_CHECKING:
    from ..launches import Kernel

HEADER = Path(__file__).with_name("host.h")
FLAGS = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    # A product and a sum are two roundings where the source says so, as under --fmad=false.
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fsanitize=bounds,alignment",
    "-fsanitize-undefined-trap-on-error",
    "-Wno-unknown-pragmas",
)
_TIME_LIMIT_S = 300


def build_kernel(kernel: Kernel, sources: Path = SOURCES) -> Path:
    """Return the kernel's library, compiling it unless the cache has it.

    Args:
        kernel: which one.
        sources: the folder that its source and what it includes are read from.

    Raises:
        MissingToolError: no compiler.
        ToolFailedError: the compiler rejects the source; its message is in the error.
        ConfigError: the cache cannot be written.
    """
    compiler = find_compiler()
    text = source_of(kernel, sources)
    facts = [*FLAGS, *kernel.options, *compiler.command, compiler.version, platform.machine()]
    content = "\n".join([*facts, *_headers(), text])
    key = sha256_bytes(content.encode())[:24]
    library = cache_folder() / "emulator" / f"{kernel.name}-{key}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as scratch:
            source = Path(scratch) / kernel.source
            source.write_text(text)
            made = Path(scratch) / "library.so"
            _compile([*compiler.command, *FLAGS, *kernel.options], source, made)
            made.chmod(0o755)
            made.replace(library)
    except OSError as error:
        raise unwritable(library, error) from error
    return library


def _headers() -> list[str]:
    return [path.read_text() for path in sorted(HEADER.parent.glob("*.h"))]


def _compile(command: list[str], source: Path, library: Path) -> None:
    whole = [*command, "-include", str(HEADER), "-x", "c++", str(source), "-o", str(library)]
    try:
        done = subprocess.run(
            whole, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailedError("the C++ compiler did not end", got=error) from error
    if done.returncode != 0:
        raise ToolFailedError(
            f"the C++ compiler rejects {source.name}",
            got=done.stderr.strip()[-4000:],
            expected="a compiler of C++17 with GNU extensions",
        )
