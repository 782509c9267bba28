"""Labelled images from files on this machine, by name, and mini-batches of them."""

from .batches import AUGMENTATIONS, Batches, batches, normalise, split_rows
from .images import ImageData, fit_images, subset
from .registry import DATASETS, load_data

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Batches",
    "ImageData",
    "batches",
    "fit_images",
    "load_data",
    "normalise",
    "split_rows",
    "subset",
]
