"""The command: does a study, or goes on with it, and writes its tables and its picture.

Run from the repository's root, or by ``make experiments STUDY=...``::

    PYTHONPATH=benchmarks python -m experiments STUDY [--data-root NAME=FOLDER] [--jobs N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rtlgrad.core.errors import RtlgradError
from rtlgrad.core.files import readable_json, write_atomic
from rtlgrad.core.names import pick
from rtlgrad.nn.training.allocator import keep_freed_memory

from .perform import Means, gather, perform
from .studies import STUDIES
from .tally import curves_json, to_csv


def main() -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args()
    try:
        return _run(options)
    except RtlgradError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    study = pick(STUDIES, options.study, kind="study")
    root = options.out / study.name
    failed: list[str] = []
    if options.read:
        bench = gather(study, root, options.store)
    else:
        keep_freed_memory()
        roots = dict(options.data_root or ())
        means = Means(options.store, roots, options.jobs)
        bench, failed = perform(study, root, means, lambda line: print(line, flush=True))
    report = options.report
    report.mkdir(parents=True, exist_ok=True)
    if bench.rows:
        write_atomic(report / f"{study.name}.csv", to_csv(bench.rows))
        curves = [row for row in bench.rows if row.curve]
        write_atomic(report / f"{study.name}-curves.json", readable_json(curves_json(curves)))
        print(f"\n{study.question}\n\n{study.tables(bench)}\n")
        study.draw(bench).savefig(report / f"{study.name}.svg", metadata={"Date": None})
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="experiments", description="Do a study, or go on with it."
    )
    parser.add_argument("study", help=", ".join(STUDIES))
    parser.add_argument("--out", type=Path, default=Path("out/experiments"), help="runs")
    parser.add_argument("--report", type=Path, default=Path("out/experiments"), help="results")
    parser.add_argument("--store", type=Path, default=Path("out/luts"), help="designs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--read", action="store_true", help="do nothing, show what is there")
    parser.add_argument(
        "--data-root",
        type=_named_folder,
        action="append",
        metavar="NAME=FOLDER",
        help="where a data set's files are; repeatable",
    )
    return parser


def _named_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


if __name__ == "__main__":
    sys.exit(main())
