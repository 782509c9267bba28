"""Error metrics in words and columns, for each kind of characterization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lutgen.record import Characterization, MantissaCharacterization
from ..lutgen.sampled_metrics import SampledMetrics
from .console import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..lutgen.estimate import Estimate
    from ..lutgen.metrics import ErrorMetrics
    from ..lutgen.record import AnyCharacterization, SampledCharacterization
    from ..lutgen.sampled_float import SampledFloatMetrics
    from ..lutgen.special_operands import SpecialCase

METRIC_HEADINGS = ("MAE %", "WCE %", "MRE %", "EP %", "bias")


def columns(made: AnyCharacterization) -> list[str]:
    """Return a design's metrics for the columns `METRIC_HEADINGS`.

    Estimates begin with ``~``, lower bounds with ``>=``; the bias of floating-point multipliers is
    relative, in percent. What a kind does not have is blank.
    """
    if isinstance(made, Characterization):
        exact = made.metrics
        return [
            number(exact.mae_pct, 4),
            number(exact.wce_pct, 3),
            number(exact.mre_nonzero_pct, 3),
            number(exact.ep_pct, 2),
            number(exact.bias, 1),
        ]
    if isinstance(made, MantissaCharacterization):
        relative = made.metrics
        return ["", "", number(relative.mre_pct, 3), "", f"{number(relative.bias_pct, 3)} %"]
    metrics = made.metrics
    if isinstance(metrics, SampledMetrics):
        return [
            f"~{number(metrics.mae_pct.value, 4)}",
            f">={number(metrics.wce_at_least_pct, 3)}",
            f"~{number(metrics.mre_nonzero_pct.value, 3)}",
            f"~{number(metrics.ep_pct.value, 2)}",
            f"~{metrics.bias.value:.4g}",
        ]
    return ["", "", f"~{metrics.mre_pct.value:.3g}", "", f"~{metrics.bias_pct.value:.3g} %"]


def lines(made: AnyCharacterization) -> Iterator[tuple[str, str]]:
    """Return what is known of a design's errors, as labels and texts."""
    if isinstance(made, Characterization):
        yield from _table_lines(made.metrics)
    elif isinstance(made, MantissaCharacterization):
        yield from _mantissa_lines(made)
    else:
        yield from _sample_lines(made)


def _table_lines(metrics: ErrorMetrics) -> Iterator[tuple[str, str]]:
    yield (
        "MAE",
        f"{metrics.mae:.6g}  ({metrics.mae_pct:.6f} % of 2^(wa+wb), NMED {metrics.nmed:.3e})",
    )
    yield "WCE", f"{metrics.wce}  ({metrics.wce_pct:.4f} % of 2^(wa+wb))"
    yield "MSE", f"{metrics.mse:.6g}"
    yield "bias", f"{metrics.bias:.6g}"
    yield "EP", f"{metrics.ep_pct:.4f} %"
    yield (
        "MRE",
        (
            f"{metrics.mre_nonzero_pct:.5f} % where the exact product is not 0; "
            f"{metrics.mre_all_pct:.5f} % over all pairs, of max(1, |exact|)"
        ),
    )


def _mantissa_lines(made: MantissaCharacterization) -> Iterator[tuple[str, str]]:
    metrics = made.metrics
    bits = made.table.mantissa_bits
    yield "mantissas", f"{bits} bits, all {4**bits} pairs; {made.rounding}"
    yield "MRE", f"{metrics.mre_pct:.5f} %, worst {metrics.worst_pct:.4f} %"
    yield "bias", f"{metrics.bias_pct:.5f} % of the exact product; NMED {metrics.nmed:.3e}"
    found = made.decomposition
    if found is not None:
        yield (
            "decomposes",
            (
                "sign, exponent and mantissa are computed apart: so found for all mantissas at one "
                f"exponent and for {found.sampled_pairs} sampled pairs over all signs and exponents "
                f"(seed {found.seed})"
            ),
        )
        yield from _special_lines(found.specials)
        yield from _netlist_line(found.netlist_pairs)


def _sample_lines(made: SampledCharacterization) -> Iterator[tuple[str, str]]:
    metrics = made.metrics
    shown = f"{metrics.pairs} operand pairs in {metrics.strata} strata, seed {made.sample.seed}"
    yield "sample", f"{shown}: {made.sample.method}"
    if isinstance(metrics, SampledMetrics):
        yield from _integer_lines(metrics)
    else:
        yield from _float_lines(metrics)
    yield from _netlist_line(made.netlist_pairs)


def _integer_lines(metrics: SampledMetrics) -> Iterator[tuple[str, str]]:
    yield "MAE", f"{_estimate(metrics.mae)}; {_estimate(metrics.mae_pct)} % of 2^(wa+wb)"
    at = f"for codes a = {metrics.worst_a}, b = {metrics.worst_b}"
    yield "WCE", f"at least {metrics.wce_at_least} ({metrics.wce_at_least_pct:.4g} %), {at}"
    yield "MSE", _estimate(metrics.mse)
    yield "bias", _estimate(metrics.bias)
    yield "EP", f"{_estimate(metrics.ep_pct)} %"
    yield (
        "MRE",
        (
            f"{_estimate(metrics.mre_nonzero_pct)} % where the exact product is not 0; "
            f"{_estimate(metrics.mre_all_pct)} % over all pairs, of max(1, |exact|)"
        ),
    )


def _float_lines(metrics: SampledFloatMetrics) -> Iterator[tuple[str, str]]:
    yield "MRE", f"{_estimate(metrics.mre_pct)} %"
    at = f"for codes a = {metrics.worst_a:#x}, b = {metrics.worst_b:#x}"
    yield "worst", f"at least {metrics.worst_at_least_pct:.6g} %, {at}"
    yield "bias", f"{_estimate(metrics.bias_pct)} % of the exact product"
    yield "mantissas", f"{metrics.rounding}, in the sample"
    yield from _special_lines(metrics.specials)


def _special_lines(specials: Iterable[SpecialCase]) -> Iterator[tuple[str, str]]:
    for case in specials:
        example = "" if case.counter_example is None else f"; not IEEE: {case.counter_example}"
        yield "special", f"{case.operands}: {case.behaviour} ({case.pairs} pairs{example})"


def _netlist_line(pairs: int) -> Iterator[tuple[str, str]]:
    if pairs:
        yield (
            "sampled",
            f"the mapped netlist equals the simulation for {pairs} operand pairs; that is no proof",
        )


def _estimate(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.6g} (no interval: the sample does not vary)"
    return f"{figure.value:.6g} (95 %: {figure.low:.6g} to {figure.high:.6g})"
