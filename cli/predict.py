"""``rtlgrad predict``: what designs cost a trained network in accuracy, from a few measured ones."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from statistics import median
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..core.files import readable_json, write_atomic
from ..core.names import unknown_name
from ..lutgen.store import load, stored_names
from ..lutgen.table import ProductTable, exact_table
from ..nn.data import load_data
from ..nn.prediction import (
    Measured,
    analyse,
    choose_spread,
    compare,
    design_metrics,
    fit_predictor,
    open_network,
)
from ..nn.prediction.comparison import AME
from ..nn.prediction.predictor import severity
from ..nn.statistics import record_operands
from ..nn.training import CHECKPOINT_NAME, load_checkpoint
from ..nn.training.allocator import keep_freed_memory
from .console import err, number, out, print_json, print_table
from .training import stored_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..nn.prediction import AccuracyPredictor, Architecture, Prediction, PredictorRow
    from ..nn.prediction.measuring import Network

HEADINGS = ("design", "AME", "predicted %", "interval %", "measured %", "")
COMPARISON = ("predictor", "Spearman", "between chance and exact", "held out", "leave one out")


@dataclass(frozen=True, eq=False)
class _Study:
    """All that one call found out.

    Attributes:
        names: of each distinct table the designs that have it.
        tables: the distinct tables, exact ones left out.
        ames: of each.
        predictions: of each.
        accuracies: measured, or None.
        fitted: indices of those that the regression was fitted to.
    """

    predictor: AccuracyPredictor
    names: list[list[str]]
    tables: list[ProductTable]
    predictions: list[Prediction]
    accuracies: list[float | None]
    fitted: list[int]
    exact: float
    chance: float
    seconds: dict[str, float]
    rows: list[PredictorRow]


@dataclass(frozen=True, slots=True)
class Options:
    """What to predict, and from how much.

    Attributes:
        designs: patterns of their names; none for those with the operands of the run.
        fit: how many to measure for the regression.
        images: training images to analyse the network with.
        test_images: to measure on; all if None.
        level: of the intervals.
        comparing: whether to measure all, and to compare the AME with other metrics.
        engine: for the table's sums.
        measured: file of accuracies that are known, or None.
    """

    designs: tuple[str, ...] = ()
    fit: int = 10
    images: int = 128
    test_images: int | None = None
    level: float = 0.9
    comparing: bool = False
    engine: str = "auto"
    measured: Path | None = None


def run(
    checkpoint: Path,
    options: Options,
    *,
    file: Path | None,
    store: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Predict, and print what was predicted; ``file`` keeps it as JSON too."""
    keep_freed_memory()
    study, network = _open(checkpoint, options, store, data_root)
    if file is not None:
        write_atomic(file, readable_json(_as_data(study, network)))
    if as_json:
        print_json(_as_data(study, network))
    else:
        _print(study)


def write_predictions(
    checkpoint: Path, options: Options, file: Path, *, store: Path, data_root: Path | None
) -> None:
    """Predict, and keep what was predicted as JSON, as ``rtlgrad report --html`` reads it."""
    study, network = _open(checkpoint, options, store, data_root)
    write_atomic(file, readable_json(_as_data(study, network)))


def _open(
    checkpoint: Path, options: Options, store: Path, data_root: Path | None
) -> tuple[_Study, Network]:
    weights = checkpoint / CHECKPOINT_NAME if checkpoint.is_dir() else checkpoint
    config = load_checkpoint(weights).config
    own = stored_table(config.design, store)
    if own is not None and not isinstance(own, ProductTable):
        raise ConfigError(
            "accuracies are predicted for networks of integer operands alone", got=repr(own)
        )
    tables = _designs(store, options.designs, own or exact_table(8, 8))
    network = open_network(
        weights, load_data(config.data, data_root), tables[0], own=own,
        images=options.images, limit_test=options.test_images, engine=options.engine,
    )  # fmt: skip
    known = Measured(network.identity)
    if options.measured is not None:
        known = Measured.read(options.measured, network.identity)
    return _study(network, tables, known, options), network


