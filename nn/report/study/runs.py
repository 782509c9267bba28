"""The runs of a folder as rows: designs with their energies, epochs, and where numbers come from."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import RecordError
from ....core.files import canonical_json, sha256_file
from ....lutgen.record import Characterization
from ....lutgen.tuning import TUNED
from ...training import CHECKPOINT_NAME, load_result
from ...training.folder import METRICS_NAME
from .rows import DesignRow, EpochRow, LayerRow, TraceRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ....lutgen.record import AnyCharacterization
    from ...training import RunResult
    from ..runs import ReportRow

_NO_RECIPE = ("seed", "init", "threads", "engine")
"""Fields of a configuration that do not tell one way of training from another."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, with what is known of its multipliers.

    Attributes:
        row: as the table of runs has it.
        result: its result.
        made: layer -> characterization of its multiplier; layers whose table is not in the store
            are missing.
        fj_per_product: layer -> energy of a product at the layer's own operands, where known.
    """

    row: ReportRow
    result: RunResult
    made: Mapping[str, AnyCharacterization]
    fj_per_product: Mapping[str, float]

    @property
    def single(self) -> Characterization | None:
        """The characterization of its design, if all layers with a table have one and the same."""
        found = {one.id: one for one in self.made.values()}
        one = next(iter(found.values()), None)
        whole = self.made.keys() == self.result.table_ids.keys()
        mapped = any(design.endswith(TUNED) for _, design in self.result.config.assignment)
        usable = len(found) == 1 and whole and not mapped
        return one if usable and isinstance(one, Characterization) else None

    def energies(self, kind: str) -> dict[str, float]:
        """Return the energy of each layer for one image in nJ; none if one of them is unknown.

        Args:
            kind: "layers" or "uniform", the operands of the energy per product.
        """
        found = {}
        for layer in self.result.table_ids:
            if kind == "layers":
                each = self.fj_per_product.get(layer)
            else:
                each = self.made[layer].cost.energy_fj if layer in self.made else None
            if each is None:
                return {}
            found[layer] = self.result.products[layer] * each * 1e-6  # fJ -> nJ
        return found

    @property
    def absent(self) -> str:
        """Why its energy is not known, or ""."""
        if not self.result.table_ids:
            return "fp32: no table" if self.result.config.is_fp32 else "no layer has a table"
        for layer in self.result.table_ids:
            if layer not in self.made:
                return f"the table of layer {layer} is not in the store"
            if self.made[layer].cost.energy_fj is None:
                reason = self.made[layer].cost.absent.get("power_uw", "not in the record")
                return f"{self.made[layer].name}: {reason}"
        return ""


def open_run(
    row: ReportRow,
    known: Mapping[str, AnyCharacterization],
    by_name: Mapping[str, AnyCharacterization],
    energies: Mapping[str, Mapping[str, float]],
) -> Run:
    """Read a run again, and look up its multipliers.

    Args:
        row: of the table of runs.
        known: characterizations by id.
        by_name: the same by name, for designs with mapped weights, whose netlist they share.
        energies: folder of a run -> layer -> fJ per product at the layer's operands.
    """
    result = load_result(Path(row.folder))
    designs = dict(result.config.assignment)
    made = {}
    for layer, identity in result.table_ids.items():
        design = designs.get(layer, "")
        found = known.get(identity)
        if found is None and design.endswith(TUNED):
            found = by_name.get(design.removesuffix(TUNED))
        if found is not None:
            made[layer] = found
    return Run(row, result, made, energies.get(row.folder, {}))


def design_rows(runs: Sequence[Run]) -> list[tuple[DesignRow, list[Run]]]:
    """Put runs together that differ by the seed alone, as rows in the order of the page."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        config = run.result.config.to_json()
        told = {key: value for key, value in config.items() if key not in _NO_RECIPE}
        images = run.result.test.count
        groups[canonical_json([told, run.result.data["sha256"], images])].append(run)
    kinds = _energy_kinds(runs)
    found = [(_row(group, kinds[_network(group[0])]), group) for group in groups.values()]
    alike = Counter((row.data, row.model, row.label) for row, _ in found)
    found = [
        (_with_epochs(row) if alike[row.data, row.model, row.label] > 1 else row, group)
        for row, group in found
    ]
    return sorted(found, key=lambda item: _order(item[0]))


def energy_kind(runs: Sequence[Run]) -> str:
    """Say which energies all these runs have: at their layers' own operands, or uniform ones."""
    table = [run for run in runs if run.result.table_ids and not run.absent]
    return "layers" if table and all(run.energies("layers") for run in table) else "uniform"


def epoch_rows(run: Run) -> list[EpochRow]:
    """Read the epochs of a run.

    Raises:
        RecordError: the file of its epochs is damaged.
    """
    path = Path(run.row.folder) / METRICS_NAME
    if not path.is_file():
        return []
    found = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            validation = one.get("validation")
            found.append(
                EpochRow(
                    run.row.folder,
                    run.row.design,
                    int(one["epoch"]),
                    one["train_loss"],
                    None if validation is None else 100 * validation["accuracy"],
                )
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{path} is damaged",
            got=f"{type(error).__name__}: {error}",
            expected="a line of JSON for each epoch",
        ) from error
    return found


