"""The checkpoint: everything that a run needs to go on, in one file that is whole or not there.

It is an ordinary torch file of tensors and plain values: ``torch.load(path, weights_only=True)``
reads it anywhere. A digest over the content, kept inside, tells a damaged or edited file.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from ...core.errors import RecordError, RtlgradError
from ...core.files import write_atomic
from .config import config_from_json

if TYPE_CHECKING:
    from pathlib import Path

    from .config import TrainConfig

CHECKPOINT_NAME = "checkpoint.pt"
_FORMAT = "rtlgrad checkpoint"
_SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two epochs.

    Attributes:
        config: the run's configuration.
        shape: in_channels, num_classes, height and width that the model was built for.
        characterization_id: of the table; None in fp32.
        table_ids: layer name -> id of the table that it multiplies through.
        epoch: epochs done.
        model: the model's state_dict.
        optimizer: the optimizer's state_dict; the learning rate follows from the step alone, so
            there is no scheduler state.
        random: states of Python's, NumPy's and torch's generators.
        history: one record per epoch, as in metrics.jsonl.
        best: epoch, validation accuracy and state_dict of the best epoch, where asked for.
        initial: test evaluation before training, as JSON values, or None.
        init: what the weights were taken from, or None.
        data: provenance of the data set.
        threads: torch's CPU threads.
        started: UTC time of the run's start, ISO 8601.
        seconds: wall time spent up to now, over all sessions.
        sessions: how many times the run was started or resumed.
        versions: of Python and packages.
        processes: how many shared the batches; 1 in files that do not say.
    """

    config: TrainConfig
    shape: dict[str, int]
    characterization_id: str | None
    table_ids: dict[str, str]
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    random: dict[str, Any]
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    initial: dict[str, Any] | None
    init: dict[str, Any] | None
    data: dict[str, str | None]
    threads: int
    started: str
    seconds: float
    sessions: int
    versions: dict[str, str]
    processes: int = 1

    @property
    def weights(self) -> dict[str, Any]:
        """The state_dict that counts as the result so far: the last, or the best if kept."""
        return self.model if self.best is None else self.best["model"]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never a part.

    Raises:
        ConfigError: the folder cannot be written.
    """
    payload: dict[str, Any] = {item.name: getattr(checkpoint, item.name) for item in _FIELDS}
    payload["config"] = checkpoint.config.to_json()
    payload |= {"format": _FORMAT, "schema": _SCHEMA}
    payload["digest"] = content_digest(payload)
    stream = io.BytesIO()
    torch.save(payload, stream)
    write_atomic(path, stream.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify it.

    Raises:
        RecordError: the file is missing, damaged, edited, or of another format or schema.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"cannot read checkpoint {path}",
            got=error.strerror or str(error),
            remedy="name a checkpoint.pt, or the folder of a run",
        ) from error
    try:
        payload = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise _damaged(path, f"{len(content):,} bytes; {first_line}") from error
    if not isinstance(payload, dict) or payload.get("format") != _FORMAT:
        raise RecordError(
            f"{path} is not a checkpoint of rtlgrad",
            got="a torch file of something else",
            expected=f"format {_FORMAT!r}",
        )
    if payload.get("schema") != _SCHEMA:
        raise RecordError(
            f"checkpoint {path} follows another schema",
            got=payload.get("schema"),
            expected=_SCHEMA,
            remedy="read it with the version of rtlgrad that wrote it",
        )
    digest = payload.pop("digest", None)
    if digest != content_digest(payload):
        raise _damaged(path, f"content of digest {content_digest(payload)[:16]}...", str(digest))
    return _rebuild(payload, path)


def _rebuild(payload: dict[str, Any], path: Path) -> Checkpoint:
    payload.setdefault("processes", 1)
    try:
        config = config_from_json(payload["config"], f"the configuration in {path}")
        values = {item.name: payload[item.name] for item in _FIELDS}
    except (KeyError, TypeError, RtlgradError) as error:
        raise RecordError(f"checkpoint {path} is incomplete", got=str(error)) from error
    return Checkpoint(**{**values, "config": config})


def _damaged(path: Path, got: str, digest: str | None = None) -> RecordError:
    return RecordError(
        f"checkpoint {path} is damaged",
        got=got,
        expected="a whole torch file" if digest is None else f"digest {digest[:16]}... as written",
        remedy="delete the run's folder and train again; an earlier state cannot be restored",
    )


def content_digest(value: object) -> str:
    """Return the SHA-256 of nested dictionaries, lists, tensors and plain values."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: object) -> None:
    # Every container states its length and every leaf its type, so that no two differ unnoticed.
    if isinstance(value, dict):
        digest.update(f"dict{len(value)}|".encode())
        for key in sorted(value, key=repr):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"list{len(value)}|".encode())
        for item in value:
            _feed(digest, item)
    elif isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor{plain.dtype}{tuple(plain.shape)}|".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    else:
        digest.update(f"{type(value).__name__}:{value!r}|".encode())


_FIELDS = fields(Checkpoint)
