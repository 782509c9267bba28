"""Training and evaluation: runs that can be killed, resumed, repeated and traced."""

from .checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from .config import TrainConfig, config_from_json
from .evaluation import Evaluation, count_products, evaluate
from .folder import CONFIG_NAME, METRICS_NAME
from .loading import LoadedModel, evaluate_checkpoint, load_model
from .loop import train
from .multipliers import exact_like, tables_for
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
from .schedule import Phase, parse_phases
from .sweep import (
    SweepRow,
    SweepRun,
    designs_needed,
    plan_sweep,
    run_sweep,
    summarize,
    with_multiplier,
)
from .toml_config import build_config, read_toml

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
    "Phase",
    "PlainProgress",
    "Progress",
    "RunResult",
    "Started",
    "StepDone",
    "SweepRow",
    "SweepRun",
    "TrainConfig",
    "build_config",
    "config_from_json",
    "count_products",
    "designs_needed",
    "evaluate",
    "evaluate_checkpoint",
    "exact_like",
    "load_checkpoint",
    "load_model",
    "load_result",
    "parse_phases",
    "plan_sweep",
    "read_toml",
    "run_sweep",
    "silent",
    "summarize",
    "tables_for",
    "train",
    "with_multiplier",
]