def layer_rows(run: Run, reference: Run | None, kind: str) -> list[LayerRow]:
    """Return the layers of a run with their energies, beside those of the reference run."""
    base = {} if reference is None else reference.energies(kind)
    return [
        LayerRow(
            run.row.folder,
            "run",
            layer,
            run.made[layer].name,
            run.result.products[layer],
            energy,
            base.get(layer),
        )
        for layer, energy in run.energies(kind).items()
    ]


def trace_rows(run: Run) -> Iterator[TraceRow]:
    """Yield where the numbers of a run come from: its own record, and that of its tables."""
    result, folder = run.result, run.row.folder

    def row(item: str, value: object, remark: str = "") -> TraceRow:
        return TraceRow(folder, item, str(value), remark)

    test = result.test
    yield row("test images right", f"{test.correct} of {test.count}")
    yield row("checkpoint sha256", result.checkpoint_sha256, _checkpoint(result, Path(folder)))
    if result.init is not None:
        yield row("weights begun with, sha256", result.init["sha256"], str(result.init["path"]))
    yield row(f"data set {result.data['name']} sha256", result.data["sha256"])
    yield row("seed", result.config.seed)
    layers: dict[str, list[str]] = defaultdict(list)
    for layer, identity in result.table_ids.items():
        layers[identity].append(layer)
    for identity, used in layers.items():
        made = run.made.get(used[0])
        yield row(f"table id ({', '.join(used)})", identity, "" if made else "not in the store")
        if made is not None:
            yield from (row(item, value) for item, value in _made_with(made))
    for package, version in sorted(result.versions.items()):
        yield row(f"{package} version", version)
    yield row("ended (UTC)", result.ended)


def _made_with(made: AnyCharacterization) -> Iterator[tuple[str, str]]:
    provenance = made.provenance
    for source in provenance.sources:
        yield f"RTL {source.path} sha256", source.sha256
    if provenance.sidecar_sha256:
        yield f"sidecar of {made.name} sha256", provenance.sidecar_sha256
    yield f"testbench of {made.name} sha256", provenance.testbench_sha256
    if made.cost.library:
        yield f"cell library {made.cost.library} sha256", made.cost.library_sha256
    for tool, version in sorted(provenance.tools.items()):
        yield f"{tool} version", version


def _checkpoint(result: RunResult, folder: Path) -> str:
    path = folder / CHECKPOINT_NAME
    if not path.is_file():
        return "no such file"
    same = sha256_file(path) == result.checkpoint_sha256
    return "the file agrees" if same else "the file is another one"


def _network(run: Run) -> tuple[str, str]:
    return run.row.data, run.row.model


def _energy_kinds(runs: Sequence[Run]) -> dict[tuple[str, str], str]:
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[_network(run)].append(run)
    return {network: energy_kind(group) for network, group in groups.items()}


def _row(group: Sequence[Run], kind: str) -> DesignRow:
    first = group[0]
    row, made = first.row, first.single
    accuracies = [100 * run.result.accuracy for run in group]
    uniform, layers = (_mean_total(group, one) for one in ("uniform", "layers"))
    costs = {one.cost.library_sha256 for one in first.made.values()}
    return DesignRow(
        data=row.data,
        model=row.model,
        design=row.design,
        recipe=_recipe(row),
        folders=tuple(run.row.folder for run in group),
        seeds=tuple(run.row.seed for run in group),
        epochs=row.epochs,
        accuracy=_mean(accuracies),
        accuracy_low=min(accuracies),
        accuracy_high=max(accuracies),
        test_images=row.test_images,
        before=_mean_known([run.row.before for run in group]),
        validation=_mean_known([_percent(run.result.validation_accuracy) for run in group]),
        validation_images=first.result.images.get("validation", 0),
        exact=not first.result.table_ids or (made is not None and made.metrics.wce == 0),
        quantized=bool(first.result.table_ids),
        energy_nj=layers if kind == "layers" else uniform,
        energy_uniform_nj=uniform,
        energy_layers_nj=layers,
        area_um2=None if made is None else made.cost.area_um2,
        delay_ps=None if made is None else made.cost.delay_ps,
        mae_pct=None if made is None else made.metrics.mae_pct,
        mre_pct=None if made is None else made.metrics.mre_nonzero_pct,
        library_sha256=next(iter(costs)) if len(costs) == 1 else "",
        absent=first.absent,
    )


def _with_epochs(row: DesignRow) -> DesignRow:
    epochs = f"{row.epochs} epoch{'' if row.epochs == 1 else 's'}"
    return replace(row, recipe="; ".join(part for part in (row.recipe, epochs) if part))


def _recipe(row: ReportRow) -> str:
    # The note also says which fp32 run a row is compared with; here no fp32 run is.
    parts = [
        part for part in row.note.split("; ") if "fp32 run" not in part and "fp32 is" not in part
    ]
    return "; ".join(part for part in parts if part)


def _mean_total(group: Sequence[Run], kind: str) -> float | None:
    return _mean_known([sum(found.values()) or None for found in (r.energies(kind) for r in group)])


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _order(row: DesignRow) -> tuple[object, ...]:
    energy = float("inf") if row.energy_nj is None else row.energy_nj
    return row.data, row.model, row.quantized, energy, row.design, row.recipe, row.folders
