"""Seconds that characterizations take: a hundred designs, a wide one, a float one.

Run as a script::

    python benchmarks/bench_characterize.py [--json FILE] [--only batch wide float stages] [--jobs N]

Everything is made from nothing in a scratch folder, once the compiler's cache is warm: two designs of
other sizes are characterized before the clock starts. On a machine shared with other work the CPU
seconds (of this process and of all that it started) tell more than the wall clock.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtlgrad.core.files import readable_json, write_atomic
from rtlgrad.cosim.cost import cell_library
from rtlgrad.cosim.design import read_design, references
from rtlgrad.cosim.gates.evaluate import prove_equal
from rtlgrad.cosim.simulation.lint import lint
from rtlgrad.cosim.simulation.sweep import sweep
from rtlgrad.cosim.synthesis.synthesize import synthesize
from rtlgrad.lutgen.characterize import Settings, characterize
from rtlgrad.lutgen.metrics import error_metrics
from rtlgrad.lutgen.record import Characterization
from rtlgrad.lutgen.table import ProductTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rtlgrad.cosim.design import DesignReference

RTL = Path(__file__).resolve().parents[1] / "rtl"
DESIGNS = 100
TARGETS_S = {"batch": 120.0, "wide": 20.0, "float": 20.0}
STAGE_SAMPLE = 10

WIDE = """\
module mul12u_low (input [11:0] A, input [11:0] B, output [23:0] O);
  assign O = (A * B) & 24'hffff80;
endmodule
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One piece of work.

    Attributes:
        name: what it was.
        designs: how many designs it took in.
        wall_s: by the clock.
        cpu_s: of all processes, user and system.
        target_s: what it is to stay below; None without a target.
    """

    name: str
    designs: int
    wall_s: float
    cpu_s: float
    target_s: float | None


def parameter_sets() -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield (stem of a file of rtl/, parameters), more than are needed, every one a new circuit."""
    yield from (("mul8u_trunc", {"K": k}) for k in range(1, 11))
    yield from (("mul8u_drum", {"K": k}) for k in range(3, 8))
    yield from (("mul8u_ssm", {"K": k}) for k in range(4, 8))
    yield from (("mul8u_truncc", {"K": k}) for k in range(3, 10))
    yield from (("mul8u_orcomp", {"K": k}) for k in range(3, 10))
    yield from (("mul8u_ac42", {"K": k}) for k in range(5, 13))
    yield from (("mul8s_bbm", {"K": k}) for k in range(3, 10))
    yield from (("mul8s_bwtrunc", {"K": k}) for k in range(3, 10))
    yield from (("mul8u_perf", {"J": j, "K": k}) for j in range(1, 4) for k in (1, 2, 3))
    # Columns below V cut every row from H on, and leave something of row H - 1.
    yield from (("mul8u_bam", {"H": h, "V": v}) for h in range(1, 8) for v in range(h + 1, h + 7))


def write_designs(folder: Path, count: int) -> list[DesignReference]:
    """Write so many designs, each a file of its own with its parameters in its sidecar."""
    found: list[DesignReference] = []
    for stem, parameters in itertools.islice(parameter_sets(), count):
        name = "_".join([stem, *(f"{key.lower()}{value}" for key, value in parameters.items())])
        path = folder / f"{name}.v"
        text = (RTL / f"{stem}.v").read_text(encoding="utf-8")
        path.write_text(f"// {name}\n{text}", encoding="utf-8")
        lines = [f'top = "{stem}"', f"signed = {str(stem.startswith('mul8s')).lower()}"]
        lines += [f"[variants.{name}]", *(f"{key} = {value}" for key, value in parameters.items())]
        path.with_suffix(".toml").write_text("\n".join(lines), encoding="utf-8")
        found += references(path)
    return found