def _designs(store: Path, patterns: Sequence[str], like: ProductTable) -> list[ProductTable]:
    """Load the tables whose names fit the patterns; without any, those with the operands of one."""
    if not store.is_dir():
        raise ConfigError(
            f"there are no characterized designs: no folder {store}", remedy="rtlgrad lut"
        )
    names = list(stored_names(store))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown_name(pattern, names, kind="design (no name matches this pattern)")
    found = []
    for name in names:
        if patterns and not any(fnmatchcase(name, pattern) for pattern in patterns):
            continue
        made = getattr(load(store / name), "table", None)
        if isinstance(made, ProductTable) and (patterns or _operands(made) == _operands(like)):
            found.append(made)
    if not found:
        raise ConfigError(
            "no design with a table of integer products", got=", ".join(patterns) or "none"
        )
    for table in found:
        if _operands(table) != _operands(found[0]):
            raise ConfigError(
                "the designs have operands of different widths or signs",
                got=f"{found[0]!r} and {table!r}",
                remedy="name designs of one format: --designs 'mul8u_*'",
            )
    return found


def _operands(table: ProductTable) -> tuple[int, int, bool, bool]:
    return table.width_a, table.width_b, table.signed_a, table.signed_b


def _study(
    network: Network,
    tables: list[ProductTable],
    known: Measured,
    options: Options,
) -> _Study:
    fit, comparing = options.fit, options.comparing
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    architecture = analyse(network.model, network.calibration)
    seconds["analysis"] = time.perf_counter() - started
    groups = _distinct([table for table in tables if table.error.any()])
    distinct = [group[0] for group in groups]
    ames = [architecture.ame(table) for table in distinct]
    chosen = choose_spread(severity(ames, architecture.margin).tolist(), fit)
    given = [known.get(table) for table in distinct]
    if not comparing and sum(one is not None for one in given) >= fit:
        chosen = [i for i, one in enumerate(given) if one is not None]
    needed = range(len(distinct)) if comparing else chosen
    durations: list[float] = []
    exact_one = next((t for t in tables if not t.error.any()), None)
    exact = _accuracy(network, exact_one or _exact(tables[0]), known, durations)
    for i in needed:
        given[i] = _accuracy(network, distinct[i], known, durations)
    chance = 1.0 / network.classes
    pairs = [(distinct[i], accuracy) for i in chosen if (accuracy := given[i]) is not None]
    predictor = fit_predictor(architecture, pairs, exact=exact, chance=chance, level=options.level)
    predictions = [predictor.predict(table) for table in distinct]
    seconds["prediction"] = _time_prediction(predictor, distinct)
    if not durations:
        durations.append(network.measure(distinct[0]).seconds)
    seconds["evaluation"] = median(durations)
    rows = []
    if comparing:
        rows = _compare(network, architecture, distinct, given, exact, chance, fit)
    names = [[table.name for table in group] for group in groups]
    return _Study(
        predictor, names, distinct, predictions, given, chosen, exact, chance, seconds, rows
    )


def _distinct(tables: Sequence[ProductTable]) -> list[list[ProductTable]]:
    """Group equal tables: two names of one function are one observation."""
    groups: dict[str, list[ProductTable]] = {}
    for table in tables:
        groups.setdefault(table.content_hash, []).append(table)
    return list(groups.values())


def _exact(like: ProductTable) -> ProductTable:
    return ProductTable(like.exact, like.signed_a, like.signed_b, name="exact")


def _accuracy(
    network: Network, table: ProductTable, known: Measured, durations: list[float]
) -> float:
    accuracy = known.get(table)
    if accuracy is None:
        evaluation = network.measure(table)
        durations.append(evaluation.seconds)
        accuracy = evaluation.accuracy
        known.add(table, accuracy)
        err().print(
            f"{table.name}: {100 * accuracy:.2f} % of {evaluation.count} images, "
            f"{evaluation.seconds:.1f} s",
            markup=False,
        )
    return accuracy


