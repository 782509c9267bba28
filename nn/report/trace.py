"""Follows a result back to the checkpoint, the data and the tables that it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import RtlgradError
from ...core.files import sha256_file
from ...lutgen.findings import Finding, Verdict, compared, unknown
from ..data import load_data
from ..training import CHECKPOINT_NAME, load_checkpoint
from ..training.results import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..training import RunResult


def trace_result(result: RunResult, folder: Path, data_root: Path | None) -> Iterator[Finding]:
    """Check a result, loaded and so consistent in itself, against what it was made with.

    Args:
        result: the result.
        folder: the run's folder.
        data_root: folder of the data sets; None for where they usually are.
    """
    test = result.test
    yield Finding(
        f"accuracy {100 * test.accuracy:.2f} % agrees with its counts",
        Verdict.VERIFIED,
        found=f"{test.correct} of {test.count} test images",
    )
    yield from _checkpoint(result, folder / CHECKPOINT_NAME)
    yield from _weights_begun_with(result)
    yield _data(result, data_root)
    installed = versions()
    for package, version in sorted(result.versions.items()):
        yield compared(f"version of {package}", version, installed.get(package, "not installed"))


def _checkpoint(result: RunResult, path: Path) -> Iterator[Finding]:
    what = f"checkpoint {path}"
    if not path.is_file():
        yield unknown(what, "no such file", result.checkpoint_sha256)
        return
    yield compared(what, result.checkpoint_sha256, sha256_file(path))
    try:
        checkpoint = load_checkpoint(path)
    except RtlgradError as error:
        yield Finding(f"content of {path}", Verdict.DIFFERS, found=str(error))
        return
    same = checkpoint.config == result.config
    yield Finding(
        "configuration", Verdict.VERIFIED if same else Verdict.DIFFERS, found=f"as in {path}"
    )
    for layer, identity in sorted(result.table_ids.items()):
        yield compared(f"table of layer {layer}", identity, checkpoint.table_ids.get(layer, "none"))


def _weights_begun_with(result: RunResult) -> Iterator[Finding]:
    if result.init is None:
        return
    path = Path(str(result.init["path"]))
    what, digest = f"weights begun with, {path}", str(result.init["sha256"])
    yield (
        compared(what, digest, sha256_file(path))
        if path.is_file()
        else unknown(what, "no such file", digest)
    )


def _data(result: RunResult, root: Path | None) -> Finding:
    name, digest = str(result.data["name"]), str(result.data["sha256"])
    what = f"data set {name}"
    try:
        data = load_data(result.config.data, root)
    except RtlgradError as error:
        return unknown(what, str(error), digest)
    return compared(what, digest, str(data.provenance["sha256"]))
