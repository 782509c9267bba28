"""Accuracies predicted from error tables: the architectural mean error, and regressions on it."""

from .architecture import Architecture, analyse
from .comparison import PredictorRow, compare, design_metrics, spearman
from .measuring import Measured, open_network
from .predictor import AccuracyPredictor, Prediction, choose_spread, fit_predictor
from .regression import Quadratic, fit_quadratic

__all__ = [
    "AccuracyPredictor",
    "Architecture",
    "Measured",
    "Prediction",
    "PredictorRow",
    "Quadratic",
    "analyse",
    "choose_spread",
    "compare",
    "design_metrics",
    "fit_predictor",
    "fit_quadratic",
    "open_network",
    "spearman",
]
