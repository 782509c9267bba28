"""Power of a design under operands other than uniform random ones, beside the record's figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, DesignError, RtlgradError
from ..core.files import sha256_file
from ..cosim.gates.evaluate import prove_equal
from ..cosim.gates.stimulus import histogram_stimulus
from ..cosim.gates.stimulus_files import read_stream
from ..cosim.synthesis.synthesize import synthesize
from .float_operands import for_ports
from .freshness import source_hashes
from .histogram import is_recording, load_recording
from .record import Characterization
from .store import find, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..cosim.cost import CellLibrary, Cost
    from ..cosim.design import Design
    from ..cosim.gates.power import PowerEstimate
    from ..cosim.gates.stimulus import Stimulus
    from ..cosim.interface import Interface
    from .histogram import OperandHistogram


@dataclass(frozen=True, eq=False, slots=True)
class LabelledStimulus:
    """Operands, and where they come from.

    Attributes:
        label: for people: the file's name, or the layer's.
        stimulus: the operand pairs.
        file_sha256: hash of the file that they come from.
        products: how many multiplications they stand for; None for a stream, which is its own.
        recorded_with: name and id of the design that the network multiplied through; None for a
            stream.
    """

    label: str
    stimulus: Stimulus
    file_sha256: str
    products: int | None = None
    recorded_with: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PowerStudy:
    """Power of one design under several stimuli.

    Attributes:
        design: its name.
        characterization_id: id of the stored characterization whose table the netlist was proven
            to compute; None without one.
        unproven: why there is none; empty if there is.
        cost: area, delay, and power under uniform random operands: what the record holds.
        estimates: for each stimulus, in order, what the same netlist consumes under it.
    """

    design: str
    characterization_id: str | None
    unproven: str
    cost: Cost
    estimates: tuple[tuple[LabelledStimulus, PowerEstimate], ...]


def read_stimuli(
    path: Path,
    interface: Interface,
    *,
    layers: Sequence[str] = (),
    values: bool = False,
    pairs: int,
    seed: int,
) -> list[LabelledStimulus]:
    """Read a stream of operands, or draw from the histograms of a recording.

    Args:
        path: a stream (see `rtlgrad.cosim.gates.stimulus_files`), or a recording.
        interface: the design's interface.
        layers: layers of a recording; all layers together, then each, if none is named.
        values: whether a stream holds values rather than codes.
        pairs: how many operand pairs to draw from a histogram.
        seed: of the draw.

    Raises:
        ConfigError: the file does not fit the design, or the options do not fit the file.
        RecordError: a damaged recording.
        UnknownNameError: no such layer.
    """
    digest = sha256_file(path) if path.is_file() else ""
    if not (path.suffix == ".npz" and is_recording(path)):
        if layers:
            raise ConfigError(
                f"{path} has no layers",
                got=f"--layer {layers[0]}",
                expected="a recording made by rtlgrad record",
            )
        return [LabelledStimulus(path.name, read_stream(path, interface, values=values), digest)]
    recording = load_recording(path)
    chosen = [recording.layer(name) for name in layers]
    if not chosen:
        chosen = [*([recording.together()] if len(recording.layers) > 1 else []), *recording.layers]
    return [_drawn(one, interface, path, digest, pairs, seed) for one in chosen]


def _drawn(
    one: OperandHistogram, interface: Interface, path: Path, digest: str, pairs: int, seed: int
) -> LabelledStimulus:
    wanted = (interface.a.width, interface.b.width, interface.a.signed, interface.b.signed)
    one = for_ports(one, interface)
    if one.operands != wanted:
        raise ConfigError(
            f"layer {one.layer!r} of {path} multiplies other operands than the design takes",
            got=_operands(*one.operands),
            expected=_operands(*wanted),
            remedy="record a network that multiplies through a design with such operands",
        )
    stimulus = histogram_stimulus(
        interface,
        one.counts,
        pairs=pairs,
        seed=seed,
        description=f"drawn from the operand histogram of {one.layer} in {path.name}, "
        f"sha256 {digest}",
    )
    used = (one.design, one.characterization_id)
    return LabelledStimulus(one.layer, stimulus, digest, one.products, used)


def _operands(bits_a: int, bits_b: int, signed_a: bool, signed_b: bool) -> str:
    return f"{'s' if signed_a else 'u'}{bits_a} x {'s' if signed_b else 'u'}{bits_b}"


def study_power(
    design: Design, library: CellLibrary, stimuli: Sequence[LabelledStimulus], store: Path
) -> PowerStudy:
    """Synthesize a design and estimate its power for several stimuli.

    If the store holds a characterization of the same sources, the netlist is proven to compute its
    table. Nothing is written to the store: its figures stay those for uniform operands.

    Args:
        design: the design.
        library: the cells.
        stimuli: the operands.
        store: folder of the characterizations.

    Raises:
        DesignError: there is no mapped netlist, with the reason; or the design is clocked, and
            the store does not hold its latency.
        SimulationError: the netlist does not compute the stored table.
    """
    made = _stored(design, store)
    found = synthesize(design, library, stimuli=[one.stimulus for one in stimuli])
    if found.unfinished is not None:
        if made is None or made.latency is None:
            raise DesignError(
                f"{design.path}: when {design.name} takes operands and answers is not known",
                got="a clocked design without a characterization of these sources in the store",
                remedy=f"rtlgrad lut {design.name}",
            )
        found = found.finish(made.latency)
    if len(found.powers) != len(stimuli):
        raise DesignError(
            f"{design.path}: {design.name} has no mapped netlist to estimate power from",
            got=found.cost.absent.get("power_uw"),
        )
    unproven = ""
    if made is None:
        unproven = "the store has no characterization of these sources; make it with rtlgrad lut"
    elif found.codes is None:
        made, unproven = None, "the netlist cannot be evaluated for all operands"
    else:
        prove_equal(found.codes, made.table.products, design.interface)
    return PowerStudy(
        design=design.name,
        characterization_id=None if made is None else made.id,
        unproven=unproven,
        cost=found.cost,
        estimates=tuple(zip(stimuli, found.powers, strict=True)),
    )


def _stored(design: Design, store: Path) -> Characterization | None:
    """Return the stored characterization of a design if it was made from the same sources."""
    try:
        made = load(find(store, design.name))
    except RtlgradError:
        return None
    if not isinstance(made, Characterization):
        return None
    # By content alone: the same file may be named from another folder.
    ours, theirs = (
        [source.sha256 for source in sources]
        for sources in (source_hashes(design), made.provenance.sources)
    )
    return made if ours == theirs and made.interface == design.interface else None
