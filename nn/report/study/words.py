"""The summary: which multiplier to use and why, in sentences whose figures are the tables'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lutgen.catalogue.markup import Markup, join, number, tag
from .decision import standard_error

if TYPE_CHECKING:
    from .rows import AssignmentRow, Decision, DesignRow, Search, Study

ENERGY_KINDS = {
    "layers": "at the operands recorded in the network's layers",
    "uniform": "for uniform random operands",
}
_COSTS = {"energy_nj": ("multiplication energy", "nJ per image"), "area_um2": ("area", "µm²")}
_JUDGED = {"validation": "held-out", "test": "test"}


def verdict(study: Study, decision: Decision) -> Markup:
    """Return the box that answers which multiplier to use in one network."""
    network = f"{decision.model} on {decision.data}"
    if decision.chosen is None:
        answer = join("No multiplier can be recommended: ", decision.reason, ".")
        return _box(network, answer, [*_beyond(study, decision), rule(decision)])
    chosen = study.designs[decision.chosen]
    reasons = [_why(study, decision, decision.chosen)]
    reasons += [
        *_runner_up(study, decision),
        *_beyond(study, decision),
        rule(decision),
        _doubt(study, decision),
    ]
    stays = chosen.exact and decision.chosen == decision.reference
    answer = (
        join("Stay with the exact ", tag("strong", chosen.label), ".")
        if stays
        else join("Use ", tag("strong", chosen.label), ".")
    )
    return _box(network, answer, reasons)


def search_verdict(search: Search) -> Markup:
    """Return the box that says what a design per layer would bring."""
    name = f"A design per layer ({search.accelerator}, {search.source})"
    chosen = next((one for one in search.candidates if one.chosen), None)
    if chosen is None:
        text = f"No candidate of this search loses at most {search.max_loss:g} points on all held-out images."
        return _box(name, join(text), [])
    answer = join(
        "Use ", tag("strong", ", ".join(chosen.designs)), ", as the table of layers says."
    )
    reasons = [join("It ", _candidate(chosen, search))]
    single = next((one for one in search.candidates if one.best_single), None)
    if single is not None:
        reasons.append(
            join(
                f"The best with one design in all layers, {single.designs[0]}, ",
                _candidate(single, search),
            )
        )
    reasons.append(
        join(
            f"Rule: the least energy of the finalists that lose at most {search.max_loss:g} points against "
            f"{search.base} on all held-out images, without retraining."
        )
    )
    return _box(name, answer, reasons)


def rule(decision: Decision) -> Markup:
    """Say by which rule the choice was made."""
    what, _ = _COSTS.get(decision.cost, ("cost", ""))
    where = f" ({ENERGY_KINDS[decision.energy_kind]})" if decision.cost == "energy_nj" else ""
    return join(
        f"Rule: of the designs that lose at most {_points(decision.max_loss)} of accuracy on the "
        f"{_JUDGED[decision.judged_on]} images against the reference, the one of least {what}{where}. "
        + (
            "The test images took part in no choice."
            if decision.judged_on == "validation"
            else "The choice was made on the test images, so their accuracy is a little flattered."
        )
    )


def _why(study: Study, decision: Decision, at: int) -> Markup:
    row = study.designs[at]
    return join(
        f"{_saving(study, decision, at)}. {_accuracies(study, decision, at)}{_retrained(row)}"
    )


def _saving(study: Study, decision: Decision, at: int) -> str:
    what, unit = _COSTS[decision.cost]
    cost, saved = getattr(study.designs[at], decision.cost), decision.saved_pct[at]
    text = f"{number(cost)} {unit} of {what}"
    if saved is None or decision.reference is None or at == decision.reference:
        return f"It takes {text}"
    base = study.designs[decision.reference].label
    return f"It takes {text}, {abs(saved):.1f} % {'less' if saved >= 0 else 'more'} than {base}"


def _accuracies(study: Study, decision: Decision, at: int) -> str:
    row, lost = study.designs[at], decision.losses[at]
    text = f"{row.accuracy:.2f} % of the {row.test_images:,} test images are right"
    if decision.reference is None or at == decision.reference:
        return text
    base = study.designs[decision.reference]
    text += f" ({base.label}: {base.accuracy:.2f} %)"
    if decision.judged_on == "validation" and lost is not None:
        text += f"; on the held-out images it {_lost(lost)}"
    return text


def _lost(points: float) -> str:
    return f"loses {points:.2f} points" if points >= 0 else f"gains {-points:.2f} points"


def _retrained(row: DesignRow) -> str:
    if row.before is None:
        return "."
    if not row.epochs:
        return ", without retraining."
    return f", after retraining; {row.before:.2f} % before it."


def _runner_up(study: Study, decision: Decision) -> list[Markup]:
    if decision.runner_up is None:
        return [join("No other design loses so little.")]
    name = tag("strong", study.designs[decision.runner_up].label)
    if decision.runner_up == decision.reference:
        name = join(name, ", the exact reference itself")
    return [join("Runner-up: ", name, ". ", _why(study, decision, decision.runner_up))]


def _beyond(study: Study, decision: Decision) -> list[Markup]:
    at = decision.beyond
    if at is None:
        return []
    lost, saved = decision.losses[at] or 0.0, decision.saved_pct[at] or 0.0
    name = tag("strong", study.designs[at].label)
    return [
        join(
            *("If more may be lost: ", name, f" saves {saved:.1f} % and {_lost(lost)} on the "),
            f"{_JUDGED[decision.judged_on]} images.",
        )
    ]


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _doubt(study: Study, decision: Decision) -> Markup:
    row = study.designs[decision.chosen or 0]
    on_validation = decision.judged_on == "validation" and row.validation is not None
    share = row.validation if on_validation and row.validation is not None else row.accuracy
    images = row.validation_images if on_validation else row.test_images
    error = standard_error(share, images)
    seeds = f"{len(row.seeds)} run{'' if len(row.seeds) == 1 else 's'} of each"
    return join(
        f"How sure: a difference of two accuracies on {images:,} images has a standard error of up to "
        f"{error:.2f} points, and another seed trains another network (here: {seeds})."
    )


def _candidate(one: AssignmentRow, search: Search) -> str:
    text = f"saves {one.saved_pct:.1f} % of the energy of {search.base}"
    if one.validation_loss is not None:
        text += f", {_lost(one.validation_loss)} on the held-out images"
    if one.test_loss is not None:
        text += f" and {_lost(one.test_loss)} on the test images ({one.test_accuracy:.2f} % right)"
    return f"{text}."


def _box(title: str, answer: Markup, reasons: list[Markup]) -> Markup:
    listing = tag("ul", *(tag("li", reason) for reason in reasons)) if reasons else Markup()
    return tag(
        "section", tag("h3", title), tag("p", answer, class_="answer"), listing, class_="verdict"
    )
