"""The machine code of a kernel, as NVIDIA's disassembler lists it: instructions and loops."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import MissingToolError, ToolFailedError
from .nvrtc import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .launches import Kernel

_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)(.*)")
_LABEL = re.compile(r"^(\.L_\w+):")
_FUNCTION = re.compile(r"^\.text\.(\w+):")
_TIME_LIMIT_S = 120


@dataclass(frozen=True, eq=False)
class MachineCode:
    """A compiled kernel.

    Attributes:
        registers: per thread.
        names: of its instructions, in order.
        targets: for each, the place of the instruction it jumps to, or None.
    """

    registers: int
    names: tuple[str, ...]
    targets: tuple[int | None, ...]

    def loops(self) -> Iterator[Counter[str]]:
        """Yield the instructions of each loop, those of loops within it included."""
        for end, target in enumerate(self.targets):
            if target is not None and target <= end:
                yield Counter(self.names[target : end + 1])


@cache
def machine_code(kernel: Kernel, architecture: str) -> MachineCode:
    """Compile and disassemble a kernel for an architecture such as "sm_90".

    Raises:
        MissingToolError: NVRTC or nvdisasm is not installed.
        ToolFailedError: one of them fails.
    """
    code = compile_kernel(kernel, architecture)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.cubin)
        file.flush()
        done = subprocess.run(
            [str(find_disassembler()), "-c", file.name],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIME_LIMIT_S,
        )
    if done.returncode:
        raise ToolFailedError("nvdisasm failed", got=done.stderr.strip()[-2000:])
    return _read(done.stdout, kernel.name, code.registers)


def find_disassembler() -> Path:
    """Return nvdisasm of the wheel nvidia-cuda-nvdisasm.

    Raises:
        MissingToolError: it is not installed.
    """
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    found = sorted(packages.glob("*/bin/nvdisasm"), reverse=True)
    if not found:
        raise MissingToolError(
            "nvdisasm is not installed", remedy="pip install 'rtlgrad[cuda-check]'"
        )
    return found[0]


def _read(listing: str, kernel: str, registers: int) -> MachineCode:
    """Read a kernel's part of a listing; an object file may hold several kernels."""
    labels: dict[str, int] = {}
    code: list[tuple[str, str]] = []
    function = None
    for line in listing.splitlines():
        if begin := _FUNCTION.match(line):
            function = begin.group(1)
        elif function != kernel:
            continue
        elif label := _LABEL.match(line):
            labels[label.group(1)] = len(code)
        elif found := _INSTRUCTION.match(line):
            # On sm_75 a load that does not wait for others has a further .U.
            code.append((re.sub(r"^LDS\.U(?=\.|$)", "LDS", found.group(1)), found.group(2)))
    if not code:
        raise ToolFailedError("a listing without the kernel", got=kernel)
    jumps = (re.search(r"\.L_\w+", rest) if name.startswith("BRA") else None for name, rest in code)
    return MachineCode(
        registers,
        tuple(name for name, _ in code),
        tuple(labels.get(jump.group()) if jump else None for jump in jumps),
    )
