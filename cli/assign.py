"""``rtlgrad assign``: which multiplier in which layer of a network, on an accelerator of few tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError, DesignError
from ..core.files import sha256_file
from ..core.names import pick, unknown_name
from ..cosim.cost import cell_library
from ..lutgen.histogram import OperandRecording, load_recording, save_recording
from ..lutgen.layer_energy import layer_energies, with_mapped_weights
from ..lutgen.store import find, load_tabulated, stored_names
from ..lutgen.tuning import TUNED, tuned, weight_map
from ..nn.assignment.energy import EnergyFigure, EnergyModel, ProductEnergy
from ..nn.assignment.evaluation import order_of_layers
from ..nn.assignment.space import Accelerator, SearchSpace
from ..nn.assignment.study import conclude, enter_study, search_images, settings_of
from ..nn.assignment.worker import Limits, Size, Task
from ..nn.data import load_data
from ..nn.statistics import record_operands
from ..nn.training import CHECKPOINT_NAME, load_checkpoint, load_model
from ..nn.training.allocator import keep_freed_memory
from ..nn.training.determinism import reproducible
from ..nn.training.evaluation import count_products
from ..nn.training.identity import check_data
from ..nn.training.run_data import prepare_data
from .assign_output import SearchProgress, print_study
from .console import err, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..cosim.cost import CellLibrary
    from ..lutgen.record import Characterization
    from ..lutgen.table import ProductTable
    from ..lutgen.tuning import WeightMap
    from ..nn.assignment.results import StudyResult
    from ..nn.data import Batches
    from ..nn.training import LoadedModel
    from ..nn.training.run_data import PreparedData

RECORDING = "operands.npz"
_RECORDED_IMAGES = 500


@dataclass(frozen=True)
class Options:
    """What the command line says; see `rtlgrad assign --help`."""

    checkpoint: Path
    designs: tuple[str, ...]
    tiles: int
    accelerator: str
    max_loss: float
    sigmas: float
    stop_loss: float
    images: int
    trials: int
    population: int
    seed: int
    jobs: int
    finalists: int
    tune: str
    energy: str
    max_area: float | None
    max_delay: float | None
    pairs: int
    cache_mb: int
    engine: str
    threads: int | None
    out: Path
    store: Path
    rtl: Path
    liberty: Path | None
    data_root: Path | None
    as_json: bool


@dataclass(frozen=True)
class Choice:
    """A design that may be assigned, perhaps with its weights mapped.

    Attributes:
        made: its characterization.
        table: what products go through.
        mapping: of the weights; None where they stay.
    """

    made: Characterization
    table: ProductTable
    mapping: WeightMap | None

    @property
    def size(self) -> Size:
        """Area and delay of one multiplier."""
        cost = self.made.cost
        if cost.area_um2 is None or cost.delay_ps is None:
            raise DesignError(
                f"the characterization of {self.made.name} has no area or no delay",
                got="; ".join(f"{name}: {why}" for name, why in cost.absent.items()),
                remedy=f"characterize it with a cell library: rtlgrad lut {self.made.name} --force",
            )
        return Size(cost.area_um2, cost.delay_ps)

    def as_data(self) -> dict[str, Any]:
        """Return what is known of it as plain JSON values."""
        mapping = self.mapping
        return {
            "area_um2": self.size.area_um2,
            "delay_ps": self.size.delay_ps,
            "energy_uniform_fj": self.made.cost.energy_fj,
            "source": self.made.provenance.sources[0].path,
            "weight_map": None
            if mapping is None
            else {
                "weights_changed": mapping.changed,
                "distance_before": mapping.distance_before,
                "distance_after": mapping.distance_after,
            },
        }


def run(options: Options) -> StudyResult:
    """Search, measure the front, and print it.

    Raises:
        MissingToolError: Optuna is not installed.
        UnknownNameError: a design is not characterized, or an option names nothing known.
        ConfigError: as many tiles as layers, operands of other widths or signs, another study in
            the folder, or too few images.
        DesignError: a design without cost, or whose source is gone.
    """
    from ..nn.assignment.processes import run_search  # says what to install if Optuna is missing

    keep_freed_memory()
    begun = time.perf_counter()
    setting = _Setting(options)
    task = setting.task()
    settings = settings_of(task, **setting.identity)
    enter_study(options.out, settings)
    ready = time.perf_counter()
    with SearchProgress(options.trials) as progress:
        study = run_search(task, jobs=options.jobs, watch=progress.searching)
        searched = time.perf_counter()
        result = conclude(
            task,
            study.candidates,
            setting.parts,
            settings=settings,
            tables={name: (one.table.id, one.made.id) for name, one in setting.choices.items()},
            costs={name: one.as_data() for name, one in setting.choices.items()},
            max_loss=options.max_loss,
            sigmas=options.sigmas,
            finalists=options.finalists,
            jobs=options.jobs,
            seconds={"preparation": ready - begun, "search": searched - ready},
            done=progress.measuring,
        )
    if options.as_json:
        from ..nn.assignment.results import study_as_data

        print_json(study_as_data(result))
    else:
        print_study(result, options.out)
    return result


class _Setting:
    """Everything that a search starts from, found step by step."""

    def __init__(self, options: Options) -> None:
        self._options = options
        checkpoint = options.checkpoint
        self._file = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
        self._checkpoint = load_checkpoint(self._file)
        self._accelerator = pick(
            {one.value: one for one in Accelerator}, options.accelerator, kind="accelerator"
        )
        self._figure = pick({one.value: one for one in EnergyFigure}, options.energy, kind="energy")
        self._library: CellLibrary = cell_library(options.liberty)
        self.base = self._base()
        self.choices = self._choices()

    def task(self) -> Task:
        """Record operands, estimate energies, and put the search together."""
        options = self._options
        layers = self._order
        designs = tuple(self.choices)
        space = SearchSpace(self._accelerator, layers, designs, options.tiles)
        from ..nn.assignment.search import Budget

        return Task(
            folder=options.out,
            checkpoint=self._file,
            base=self.base.table,
            space=space,
            budget=Budget(options.trials, options.population, options.seed),
            tables={name: one.table for name, one in self.choices.items()},
            sizes={name: one.size for name, one in self.choices.items()},
            energy=self._energy(),
            figure=self._figure,
            images=self._images,
            limits=Limits(options.stop_loss, options.max_area, options.max_delay),
            engine=options.engine,
            threads=options.threads or (1 if options.jobs > 1 else None),
            cache_bytes=options.cache_mb << 20,
        )

    @property
    def parts(self) -> dict[str, Batches]:
        """All validation images, and the test images."""
        assert self._data.validation is not None  # the images of the search are from them
        return {"validation": self._data.validation, "test": self._data.test}

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the study besides its task."""
        return {
            "checkpoint": str(self._file),
            "checkpoint_sha256": sha256_file(self._file),
            "model": self._checkpoint.config.model,
            "data": self._checkpoint.config.data,
            "data_sha256": self._data.data.provenance["sha256"],
            "operands_sha256": self._recording.content_hash,
            "library": self._library.name,
            "library_sha256": self._library.sha256,
            "pairs": self._options.pairs,
        }

    def _base(self) -> Choice:
        design = self._checkpoint.config.design
        if design is None:
            raise ConfigError(
                f"{self._file} multiplies in fp32, or through several tables",
                got=self._checkpoint.config.multiplier,
                expected="a network quantized for one design, the exact one at best",
                remedy="rtlgrad train --design mul8u_exact --init RUN --epochs 0, then assign that",
            )
        return self._choice(design)

    def _choice(self, name: str) -> Choice:
        made = load_tabulated(find(self._options.store, name.removesuffix(TUNED)))
        if not name.endswith(TUNED):
            return Choice(made, made.table, None)
        mapping = weight_map(made.table)
        return Choice(made, tuned(made.table, mapping), mapping)

    def _choices(self) -> dict[str, Choice]:
        options = self._options
        names = designs_matching(options.designs, stored_names(options.store))
        suffixes = pick(
            {"no": ("",), "all": (TUNED,), "both": ("", TUNED)}, options.tune, kind="--tune"
        )
        found = {self.base.table.name: self.base}
        for name in names:
            for suffix in suffixes:
                one = self._choice(name + suffix)
                # Where no weight changes, the tuned table is the table.
                if not suffix or (one.mapping is not None and one.mapping.changed):
                    found[one.table.name] = one
                else:
                    found.setdefault(name, self._choice(name))
        return found

    @cached_property
    def _data(self) -> PreparedData:
        data = load_data(self._checkpoint.config.data, self._options.data_root)
        check_data(self._checkpoint, self._file, data)
        return prepare_data(self._checkpoint.config, data)

    @cached_property
    def _images(self) -> Batches:
        return search_images(self._data.validation, self._options.images, self._options.seed)

    @cached_property
    def _model(self) -> LoadedModel:
        return load_model(self._file, self.base.table, engine=self._options.engine)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        images, _ = next(self._images.epoch())
        return order_of_layers(self._model.model, images[:1])

    @cached_property
    def _recording(self) -> OperandRecording:
        path = self._options.out / RECORDING
        if path.exists():  # counted by the process that began the study
            return load_recording(path)
        count = min(_RECORDED_IMAGES, self._images.count)
        part = replace(
            self._images, images=self._images.images[:count], labels=self._images.labels[:count]
        )
        with reproducible(seed=0, threads=self._options.threads):
            histograms = record_operands(self._model.model, part.epoch())
        source = {
            "checkpoint_sha256": sha256_file(self._file),
            "model": self._checkpoint.config.model,
            "data": self._checkpoint.config.data,
            "data_sha256": self._data.data.provenance["sha256"],
            "split": "validation",
            "images": count,
        }
        recording = OperandRecording(histograms, source)
        save_recording(recording, path)
        return recording

    def _energy(self) -> EnergyModel:
        counts = count_products(self._model.model, tuple(self._images.images.shape[1:]))
        per_product = {}
        for done, (name, one) in enumerate(self.choices.items(), start=1):
            err().print(
                f"energy of {name} in each layer ({done}/{len(self.choices)})", markup=False
            )
            per_product[name] = self._energies(one)
        return EnergyModel({layer: counts[layer] for layer in self._order}, per_product)

    def _energies(self, one: Choice) -> dict[str, ProductEnergy]:
        recording, options = self._recording, self._options
        histograms = (
            recording.layers
            if one.mapping is None
            else with_mapped_weights(recording, one.mapping.codes)
        )
        found = layer_energies(
            one.made,
            histograms,
            self._library,
            rtl=options.rtl,
            store=options.store,
            pairs=options.pairs,
        )
        uniform = one.made.cost.energy_fj
        assert uniform is not None  # layer_energies refuses such a design
        return {
            layer.layer: ProductEnergy(layer.settled_fj, layer.glitches_fj, uniform)
            for layer in found
        }


def designs_matching(patterns: Sequence[str], stored: Sequence[str]) -> list[str]:
    """Return the designs that names or patterns (fnmatch) stand for, each once, in their order.

    Raises:
        UnknownNameError: one stands for nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in stored if fnmatchcase(name, pattern.removesuffix(TUNED))]
        if not matching:
            raise unknown_name(
                pattern,
                stored,
                kind="characterized design",
                remedy=f"characterize it first: rtlgrad lut {pattern}",
            )
        found.update(dict.fromkeys(matching))
    return list(found)
