"""``rtlgrad record``: which operands meet in the layers of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lutgen.histogram import RECORDING_NAME, save_recording
from ..nn.data import load_data
from ..nn.training import CHECKPOINT_NAME, load_checkpoint
from ..nn.training.recording import record_checkpoint
from .console import err, print_json, print_table
from .training import stored_table, tables_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..lutgen.histogram import OperandRecording

HEADINGS = ("layer", "operands", "products", "pairs", "activation codes", "weight codes")


def run(
    checkpoint: Path,
    *,
    path: Path | None,
    design: str | None,
    images: int | None,
    engine: str,
    threads: int | None,
    store: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Record the operands of a run, and print what was recorded."""
    file = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
    path = path or file.parent / RECORDING_NAME
    config = load_checkpoint(file).config
    table, tables = (
        (stored_table(design, store), {}) if design is not None else tables_of(config, store)
    )
    recording = record_checkpoint(
        file,
        load_data(config.data, data_root),
        table,
        images=images,
        engine=engine,
        threads=threads,
        tables=tables,
    )
    save_recording(recording, path)
    if as_json:
        print_json(_as_data(recording, path))
    else:
        _print(recording)
    err().print(f"written: {path}", markup=False)


def _print(recording: OperandRecording) -> None:
    rows = []
    for one in recording.layers:
        a, b = _used(one.counts, 1), _used(one.counts, 0)
        kind = "mantissas" if one.mantissas else "integers"
        rows.append([one.layer, kind, str(one.products), str(one.pairs), str(a), str(b)])
    print_table(HEADINGS, rows, left=2)


def _used(counts: NDArray[np.int64], axis: int) -> int:
    return int((counts.sum(axis=axis) > 0).sum())


def _as_data(recording: OperandRecording, path: Path) -> dict[str, object]:
    return {
        "file": str(path),
        "sha256": recording.content_hash,
        "source": dict(recording.source),
        "layers": [
            {
                "layer": one.layer,
                "operands": "mantissas" if one.mantissas else "integers",
                "products": one.products,
                "pairs": one.pairs,
                "activation_codes": _used(one.counts, 1),
                "weight_codes": _used(one.counts, 0),
                "design": one.design,
                "characterization_id": one.characterization_id,
            }
            for one in recording.layers
        ],
    }
