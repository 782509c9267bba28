"""Finds the circuits of a checkout: Verilog files that have a C model of their name beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ..exchange.c_prototype import scheme
from ..exchange.source_text import without_comments
from .published import Published, merged, read_header

if TYPE_CHECKING:
    from pathlib import Path

_MAPPED = "_pdk45"
"""End of the stem of a netlist of foundry cells, which is another form of the same circuit."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """One circuit of a checkout.

    Attributes:
        name: the files' stem, the top module and the C function.
        verilog: its Verilog file; the first, if several folders hold the same circuit.
        model: its C file; None if there is none.
        published: the figures in the headers.
        remarks: in what its files contradict each other.
    """

    name: str
    verilog: Path
    model: Path | None
    published: Published
    remarks: tuple[str, ...] = ()


def find_circuits(
    checkout: Path,
    *,
    width_a: int = 8,
    width_b: int = 8,
    published: dict[str, Published] | None = None,
) -> list[Circuit]:
    """Find all circuits of one size anywhere below a folder, by the scheme of their names.

    EvoApproxLib files a circuit once per Pareto front that it is on. Such copies must be equal
    but for comments, and publish equal figures; what contradicts is in the circuit's remarks.

    Args:
        checkout: the folder.
        width_a: bits of the first operand in the name: 8 for mul8u_1JFF, 8 for mul8x4u_0AB.
        width_b: bits of the second: 8 and 4.
        published: figures by name that replace those of the headers, for the circuits named.

    Returns:
        The circuits by name.

    Raises:
        ConfigError: no such folder, no circuit in it, or a header that cannot be read.
    """
    if not checkout.is_dir():
        raise ConfigError(
            f"no folder {checkout}", expected="a checkout of EvoApproxLib, or one arranged like it"
        )
    copies: dict[str, list[Path]] = {}
    for path in sorted(checkout.rglob("mul*.v")):
        named = scheme(path.stem)
        if named and named[:2] == (width_a, width_b) and not path.stem.endswith(_MAPPED):
            copies.setdefault(path.stem, []).append(path)
    if not copies:
        raise ConfigError(
            f"{checkout} holds no {width_a} x {width_b} bit multiplier",
            expected=f"files such as mul{width_a}u_NAME.v (mul{width_a}x{width_b}s_NAME.v) with a C "
            "file of the same name beside them",
        )
    overrides = published or {}
    return [_circuit(name, files, overrides.get(name)) for name, files in sorted(copies.items())]


def _circuit(name: str, files: list[Path], override: Published | None) -> Circuit:
    models = [path.with_suffix(".c") for path in files if path.with_suffix(".c").is_file()]
    remarks = []
    if len({without_comments(_text(path)) for path in files}) > 1:
        remarks.append(f"its {len(files)} Verilog files differ")
    if len({without_comments(_text(path)) for path in models}) > 1:
        remarks.append(f"its {len(models)} C files differ")
    figures = Published()
    contradictions: set[str] = set()
    for path in (*files, *models):
        figures, differing = merged(figures, read_header(_text(path), path))
        contradictions.update(differing)
    if override is not None:
        figures = override
    elif contradictions:
        remarks.append(f"its files publish different figures: {', '.join(sorted(contradictions))}")
    return Circuit(name, files[0], models[0] if models else None, figures, tuple(remarks))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {path}", got=error.strerror or error) from error
