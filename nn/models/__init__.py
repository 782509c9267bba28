"""Models of the literature on approximate multipliers, in plain torch, by name."""

from .deep_resnet import DeepResNet
from .lenet import LeNet5, LeNet300100
from .registry import MODELS, ModelShape, ModelSpec, build_model, model_spec
from .resnet import ResNet

__all__ = [
    "MODELS",
    "DeepResNet",
    "LeNet5",
    "LeNet300100",
    "ModelShape",
    "ModelSpec",
    "ResNet",
    "build_model",
    "model_spec",
]
