"""JPEG files packed end to end: the pixels that Pillow reads from each, and every bad archive."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rtlgrad.core.errors import DataError
from rtlgrad.nn.data import load_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RNG = np.random.default_rng(7)
CLASSES = np.array(["ant", "zebra"])


def jpeg(shape: tuple[int, ...] = (8, 6, 3)) -> bytes:
    image_module = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image_module.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(stream, "jpeg")
    return stream.getvalue()


def arrays_of(images: list[bytes], labels: list[int]) -> dict[str, Any]:
    return {
        "blob": np.frombuffer(b"".join(images), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, images)]),
        "labels": np.array(labels, dtype=np.uint8),
        "classes": CLASSES,
    }


def write_set(folder: Path, **changes: Any) -> dict[str, list[bytes]]:
    """Write both archives; ``changes`` replace arrays of the test split."""
    images = {"train": [jpeg() for _ in range(3)], "test": [jpeg(), jpeg((8, 6))]}
    arrays = {
        "train": arrays_of(images["train"], [0, 1, 1]),
        "test": arrays_of(images["test"], [1, 0]),
    }
    arrays["test"] |= changes
    for split, fields in arrays.items():
        np.savez(folder / f"cifar10_jpegbytes_{split}.npz", **fields)
    return images


def test_each_image_is_what_pillow_reads_from_its_file(tmp_path: Path) -> None:
    images = write_set(tmp_path)
    image_module = pytest.importorskip("PIL.Image")
    data = load_data("cifar10-jpeg", tmp_path)
    assert data.name == "cifar10-jpeg"  # never mistaken for CIFAR-10
    assert data.classes == ("ant", "zebra")
    assert data.train_labels.tolist() == [0, 1, 1]
    assert data.test_images.shape == (2, 3, 8, 6)
    for content, tensor in zip(images["test"], data.test_images, strict=True):
        expected = np.asarray(image_module.open(io.BytesIO(content)).convert("RGB"))
        assert np.array_equal(tensor.numpy().transpose(1, 2, 0), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: {"classes": np.array(["ant", "cow"])}, "another data set"),
        (lambda: {"labels": np.array([1], np.uint8)}, "offsets do not divide"),
        (lambda: {"labels": np.array([1, 7], np.uint8)}, "label"),
        (lambda: arrays_of([jpeg(), jpeg()[:300]], [1, 0]), "image 1 is damaged"),
        (lambda: arrays_of([jpeg(), jpeg((4, 4, 3))], [1, 0]), "differ in size"),
        (lambda: arrays_of([], []), "no packed images"),
    ],
)
def test_a_bad_archive_is_named(
    tmp_path: Path, changes: Callable[[], dict[str, Any]], message: str
) -> None:
    write_set(tmp_path, **changes())
    with pytest.raises(DataError, match=message):
        load_data("cifar10-jpeg", tmp_path)


def test_files_missing_or_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar10_jpegbytes_train\.npz"):
        load_data("cifar10-jpeg", tmp_path)
    write_set(tmp_path)
    test = tmp_path / "cifar10_jpegbytes_test.npz"
    np.savez(test, x=np.zeros(3))
    with pytest.raises(DataError, match="no packed images"):
        load_data("cifar10-jpeg", tmp_path)
    test.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match="cannot read"):
        load_data("cifar10-jpeg", tmp_path)
    test.unlink()
    with pytest.raises(DataError, match=r"cifar10_jpegbytes_test\.npz"):
        load_data("cifar10-jpeg", tmp_path)