def timed(name: str, designs: int, action: Callable[[], object]) -> Measurement:
    """Measure wall and CPU seconds of an action, its child processes included."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    action()
    return Measurement(
        name, designs, time.perf_counter() - wall, _cpu_seconds() - cpu, TARGETS_S.get(name)
    )


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def characterized(designs: Sequence[DesignReference], store: Path, jobs: int) -> None:
    """Characterize designs from nothing.

    Raises:
        SystemExit: one failed, its netlist was not proven, or two tables are equal.
    """
    outcomes = characterize(designs, Settings(store, jobs=jobs, force=True))
    tables: dict[str, str] = {}
    for outcome in outcomes:
        made = outcome.characterization
        if outcome.error is not None or made is None:
            raise SystemExit(f"{outcome.reference.name} failed: {outcome.error}")
        if isinstance(made, Characterization):
            twin = tables.setdefault(made.table.content_hash, made.name)
            if twin != made.name:
                raise SystemExit(f"{made.name} and {twin} have the same table")
            if not made.cost.netlist_proven:
                raise SystemExit(f"{made.name}: the netlist was not proven")


def measure_stages(designs: Sequence[DesignReference], jobs: int) -> list[Measurement]:
    """Measure the stages of a characterization one after the other, each for all designs given.

    In a real run they overlap; the CPU seconds add up, the wall clock does not.
    """
    library, count = cell_library(), len(designs)
    found: list[Measurement] = []

    def stage(name: str, action: Callable[[], object]) -> None:
        found.append(timed(name, count, action))

    read: list = []
    reports: list = []
    netlists: list = []
    swept: dict = {}
    stage("read", lambda: read.extend(map(read_design, designs)))
    stage("lint", lambda: reports.extend(map(lint, read)))
    stage("synthesis", lambda: netlists.extend(synthesize(design, library) for design in read))
    proven = [design.name for design, made in zip(read, netlists, strict=True) if made.proven]

    def simulate() -> None:
        pairs = list(zip(read, reports, strict=True))
        for design, result in sweep(pairs, proven=proven, jobs=jobs):
            swept[design.name] = getattr(result, "products", result)

    stage("build and sweep", simulate)

    def prove() -> None:
        for design, made in zip(read, netlists, strict=True):
            prove_equal(made.codes, swept[design.name], design.interface)

    stage("proof", prove)

    def metrics() -> None:
        for design in read:
            interface = design.interface
            signs = interface.a.signed, interface.b.signed
            error_metrics(ProductTable(swept[design.name], *signs, name=design.name))

    stage("metrics", metrics)
    return found


def report(measurements: Sequence[Measurement]) -> str:
    """Render measurements as lines of text."""
    lines = [
        f"{'what':<20}{'designs':>8}{'wall s':>9}{'CPU s':>9}{'CPU s each':>12}{'target s':>10}"
    ]
    for one in measurements:
        target = "-" if one.target_s is None else f"{one.target_s:.0f}"
        lines.append(
            f"{one.name:<20}{one.designs:>8}{one.wall_s:>9.2f}{one.cpu_s:>9.2f}"
            f"{one.cpu_s / one.designs:>12.3f}{target:>10}"
        )
    return "\n".join(lines)


def run(parts: Sequence[str], jobs: int, folder: Path) -> list[Measurement]:
    """Measure the parts asked for, in a scratch folder."""
    (folder / "rtl").mkdir()
    wide = folder / "mul12u_low.v"
    wide.write_text(WIDE)
    designs = write_designs(folder / "rtl", DESIGNS)
    warm_up = [
        one for stem in ("mul4u_trunc", "mul7u_trunc") for one in references(RTL / f"{stem}.v")
    ]
    characterized(warm_up, folder / "warm-up", jobs)
    found = []
    for part, chosen in (
        ("batch", designs),
        ("wide", references(wide)),
        ("float", references(RTL / "bf16_mul.v")),
    ):
        if part in parts:
            store = folder / part
            found.append(
                timed(part, len(chosen), lambda c=chosen, s=store: characterized(c, s, jobs))
            )
            print(report(found[-1:]), flush=True)
    if "stages" in parts:
        stages = measure_stages(designs[:: DESIGNS // STAGE_SAMPLE], jobs)
        print(report(stages), flush=True)
        found += stages
    return found


def main() -> int:
    """Run the benchmark; see the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the measurements there as well")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    every = ("batch", "wide", "float", "stages")
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rtlgrad-bench-") as name:
        found = run(options.only, options.jobs, Path(name))
    if options.json is not None:
        content = {"jobs": options.jobs, "measurements": [asdict(one) for one in found]}
        write_atomic(options.json, readable_json(content))
    late = [one.name for one in found if one.target_s is not None and one.wall_s > one.target_s]
    if late:
        print(f"slower than wanted: {', '.join(late)}", file=sys.stderr)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
