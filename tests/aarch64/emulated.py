"""The native engine compiled for aarch64 and run by QEMU, in place of this machine's library.

`EmulatedLibrary` has the functions of the compiled library. A call sends the memory that its argument points to
to a process of the emulator (replay.cpp) and writes back what comes. Both machines lay structures out
alike: little-endian, with pointers of 8 bytes.

As a plugin of pytest (``-p emulated``, by scripts/aarch64.py) the module makes every test of the engine
run on it.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rtlgrad.core.files import cache_folder, sha256_bytes
from rtlgrad.nn.engines import native_build, native_library, native_lowrank
from rtlgrad.nn.engines.isa import possible_isas

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
DRIVER = Path(__file__).with_name("replay.cpp")
CALLS = ("table_conv", "mantissa_product", "quantize", "dequantize", "gate")
_WARNINGS = ("-Wall", "-Wextra", "-Werror")


def missing_tools() -> tuple[str, ...]:
    """Return what is needed and not installed."""
    return tuple(tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None)


def build_driver() -> Path:
    """Return the program for aarch64, made unless the cache has it. A warning is an error."""
    folder = native_build.FOLDER
    isas = possible_isas("aarch64")
    sources = [folder / name for name in (*native_build.COMMON, *(isa.source for isa in isas))]
    version = subprocess.run([COMPILER, "--version"], check=True, capture_output=True).stdout
    content = [path.read_bytes() for path in (DRIVER, *sources, *sorted(folder.glob("*.h")))]
    key = sha256_bytes(b"\n".join([version, " ".join(native_build.FLAGS).encode(), *content]))[:24]
    driver = cache_folder() / "native" / f"aarch64-{key}"
    if not driver.exists():
        driver.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=driver.parent) as scratch:
            made = Path(scratch) / "replay"
            command = [COMPILER, *native_build.FLAGS, *_WARNINGS, "-static", "-o", str(made)]
            subprocess.run([*command, str(DRIVER), *map(str, sources)], check=True)
            made.replace(driver)
    return driver


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that a call may reach.

    Attributes:
        start: its first byte's address.
        size: in bytes.
        owner: keeps it from being given back.
    """

    start: int
    size: int
    owner: object


class EmulatedLibrary:
    """The compiled library's functions, by an emulator; one call at a time.

    Attributes:
        _name: as ctypes calls a library's file.
    """

    def __init__(self) -> None:
        self._name = str(build_driver())
        self._blocks: dict[int, Block] = {}
        self._process = subprocess.Popen(
            [EMULATOR, self._name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def rtlgrad_isas_built(self) -> int:
        """Return the bits of the instruction sets: the portable one alone."""
        return 1

    rtlgrad_isas_supported = rtlgrad_isas_built

    def __getattr__(self, name: str) -> Any:
        which = CALLS.index(name.removeprefix("rtlgrad_"))
        return lambda argument: self._call(which, argument._obj)

    def address_of(self, array: NDArray[Any] | None) -> int | None:
        """Stand in for `native_library.address_of`, and take note of what lies there."""
        if array is None:
            return None
        low, high = np.lib.array_utils.byte_bounds(array)
        self._blocks[array.ctypes.data] = Block(low, high - low, array)
        return int(array.ctypes.data)

    def address_of_digits(self, digits: native_lowrank.NativeDigits) -> int:
        """Stand in for `NativeDigits.address`."""
        structure = digits.structure
        address = ctypes.addressof(structure)
        self._blocks[address] = Block(address, ctypes.sizeof(structure), structure)
        return address

    def close(self) -> None:
        """End the emulator."""
        self._process.communicate()

    def _call(self, which: int, argument: ctypes.Structure) -> int:
        start = ctypes.addressof(argument)
        reached = [Block(start, ctypes.sizeof(argument), argument)]
        request = []
        for block in reached:  # grows as pointers are found
            pointers = []
            if isinstance(block.owner, ctypes.Structure):
                for at, address in _pointers(block.owner):
                    target = self._blocks[address]
                    pointers += [at, len(reached), address - target.start]
                    reached.append(target)
            content = ctypes.string_at(block.start, block.size)
            numbers = struct.pack(f"<{1 + len(pointers)}q", len(pointers) // 3, *pointers)
            request.append(struct.pack("<q", block.size) + content + numbers)
        return self._exchange(struct.pack("<2q", which, len(reached)) + b"".join(request), reached)

    def _exchange(self, request: bytes, reached: list[Block]) -> int:
        to, from_ = self._process.stdin, self._process.stdout
        assert to is not None
        assert from_ is not None
        to.write(request)
        to.flush()
        answer = from_.read(8)
        if len(answer) < 8:
            raise RuntimeError(f"the emulated library ended, status {self._process.wait()}")
        for block in reached:
            content = from_.read(block.size)
            written = not isinstance(block.owner, ctypes.Structure)
            if written and content != ctypes.string_at(block.start, block.size):
                ctypes.memmove(block.start, content, block.size)
        return int(struct.unpack("<q", answer)[0])


def _pointers(structure: ctypes.Structure) -> list[tuple[int, int]]:
    """Return the offset and the value of each pointer in a structure that is not null."""
    found = []
    for name, kind in structure._fields_:  # type: ignore[misc]
        if kind is ctypes.c_void_p and getattr(structure, name):
            found.append((getattr(type(structure), name).offset, getattr(structure, name)))
    return found


def install(library: EmulatedLibrary) -> None:
    """Let the whole package call an emulated library from now on."""
    replaced = {
        "library": (native_library.library, lambda: library),
        "address_of": (native_library.address_of, library.address_of),
    }
    for module in [*sys.modules.values()]:
        if getattr(module, "__name__", "").startswith("rtlgrad.nn."):
            for name, (old, new) in replaced.items():
                if vars(module).get(name) is old:
                    setattr(module, name, new)
    native_lowrank.NativeDigits.address = property(library.address_of_digits)  # type: ignore[method-assign, assignment]


def pytest_configure() -> None:
    """Begin, as a plugin."""
    import rtlgrad.nn  # noqa: F401 - so that all modules are there

    install(EmulatedLibrary())
