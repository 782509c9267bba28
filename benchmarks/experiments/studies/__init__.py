"""The studies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .floats import FLOAT_LENETS, FLOAT_RESNET
from .noise import NOISE
from .retraining import RETRAINING, RETRAINING_SMALL
from .scratch import SCRATCH, SCRATCH_SMALL

if TYPE_CHECKING:
    from ..study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        RETRAINING,
        RETRAINING_SMALL,
        NOISE,
        FLOAT_LENETS,
        FLOAT_RESNET,
        SCRATCH,
        SCRATCH_SMALL,
    )
}
