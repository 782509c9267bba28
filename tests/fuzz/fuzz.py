"""Characterizes spoiled designs: ``python tests/fuzz/fuzz.py --count 500 --seed 1``.

Each must end in a table that Icarus Verilog confirms, or in an error of our own; a traceback, a
hang or a wrong table is a failure. Results are kept after each batch, and a run goes on where an
earlier one of the same seed stopped. Status 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from icarus import icarus_codes
from spoil import mutate

ROOT = Path(__file__).resolve().parents[2]
BATCH = 25
FILE_LIMIT_S = 60.0
"""Wall seconds for one file, on average over its batch; beyond that the batch has hung."""
PASSED = ("confirmed", "unconfirmed", "refused")


@dataclass(frozen=True)
class Verdict:
    """How one spoiled design ended.

    Attributes:
        number: which one, of its seed.
        name: the design's name.
        verdict: confirmed (the table is Icarus'), unconfirmed (Icarus cannot tell), refused (an
            error of our own), or failed.
        detail: why, in short.
    """

    number: int
    name: str
    verdict: str
    detail: str


def bases() -> list[list[tuple[str, bytes]]]:
    """Return what to spoil, as (file name, text): designs of rtl/, small good and bad ones."""
    sys.path.insert(0, str(ROOT / "tests" / "cosim"))
    from small_designs import BAD, GOOD

    def small(name: str, case: Any) -> tuple[str, bytes]:
        text = case.text if isinstance(case.text, bytes) else case.text.encode()
        suffix = Path(case.file or ".v").suffix or ".v"
        return f"{name}{suffix}", text.replace(b"MODULE", name.encode())

    return [
        [(path.name, path.read_bytes()) for path in sorted((ROOT / "rtl").glob("*.*v"))],
        [small(name, case) for name, case in GOOD.items()],
        [small(name, case) for name, case in BAD.items()],
    ]


def spoiled(number: int, seed: int, folder: Path) -> Path:
    """Write the spoiled design of a number into a folder of its own; return the file."""
    rng = random.Random(f"{seed} {number}")
    name, text = rng.choice(rng.choices(bases(), (5, 3, 1))[0])
    stem, suffix = name.rsplit(".", 1)
    path = folder / f"{number:04}" / f"{stem}_f{number:04}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mutate(text, path.name, rng))
    return path


def run_batch(numbers: list[int], seed: int, folder: Path, jobs: int) -> list[Verdict]:
    """Characterize several spoiled designs by one command, and judge each."""
    work = folder / f"batch_{numbers[0]:04}"
    shutil.rmtree(work, ignore_errors=True)
    files = {number: spoiled(number, seed, work) for number in numbers}
    store = work / "tables"
    command = [sys.executable, "-m", "rtlgrad.cli.main", "lut", *map(str, files.values())]
    options = ["--out", str(store), "--json", "--time-limit", "20", "--jobs", str(jobs)]
    try:
        done = subprocess.run(
            command + options,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FILE_LIMIT_S * len(numbers) + 60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _each(files, "failed", "the command hung")
    if "Traceback" in done.stderr:
        return _each(files, "failed", "traceback: " + done.stderr.strip().splitlines()[-1])
    try:
        entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    except (ValueError, TypeError):
        return _each(files, "failed", f"status {done.returncode}: {done.stderr.strip()[-300:]}")
    return [judge(number, path, entries.get(path.stem), store) for number, path in files.items()]


def _each(files: dict[int, Path], verdict: str, detail: str) -> list[Verdict]:
    return [Verdict(number, path.stem, verdict, detail) for number, path in files.items()]


def judge(number: int, path: Path, entry: dict[str, Any] | None, store: Path) -> Verdict:
    """Decide about one design from what the command printed about it."""
    if entry is None:
        return Verdict(number, path.stem, "failed", "not among the results")
    if "error" in entry:
        error = entry["error"]
        kind, message = error["kind"], error["message"]
        detail = f"{kind}: {message.splitlines()[0]}"
        bad = kind.startswith("Tool") or kind == "RtlgradError" or "Traceback" in message
        scratch = "/rtlgrad-" in message
        return Verdict(number, path.stem, "failed" if bad or scratch else "refused", detail)
    return _compared(number, path, entry["record"], store)


def _compared(number: int, path: Path, record: dict[str, Any], store: Path) -> Verdict:
    interface = record["interface"]
    if interface.get("clocking") or "table" not in record or interface.get("format"):
        return Verdict(number, path.stem, "unconfirmed", "not a combinational table")
    products = np.load(store / path.stem / "table.npy").astype(np.int64)
    width = interface["out"]["width"]
    ours = products.astype(np.uint64) & np.uint64(
        (1 << width) - 1 if width < 64 else ~0 & (1 << 64) - 1
    )
    theirs = icarus_codes(path, interface, path.parent)
    if isinstance(theirs, str):
        return Verdict(number, path.stem, "unconfirmed", theirs)
    if np.array_equal(ours, theirs):
        return Verdict(number, path.stem, "confirmed", "")
    differing = int((ours != theirs).sum())
    proven = bool(record["cost"].get("netlist_proven"))
    detail = f"{differing} of {ours.size} entries differ from Icarus; netlist proven: {proven}"
    return Verdict(number, path.stem, "failed", detail)


def main() -> int:
    """Run what is not done yet, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no batch after these")
    options = parser.parse_args()
    folder: Path = options.out / f"seed_{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "verdicts.jsonl"
    done = (
        [Verdict(**json.loads(line)) for line in log.read_text().splitlines()]
        if log.exists()
        else []
    )
    known = {verdict.number for verdict in done}
    print(f"seed {options.seed}, {options.count} files, {len(known)} done before", flush=True)
    todo = [number for number in range(options.count) if number not in known]
    started = time.monotonic()
    for start in range(0, len(todo), BATCH):
        if time.monotonic() - started > options.seconds:
            break
        verdicts = run_batch(todo[start : start + BATCH], options.seed, folder, options.jobs)
        with log.open("a") as stream:
            stream.writelines(json.dumps(asdict(verdict)) + "\n" for verdict in verdicts)
        done += verdicts
        for verdict in verdicts:
            if verdict.verdict not in PASSED:
                print(f"FAILED {verdict.name}: {verdict.detail}", flush=True)
        print(f"{len(done)} done in {time.monotonic() - started:.0f} s", flush=True)
    counts = Counter(verdict.verdict for verdict in done)
    print(", ".join(f"{counts[name]} {name}" for name in (*PASSED, "failed")))
    return int(counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
