"""How well a model does on labelled images, and how many products that takes."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from ..data import Batches, batches
from .precision import exact_parts_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..data import ImageData

_EVALUATION_BATCH = 500


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's performance on a set of images.

    Attributes:
        accuracy: share of images whose greatest logit is at the label, 0 to 1 (ties: the first
            class counts).
        loss: mean cross-entropy in nats.
        correct: images classified correctly.
        count: images in all.
        seconds: wall time.
        products: multiplications in the convolutions and linear layers for all these images,
            padding included, biases not.
    """

    accuracy: float
    loss: float
    correct: int
    count: int
    seconds: float
    products: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; a loss that is not finite becomes null."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "correct": self.correct,
            "count": self.count,
            "seconds": self.seconds,
            "products": self.products,
        }


def evaluation_from_json(values: dict[str, Any]) -> Evaluation:
    """Undo `Evaluation.to_json`; a null loss becomes NaN."""
    loss = values["loss"]
    return Evaluation(**{**values, "loss": math.nan if loss is None else loss})


def evaluate(
    model: nn.Module,
    data: ImageData | Batches,
    *,
    batch_size: int = _EVALUATION_BATCH,
    precision: str = "fp32",
    progress: Callable[[int, int], None] | None = None,
    products_per_image: int | None = None,
) -> Evaluation:
    """Evaluate a model on the test images of a data set, or on given batches.

    The model runs in evaluation mode and without gradients; its mode is restored afterwards.

    Args:
        model: maps float32 [N, C, H, W] to logits [N, classes].
        data: a data set (its test split is used), or batches.
        batch_size: images at a time, where a data set is given.
        precision: what layers without a table compute in (`rtlgrad.nn.training.precision`).
        progress: called with batches done and batches in all.
        products_per_image: as `count_products` finds them; counted, on one more image, if None.
    """
    source = data if isinstance(data, Batches) else batches(data, "test", batch_size=batch_size)
    per_image = products_per_image
    if per_image is None:
        per_image = sum(count_products(model, source.images.shape[1:]).values())
    started = time.perf_counter()
    loss, correct, count = 0.0, 0, 0
    with evaluating(model), torch.no_grad():
        for done, (images, labels) in enumerate(source.epoch(), start=1):
            with exact_parts_in(precision, images.device):
                logits = model(images).float()
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
            if progress is not None:
                progress(done, len(source))
    seconds = time.perf_counter() - started
    return Evaluation(correct / count, loss / count, correct, count, seconds, per_image * count)


def count_products(model: nn.Module, image_shape: tuple[int, ...]) -> dict[str, int]:
    """Count the multiplications of each convolution and linear layer for one image.

    Each output value of a layer takes as many products as its weight has entries per output
    channel; positions in the padding are counted, because hardware and tables take them too.

    Args:
        model: the model.
        image_shape: (C, H, W).

    Returns:
        Layer name -> products per image, in the order of the first use.
    """
    counts: dict[str, int] = {}
    handles = []

    def counter(name: str) -> Callable[..., None]:
        def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            del inputs
            weight = module.weight
            if isinstance(weight, torch.Tensor):
                counts[name] = counts.get(name, 0) + output.numel() * weight[0].numel()

        return count

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            handles.append(module.register_forward_hook(counter(name)))
    try:
        with evaluating(model), torch.no_grad():
            model(torch.zeros(1, *image_shape))
    finally:
        for handle in handles:
            handle.remove()
    return counts


def products_per_image(model: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Return the sum of `count_products`; torch's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return sum(count_products(model, image_shape).values())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for the block, and each module back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
