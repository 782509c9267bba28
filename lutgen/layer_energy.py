"""Energy of a product in each layer of a network, by gate-level power at the layer's operands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DesignError
from ..core.files import cache_folder, canonical_json, readable_json, sha256_bytes, write_atomic
from ..cosim.design import read_design
from ..cosim.gates.stimulus import histogram_stimulus
from .histogram import OperandHistogram
from .power import LabelledStimulus, study_power
from .trace import stored_reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..cosim.cost import CellLibrary
    from .histogram import OperandRecording
    from .record import Characterization

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class LayerEnergy:
    """Mean energy of a product of a design at the operands of one layer.

    Attributes:
        layer: the layer's name.
        settled_fj: changes of settled values (zero delay).
        glitches_fj: with glitches (unit delay).
    """

    layer: str
    settled_fj: float
    glitches_fj: float


def with_mapped_weights(
    recording: OperandRecording, codes: NDArray[np.uint16]
) -> tuple[OperandHistogram, ...]:
    """Return the histograms that a network has whose weights are replaced.

    Args:
        recording: of the network as it is.
        codes: code of the weight to use, by code of the weight that it stands in for; [2^wb].
    """
    mapped = []
    for one in recording.layers:
        counts = np.zeros_like(one.counts)
        np.add.at(counts.T, codes.astype(np.int64), one.counts.T)
        mapped.append(
            OperandHistogram(
                one.layer,
                counts,
                one.signed_a,
                one.signed_b,
                one.design,
                one.characterization_id,
            )
        )
    return tuple(mapped)


def layer_energies(
    made: Characterization,
    histograms: Sequence[OperandHistogram],
    library: CellLibrary,
    *,
    rtl: Path,
    store: Path,
    pairs: int,
    seed: int = 0,
) -> tuple[LayerEnergy, ...]:
    """Estimate what a product of a design takes at each layer's operands.

    The netlist is proven to compute the stored table. What was estimated before is read from the
    user's cache: by design, layer's histogram, library, and all that the characterization
    depended on.

    Args:
        made: the stored characterization.
        histograms: the layers' operands.
        library: the cells.
        rtl: where to look for the design's source if it is not where the record says.
        store: folder of the characterizations.
        pairs: how many operand pairs to draw from each histogram.
        seed: of the draw.

    Raises:
        DesignError: the source is gone or changed, the design has no cost, or its netlist cannot
            be proven to compute its table.
    """
    if made.cost.energy_fj is None:
        raise DesignError(
            f"the characterization of {made.name} has no energy",
            got=made.cost.absent.get("power_uw"),
            remedy=f"characterize it with a cell library that it can be mapped to: "
            f"rtlgrad lut {made.name} --liberty FILE",
        )
    files = {one.layer: _cached(made, one, library, pairs, seed) for one in histograms}
    found = {layer: _read(file, layer) for layer, file in files.items()}
    missing = [one for one in histograms if found[one.layer] is None]
    if missing:
        for energy in _estimated(made, missing, library, rtl, store, pairs, seed):
            kept = {"settled_fj": energy.settled_fj, "glitches_fj": energy.glitches_fj}
            write_atomic(files[energy.layer], readable_json(kept))
            found[energy.layer] = energy
    return tuple(energy for energy in found.values() if energy is not None)


def _estimated(
    made: Characterization,
    histograms: Sequence[OperandHistogram],
    library: CellLibrary,
    rtl: Path,
    store: Path,
    pairs: int,
    seed: int,
) -> list[LayerEnergy]:
    reference = stored_reference(made, rtl)
    if reference is None:
        raise DesignError(
            f"the source of {made.name} is not at hand",
            got=f"no {made.provenance.sources[0].path}, and no such file in {rtl}",
            remedy="restore it, or name its folder with --rtl",
        )
    design = read_design(reference)
    stimuli = [
        LabelledStimulus(
            one.layer,
            histogram_stimulus(design.interface, one.counts, pairs=pairs, seed=seed),
            _hash(one),
            one.products,
            (one.design, one.characterization_id),
        )
        for one in histograms
    ]
    study = study_power(design, library, stimuli, store)
    if study.characterization_id != made.id:
        raise DesignError(
            f"the source of {made.name} is not what it was characterized from",
            got=study.unproven or f"characterization {study.characterization_id}",
            expected=f"characterization {made.id}",
            remedy=f"rtlgrad lut {made.name}",
        )
    return [
        LayerEnergy(one.label, power.energy_zero_delay_fj, power.energy_glitch_aware_fj)
        for one, power in study.estimates
    ]


def _cached(
    made: Characterization, one: OperandHistogram, library: CellLibrary, pairs: int, seed: int
) -> Path:
    content = [
        *(_SCHEMA, made.id, made.provenance.work_key, library.sha256, _hash(one), pairs, seed)
    ]
    return cache_folder() / "energy" / f"{sha256_bytes(canonical_json(content).encode())}.json"


def _read(file: Path, layer: str) -> LayerEnergy | None:
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return LayerEnergy(layer, float(kept["settled_fj"]), float(kept["glitches_fj"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(one: OperandHistogram) -> str:
    return sha256_bytes(f"{one.operands}|".encode() + one.counts.astype("<i8").tobytes())
