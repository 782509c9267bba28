"""``rtlgrad power``: what a design consumes under given operands, beside uniform random ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..core.files import readable_json, write_atomic
from ..cosim.cost import cell_library
from ..cosim.design import read_design
from ..lutgen.power import read_stimuli, study_power
from .console import err, number, out, print_json, print_table
from .lut import read_parameters, select

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..lutgen.power import PowerStudy

HEADINGS = (
    "operands",
    "products",
    "pairs",
    "energy fJ",
    "with glitches",
    "power uW",
    "with glitches",
    "of uniform",
)


def run(
    target: str,
    *,
    parameters: Sequence[str],
    stimulus: Path,
    layers: Sequence[str],
    values: bool,
    pairs: int,
    seed: int,
    rtl: Path,
    store: Path,
    liberty: Path | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Estimate and print; the store's records stay as they are."""
    chosen = select([target], rtl, read_parameters(parameters))
    if len(chosen) != 1:
        raise ConfigError(
            f"{target} holds several designs", got=", ".join(one.name for one in chosen)
        )
    design = read_design(chosen[0])
    stimuli = read_stimuli(
        stimulus, design.interface, layers=layers, values=values, pairs=pairs, seed=seed
    )
    study = study_power(design, cell_library(liberty), stimuli, store)
    content = _as_data(study)
    if path is not None:
        write_atomic(path, readable_json(content))
        err().print(f"written: {path}", markup=False)
    if as_json:
        print_json(content)
    else:
        _print(study)


def _print(study: PowerStudy) -> None:
    cost = study.cost
    uniform = [
        number(cost.energy_fj, 1),
        number(cost.energy_glitch_aware_fj, 1),
        number(cost.power_uw, 1),
        number(cost.power_glitch_aware_uw, 1),
    ]
    first = study.estimates[0][1]
    rows = [["uniform random", "-", "-", *uniform, "1.000"]]
    for one, power in study.estimates:
        ratio = power.energy_zero_delay_fj / cost.energy_fj if cost.energy_fj else None
        rows.append(
            [
                one.label,
                "-" if one.products is None else str(one.products),
                str(power.pairs),
                number(power.energy_zero_delay_fj, 1),
                number(power.energy_glitch_aware_fj, 1),
                number(power.power_zero_delay_uw, 1),
                number(power.power_glitch_aware_uw, 1),
                number(ratio, 3),
            ]
        )
    print_table(HEADINGS, rows)
    console = out()
    console.print(
        f"{study.design}, cells of {cost.library}, {first.voltage_v:g} V, "
        f"{first.clock_mhz:g} MHz, {_rate(first.cycles)}; uniform: {cost.stimulus}",
        markup=False,
    )
    origin = study.estimates[0][0]
    console.print(f"operands: sha256 {origin.file_sha256}", markup=False)
    if origin.recorded_with is not None:
        name, identity = origin.recorded_with
        console.print(f"recorded through {name}, id {identity}", markup=False)
    proven = f"of characterization {study.characterization_id}"
    console.print(
        f"netlist not proven equal to a table: {study.unproven}"
        if study.characterization_id is None
        else f"netlist proven equal to the table {proven}",
        markup=False,
    )


def _rate(cycles: int) -> str:
    return "one operation a cycle" if cycles == 1 else f"one operation every {cycles} cycles"


def _as_data(study: PowerStudy) -> dict[str, Any]:
    return {
        "design": study.design,
        "characterization_id": study.characterization_id,
        "netlist_proven": study.characterization_id is not None,
        "unproven": study.unproven,
        "uniform": asdict(study.cost),
        "stimuli": [
            {
                "label": one.label,
                "file_sha256": one.file_sha256,
                "products": one.products,
                "recorded_with": None
                if one.recorded_with is None
                else dict(zip(("design", "characterization_id"), one.recorded_with, strict=True)),
                "power": asdict(power),
            }
            for one, power in study.estimates
        ],
    }
