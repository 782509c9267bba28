"""How often each pair of operand codes meets in each layer of a network: the type, and its file."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ConfigError, RecordError
from ..core.files import canonical_json, sha256_bytes, write_atomic
from ..core.names import pick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA = 1
RECORDING_NAME = "operands.npz"
"""Of a recording that is kept in the folder of the run whose operands it holds."""
_HEAD = "rtlgrad_operands"
_REMEDY = "record the operands again: rtlgrad record RUN --out FILE"


@dataclass(frozen=True, eq=False, slots=True)
class OperandHistogram:
    """How often each pair of operand codes was multiplied in one layer.

    Attributes:
        layer: the layer's name.
        counts: int64 [2^wa, 2^wb], read-only; row = code of a (activation), column = code of b
            (weight).
        signed_a: whether codes of a are two's complement.
        signed_b: whether codes of b are.
        design: name of the design whose table the layer multiplied through.
        characterization_id: the id of that table.
        mantissas: whether the codes are mantissas of floating-point numbers, whose signs and
            exponents are not recorded.
    """

    layer: str
    counts: NDArray[np.int64]
    signed_a: bool
    signed_b: bool
    design: str
    characterization_id: str
    mantissas: bool = False

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or any(size & (size - 1) for size in self.counts.shape):
            raise RecordError(
                f"the operand histogram of layer {self.layer!r} has an impossible shape",
                got=self.counts.shape,
                expected="(2^wa, 2^wb)",
            )
        if self.counts.size and int(self.counts.min()) < 0:
            raise RecordError(f"the operand histogram of layer {self.layer!r} has negative counts")
        self.counts.flags.writeable = False

    @property
    def products(self) -> int:
        """Number of multiplications."""
        return int(self.counts.sum())

    @property
    def pairs(self) -> int:
        """Number of different pairs that were multiplied."""
        return int(np.count_nonzero(self.counts))

    @property
    def operands(self) -> tuple[int, int, bool, bool]:
        """Bits of a, bits of b, whether a is signed, whether b is."""
        bits_a, bits_b = (size.bit_length() - 1 for size in self.counts.shape)
        return bits_a, bits_b, self.signed_a, self.signed_b


@dataclass(frozen=True, slots=True)
class OperandRecording:
    """The operands of a network on some data.

    Attributes:
        layers: a histogram for each layer that multiplies through a table.
        source: where they come from, as plain JSON values (model, data, number of images, ...).
    """

    layers: tuple[OperandHistogram, ...]
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        """SHA-256 of layers, counts and source."""
        return sha256_bytes(canonical_json([_head(self), self._hashes()]).encode())

    def _hashes(self) -> list[str]:
        return [sha256_bytes(one.counts.astype("<i8").tobytes()) for one in self.layers]

    def layer(self, name: str) -> OperandHistogram:
        """Return the histogram of one layer.

        Raises:
            UnknownNameError: there is no such layer.
        """
        return pick({one.layer: one for one in self.layers}, name, kind="recorded layer")

    def together(self) -> OperandHistogram:
        """Return the sum over all layers, called ``all layers``.

        Raises:
            ConfigError: the layers multiply operands of different widths or signs.
        """
        first = self.layers[0]
        kinds = {(one.operands, one.mantissas) for one in self.layers}
        if len(kinds) > 1:
            raise ConfigError(
                "the recorded layers have operands of different widths, signs or kinds",
                remedy="name one of them with --layer",
            )
        used = sorted({(one.design, one.characterization_id) for one in self.layers})
        return OperandHistogram(
            "all layers",
            np.sum([one.counts for one in self.layers], axis=0, dtype=np.int64),
            first.signed_a,
            first.signed_b,
            ", ".join(design for design, _ in used),
            ", ".join(identity for _, identity in used),
            first.mantissas,
        )


def save_recording(recording: OperandRecording, path: Path) -> None:
    """Write a recording as a compressed .npz file, atomically.

    The file holds the text ``rtlgrad_operands`` (JSON: schema, source, layers, hash) and one int64
    array ``counts_0``, ``counts_1``, ... per layer, in the order of the layers.

    Raises:
        ConfigError: the file cannot be written.
    """
    head = {**_head(recording), "sha256": recording.content_hash}
    arrays: dict[str, Any] = {f"counts_{i}": one.counts for i, one in enumerate(recording.layers)}
    arrays[_HEAD] = np.array(canonical_json(head))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomic(path, stream.getvalue())


def load_recording(path: Path) -> OperandRecording:
    """Read a recording and verify its hash.

    Raises:
        RecordError: the file is missing, damaged, of another format, or was changed.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            head = json.loads(str(content[_HEAD]))
            if head["schema"] != SCHEMA:
                raise RecordError(
                    f"{path} follows another format",
                    got=f"schema {head['schema']}",
                    expected=f"schema {SCHEMA}",
                    remedy=_REMEDY,
                )
            layers = tuple(
                OperandHistogram(counts=content[f"counts_{i}"].astype(np.int64), **one)
                for i, one in enumerate(head["layers"])
            )
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RecordError(
            f"{path} is no recording of operands", got=error, remedy=_REMEDY
        ) from error
    recording = OperandRecording(layers, head["source"])
    if not layers or recording.content_hash != head["sha256"]:
        raise RecordError(
            f"{path} was changed after it was written",
            got=recording.content_hash,
            expected=head["sha256"],
            remedy=_REMEDY,
        )
    return recording


def is_recording(path: Path) -> bool:
    """Tell whether a .npz file calls itself a recording of operands, intact or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{_HEAD}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _head(recording: OperandRecording) -> dict[str, Any]:
    keys = ("layer", "signed_a", "signed_b", "design", "characterization_id")
    layers: list[dict[str, Any]] = []
    for one in recording.layers:
        # Said only where it holds, so that recordings of integers keep their hash.
        kind = {"mantissas": True} if one.mantissas else {}
        layers.append({**{key: getattr(one, key) for key in keys}, **kind})
    return {"schema": SCHEMA, "source": dict(recording.source), "layers": layers}
