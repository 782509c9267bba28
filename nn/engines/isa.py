"""Instruction sets that the native engine has kernels for, and which one it takes."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import EngineError
from ...core.names import pick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VARIABLE = "RTLGRAD_ISA"
"""The environment variable that names the instruction set to use; unset or empty: the best."""

_X86_64 = frozenset({"x86_64", "amd64"})


@dataclass(frozen=True, slots=True)
class Isa:
    """One instruction set.

    Attributes:
        name: what `VARIABLE` calls it.
        index: its bit and number in the library's interface (table_conv.cpp).
        source: the file of its kernels.
        flags: what the compiler needs to be told.
        macro: defined where the library contains it; None for what it always contains.
        machines: the kinds of machine that may have it; empty for all.
        needs: what a CPU must have.
    """

    name: str
    index: int
    source: str
    flags: tuple[str, ...]
    macro: str | None
    machines: frozenset[str]
    needs: str

    def may_run_on(self, machine: str) -> bool:
        """Say whether a kind of machine, as `platform.machine` names it, may have it."""
        return not self.machines or machine.lower() in self.machines


_VBMI_FLAGS = ("f", "bw", "vl", "dq", "vbmi", "vnni")
ISAS: Mapping[str, Isa] = {
    isa.name: isa
    for isa in (
        Isa("portable", 0, "kernels_portable.cpp", (), None, frozenset(), "nothing special"),
        Isa("avx2", 1, "kernels_avx2.cpp", ("-mavx2",), "RTLGRAD_HAS_AVX2", _X86_64, "AVX2"),
        Isa(
            *("vbmi", 2, "kernels_vbmi.cpp"),
            tuple(f"-mavx512{part}" for part in _VBMI_FLAGS),
            *("RTLGRAD_HAS_VBMI", _X86_64, "AVX-512 F, BW, VL, DQ, VBMI and VNNI"),
        ),
    )
}
"""Every instruction set by name, the slowest first."""


def possible_isas(machine: str | None = None) -> tuple[Isa, ...]:
    """Return the instruction sets that a kind of machine (None: this one) may have."""
    kind = platform.machine() if machine is None else machine
    return tuple(isa for isa in ISAS.values() if isa.may_run_on(kind))


def choose_isa(built: int, supported: int) -> Isa:
    """Return the instruction set to use.

    Args:
        built: bit i set if the library holds kernels for number i.
        supported: bit i set if the CPU runs number i.

    Raises:
        UnknownNameError: `VARIABLE` names none.
        EngineError: `VARIABLE` names one that the CPU or the library lacks.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return max(_among(built & supported), key=lambda isa: isa.index)
    isa = pick(ISAS, wanted, kind=f"instruction set in {VARIABLE}")
    if not supported >> isa.index & 1:
        raise EngineError(
            f"{VARIABLE}={wanted}, but this CPU does not run it",
            got=f"a CPU that runs {_names(_among(supported))}",
            expected=isa.needs,
            remedy=f"unset {VARIABLE}, or name one that the CPU runs",
        )
    if not built >> isa.index & 1:
        raise EngineError(
            f"{VARIABLE}={wanted}, but the compiled library lacks it",
            got=f"a library with {_names(_among(built))}: the compiler refused {' '.join(isa.flags)}",
            remedy="name a newer compiler in the variable CXX",
        )
    return isa


def _among(bits: int) -> list[Isa]:
    return [isa for isa in ISAS.values() if bits >> isa.index & 1]


def _names(isas: Iterable[Isa]) -> str:
    return ", ".join(isa.name for isa in isas)
