"""Training and evaluation: runs that can be killed, resumed, repeated and traced."""

from .checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from .config import TrainConfig, config_from_json
from .evaluation import Evaluation, count_products, evaluate
from .folder import CONFIG_NAME, METRICS_NAME
from .loading import LoadedModel, evaluate_checkpoint, load_model
from .loop import train
from .progress import (
    EpochDone,
    Evaluating,
    Event,
    Finished,
    Interrupted,
    PlainProgress,
    Progress,
    Started,
    StepDone,
    silent,
)
from .results import RESULT_NAME, RunResult, load_result

__all__ = [
    "CHECKPOINT_NAME",
    "CONFIG_NAME",
    "METRICS_NAME",
    "RESULT_NAME",
    "Checkpoint",
    "EpochDone",
    "Evaluating",
    "Evaluation",
    "Event",
    "Finished",
    "Interrupted",
    "LoadedModel",
    "PlainProgress",
    "Progress",
    "RunResult",
    "Started",
    "StepDone",
    "TrainConfig",
    "config_from_json",
    "count_products",
    "evaluate",
    "evaluate_checkpoint",
    "load_checkpoint",
    "load_model",
    "load_result",
    "silent",
    "train",
]