def _time_prediction(predictor: AccuracyPredictor, tables: Sequence[ProductTable]) -> float:
    """Return the median seconds for one design: its error matrix, its AME, the regression."""
    taken = []
    for table in tables:
        started = time.perf_counter()
        predictor.accuracy_of(table)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _compare(
    network: Network,
    architecture: Architecture,
    tables: list[ProductTable],
    accuracies: list[float | None],
    exact: float,
    chance: float,
    fit: int,
) -> list[PredictorRow]:
    histograms = record_operands(network.model, [network.calibration])
    metrics = design_metrics(tables, architecture, histograms)
    measured = [accuracy for accuracy in accuracies if accuracy is not None]
    units = {AME: architecture.margin}
    return compare(metrics, measured, units=units, exact=exact, chance=chance, fit=fit)


def _print(study: _Study) -> None:
    order = sorted(range(len(study.tables)), key=lambda i: study.predictions[i].ame)
    rows = []
    for i in order:
        one = study.predictions[i]
        rows.append(
            [
                " = ".join(study.names[i]),
                f"{one.ame:.3g}",
                f"{100 * one.accuracy:.2f}",
                f"{100 * one.low:.1f} to {100 * one.high:.1f}",
                number(_percent(study.accuracies[i]), 2),
                "fitted" if i in study.fitted else "",
            ]
        )
    print_table(HEADINGS, rows)
    _print_summary(study)
    if study.rows:
        print_table(COMPARISON, [_row_texts(row) for row in study.rows])


def _print_summary(study: _Study) -> None:
    a, b, c = study.predictor.regression.coefficients
    regression, seconds = study.predictor.regression, study.seconds
    ratio = seconds["evaluation"] / seconds["prediction"]
    out().print(
        f"exact {100 * study.exact:.2f} %, chance {100 * study.chance:.2f} %; accuracy = "
        f"{a:.4f} x^2 {b:+.4f} x {c:+.4f}, x = 1 - exp(-AME / "
        f"{study.predictor.architecture.margin:.3f}), fitted to {len(study.fitted)} designs and the "
        f"exact one; intervals: jackknife+, level {100 * regression.attained:.0f} %\n"
        f"analysis {seconds['analysis']:.1f} s once; per design {1e3 * seconds['prediction']:.3f} ms, "
        f"against {seconds['evaluation']:.1f} s for an evaluation: {ratio:,.0f} times faster"
        f"{_coverage(study)}",
        markup=False,
    )


def _coverage(study: _Study) -> str:
    errors, inside = [], 0
    for i, (one, accuracy) in enumerate(zip(study.predictions, study.accuracies, strict=True)):
        if accuracy is not None and i not in study.fitted:
            errors.append(abs(one.accuracy - accuracy))
            inside += one.low <= accuracy <= one.high
    if not errors:
        return ""
    mean = 100 * sum(errors) / len(errors)
    return (
        f"\nheld out: {len(errors)} designs, mean error {mean:.2f} points, greatest "
        f"{100 * max(errors):.2f}, {inside} inside their intervals"
    )


def _row_texts(row: PredictorRow) -> list[str]:
    return [
        row.metric,
        number(row.spearman, 3),
        number(row.spearman_between, 3),
        number(_percent(row.held_out), 2),
        number(_percent(row.leave_one_out), 2),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _as_data(study: _Study, network: Network) -> dict[str, Any]:
    regression = study.predictor.regression
    return {
        "network": network.identity,
        "exact_accuracy": study.exact,
        "chance": study.chance,
        "unit": study.predictor.architecture.margin,
        "images": study.predictor.architecture.images,
        "coefficients": regression.coefficients.tolist(),
        "level": regression.attained,
        "seconds": study.seconds,
        "designs": [
            {
                "designs": study.names[i],
                "characterization_id": table.id,
                **asdict(study.predictions[i]),
                "measured": study.accuracies[i],
                "fitted": i in study.fitted,
            }
            for i, table in enumerate(study.tables)
        ],
        "comparison": [asdict(row) for row in study.rows],
    }
