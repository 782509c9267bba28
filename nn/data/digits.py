"""The 8x8 digits that ship with scikit-learn: 1,797 images, always at hand, trained in seconds."""

from __future__ import annotations

import numpy as np
import torch

from ...core.errors import MissingToolError
from .idx import DIGIT_CLASSES
from .images import ImageData

_TRAIN_IMAGES = 1437
_GREATEST_LEVEL = 16


def load_digits() -> ImageData:
    """Load the digits of scikit-learn (the test part of UCI's "optical recognition of handwritten digits").

    Pixels of 0 to 16 become 0 to 255 (rounded). No split is published: the first 1,437 images
    train and the last 360 test. The order is kept because it goes by writer; a shuffled split
    would put the same hands on both sides.

    Raises:
        MissingToolError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingToolError(
            "the digits need scikit-learn",
            got=str(error),
            remedy="pip install 'rtlgrad[data]'",
        ) from error
    bunch = datasets.load_digits()
    pixels = np.rint(np.asarray(bunch.images) * (255 / _GREATEST_LEVEL)).astype(np.uint8)
    images = torch.from_numpy(pixels)[:, None]
    labels = torch.from_numpy(np.asarray(bunch.target).astype(np.int64))
    return ImageData(
        "digits",
        images[:_TRAIN_IMAGES],
        labels[:_TRAIN_IMAGES],
        images[_TRAIN_IMAGES:],
        labels[_TRAIN_IMAGES:],
        classes=DIGIT_CLASSES,
        source="scikit-learn",
    )
