"""Data sets: files in the published byte formats, read back; and every way in which they fail."""

from __future__ import annotations

import builtins
import gzip
import io
import pickle
import shutil
import struct
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import ConfigError, DataError, MissingToolError, UnknownNameError
from rtlgrad.nn.data import (
    DATASETS,
    Batches,
    ImageData,
    batches,
    files,
    fit_images,
    load_data,
    normalise,
    split_rows,
    subset,
)
from rtlgrad.nn.data.cifar import CIFAR10_CLASSES, load_cifar10
from rtlgrad.nn.data.idx import read_idx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _no_system_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What happens to be installed on this machine must not decide a test."""
    monkeypatch.setattr(files, "SYSTEM_FOLDER", tmp_path / "nowhere")


# --- IDX ------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    header = struct.pack(">BBBB", 0, 0, kind, array.ndim)
    return header + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, packed: bool = True, dot: str = "-") -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix, count in (("train", 12), ("t10k", 5)):
        arrays[f"{prefix}-images{dot}idx3-ubyte"] = RNG.integers(
            0, 256, (count, 28, 28), dtype=np.uint8
        )
        arrays[f"{prefix}-labels{dot}idx1-ubyte"] = RNG.integers(0, 10, count, dtype=np.uint8)
    for name, array in arrays.items():
        content = idx_bytes(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return arrays


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx_set_comes_back_as_written(tmp_path: Path, name: str, packed: bool, dot: str) -> None:
    arrays = write_idx_set(tmp_path, packed=packed, dot=dot)
    data = load_data(name, tmp_path)
    assert np.array_equal(data.train_images[:, 0].numpy(), arrays[f"train-images{dot}idx3-ubyte"])
    assert np.array_equal(data.test_images[:, 0].numpy(), arrays[f"t10k-images{dot}idx3-ubyte"])
    assert data.train_labels.tolist() == arrays[f"train-labels{dot}idx1-ubyte"].tolist()
    assert data.test_labels.tolist() == arrays[f"t10k-labels{dot}idx1-ubyte"].tolist()
    assert data.train_labels.dtype == torch.int64
    assert data.train_images.dtype == torch.uint8
    assert len(data.classes) == 10
    assert data.source == str(tmp_path)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    packed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_idx_round_trip(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], packed: bool, seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "array"
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_idx(path, dimensions=len(shape)), array)


@pytest.mark.parametrize("place", [".", "fashion-mnist", "FashionMNIST/raw"])
def test_idx_set_is_found_below_the_root_and_before_the_system_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    system = tmp_path / "system"
    write_idx_set(system / "fashion-mnist")
    monkeypatch.setattr(files, "SYSTEM_FOLDER", system)
    assert load_data("fashion-mnist").source == str(system / "fashion-mnist")
    root = tmp_path / "mine"
    write_idx_set(root / place)
    assert load_data("fashion-mnist", root).source == str(root / place)


def damage_truncate(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def damage_lengthen(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")


def damage_magic(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros((12, 28, 28), np.uint8), kind=0x0D))


def damage_swap(folder: Path) -> None:
    shutil.copy(folder / "train-labels-idx1-ubyte", folder / "train-images-idx3-ubyte")


def damage_count(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(11, np.uint8)))


def damage_label(folder: Path) -> None:
    labels = np.zeros(12, np.uint8)
    labels[7] = 10
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


def damage_missing(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").unlink()


def damage_empty(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(b"")


def damage_header(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(bytes((0, 0, 8, 3)) + b"\0\0")


def damage_negative(folder: Path) -> None:
    head = bytes((0, 0, 8, 3)) + struct.pack(">3i", -1, 28, 28)
    (folder / "train-images-idx3-ubyte").write_bytes(head)


def damage_gzip(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))


def damage_gzip_end(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])


@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (damage_truncate, "train-images-idx3-ubyte", ["9,423 bytes", "9,424 for 12x28x28"]),
        (damage_lengthen, "t10k-labels-idx1-ubyte", ["14 bytes", "13 for 5"]),
        (damage_magic, "train-images-idx3-ubyte", ["0x00000d03", "0x00000803"]),
        (damage_swap, "train-images-idx3-ubyte", ["0x00000801", "0x00000803", "swapped"]),
        (damage_count, "train-labels-idx1-ubyte", ["11 labels", "12"]),
        (damage_label, "train-labels-idx1-ubyte", ["10 for image 7", "0 to 9"]),
        (damage_missing, "", ["no t10k-images file", "t10k-images-idx3-ubyte.gz"]),
        (damage_empty, "train-labels-idx1-ubyte", ["empty file", "0x00000801"]),
        (damage_header, "train-images-idx3-ubyte", ["6 bytes", "header of 16 bytes"]),
        (damage_negative, "train-images-idx3-ubyte", ["(-1, 28, 28)"]),
        (damage_gzip, "train-images-idx3-ubyte", ["damaged gzip"]),
        (damage_gzip_end, "train-images-idx3-ubyte", ["damaged gzip"]),
    ],
)
def test_damaged_idx_set_names_file_finding_and_expectation(
    tmp_path: Path, damage: Callable[[Path], None], file: str, words: list[str]
) -> None:
    write_idx_set(tmp_path, packed=False)
    damage(tmp_path)
    with pytest.raises(DataError) as caught:
        load_data("mnist", tmp_path)
    message = str(caught.value)
    assert file in message
    assert all(word in message for word in words), message
    assert caught.value.remedy


def test_missing_set_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_data("fashion-mnist", tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert str(files.SYSTEM_FOLDER / "fashion-mnist") in message
    assert "apt install dataset-fashion-mnist" in message
    assert "train-images-idx3-ubyte.gz" in message


def test_missing_root_is_an_error_and_not_a_reason_to_look_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx_set(tmp_path / "system" / "mnist")
    monkeypatch.setattr(files, "SYSTEM_FOLDER", tmp_path / "system")
    with pytest.raises(DataError, match="does not exist"):
        load_data("mnist", tmp_path / "typo")


def test_unknown_data_set_lists_the_legal_names() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_data("fashion_mnist")
    assert "did you mean 'fashion-mnist'?" in str(caught.value)
    assert all(name in str(caught.value) for name in DATASETS)


# --- CIFAR-10 -------------------------------------------------------------------------------

BATCH = 4


def cifar_records() -> dict[str, tuple[np.ndarray, list[int]]]:
    names = [f"data_batch_{index}" for index in range(1, 6)] + ["test_batch"]
    return {
        name: (
            RNG.integers(0, 256, (BATCH, 3072), dtype=np.uint8),
            RNG.integers(0, 10, BATCH).tolist(),
        )
        for name in names
    }


def binary_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    return b"".join(
        bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True)
    )


def python2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The pickle that Python 2's cPickle (protocol 2) wrote for the published batches."""

    def text(content: bytes) -> bytes:
        if len(content) < 256:
            return b"U" + bytes([len(content)]) + content  # SHORT_BINSTRING
        return b"T" + struct.pack("<i", len(content)) + content  # BINSTRING

    def whole(number: int) -> bytes:
        return b"J" + struct.pack("<i", number)

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    array += whole(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + whole(1) + whole(pixels.shape[0]) + whole(pixels.shape[1]) + b"\x86"
    array += b"cnumpy\ndtype\n" + text(b"u1") + whole(0) + whole(1) + b"\x87R"
    array += b"(" + whole(3) + text(b"|") + b"NNN" + whole(-1) + whole(-1) + whole(0) + b"tb"
    array += b"\x89" + text(pixels.tobytes()) + b"tb"
    numbers = b"](" + b"".join(whole(label) for label in labels) + b"e"
    items = text(b"data") + array + text(b"labels") + numbers
    return b"\x80\x02}(" + items + text(b"batch_label") + text(b"training batch") + b"u."


def python3_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    return pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2)


WRITERS: dict[str, tuple[str, str, str, Callable[[np.ndarray, list[int]], bytes]]] = {
    "binary": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin", binary_batch),
    "python2": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "", python2_batch),
    "python3": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "", python3_batch),
}


def write_cifar(root: Path, version: str, *, packed: bool) -> dict[str, Any]:
    folder, archive, suffix, encode = WRITERS[version]
    records = cifar_records()
    contents = {f"{folder}/{name}{suffix}": encode(*batch) for name, batch in records.items()}
    if packed:
        with tarfile.open(root / archive, "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    else:
        (root / folder).mkdir()
        for name, content in contents.items():
            (root / name).write_bytes(content)
    return records


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("version", sorted(WRITERS))
def test_cifar_comes_back_as_written(tmp_path: Path, version: str, packed: bool) -> None:
    records = write_cifar(tmp_path, version, packed=packed)
    data = load_cifar10(tmp_path, batch_images=BATCH)
    pixels = np.concatenate([records[f"data_batch_{i}"][0] for i in range(1, 6)])
    labels = [label for i in range(1, 6) for label in records[f"data_batch_{i}"][1]]
    # Red, green and blue planes of 32 rows each, in this order (the format's description).
    assert np.array_equal(data.train_images[:, 2, 31, 5], pixels[:, 2 * 1024 + 31 * 32 + 5])
    assert np.array_equal(data.train_images.reshape(-1, 3072), pixels)
    assert data.train_labels.tolist() == labels
    assert data.test_labels.tolist() == records["test_batch"][1]
    assert data.classes == CIFAR10_CLASSES
    assert data.augment == "crop-flip"


def test_all_cifar_versions_have_the_same_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = cifar_records()
    monkeypatch.setitem(globals(), "cifar_records", lambda: records)
    hashes = set()
    for version in WRITERS:
        for packed in (True, False):
            root = tmp_path / f"{version}{packed}"
            root.mkdir()
            write_cifar(root, version, packed=packed)
            hashes.add(load_cifar10(root, batch_images=BATCH).sha256)
    assert len(hashes) == 1


@pytest.mark.parametrize("version", sorted(WRITERS))
def test_cifar_source_may_be_the_folder_or_archive_itself(tmp_path: Path, version: str) -> None:
    folder, archive, _, _ = WRITERS[version]
    write_cifar(tmp_path, version, packed=False)
    direct = load_cifar10(tmp_path / folder, batch_images=BATCH)
    assert direct.source == str(tmp_path / folder)
    other = tmp_path / "packed"
    other.mkdir()
    write_cifar(other, version, packed=True)
    assert load_cifar10(other / archive, batch_images=BATCH).source == str(other / archive)


def test_cifar_batch_of_another_size_than_published_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path, "binary", packed=False)
    with pytest.raises(DataError) as caught:
        load_data("cifar10", tmp_path)
    assert "data_batch_1.bin" in str(caught.value)
    assert "(10000, 3072)" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x01" * 3072, ["3,072 bytes", "3,073"]),
        (b"", ["0 bytes"]),
        (b"\x0b" + b"\x00" * (BATCH * 3073 - 1), ["11 for image 0", "0 to 9"]),
        (b"\x00" * 3073 * (BATCH - 1), [f"({BATCH - 1}, 3072)", f"({BATCH}, 3072)"]),
    ],
)
def test_damaged_binary_cifar(tmp_path: Path, content: bytes, words: list[str]) -> None:
    write_cifar(tmp_path, "binary", packed=False)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path, batch_images=BATCH)
    assert "data_batch_3.bin" in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (builtins.exec, ("raise SystemExit",))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({b"data": np.zeros((BATCH, 3072), np.float32), b"labels": [0] * BATCH}, ["uint8", "f4"]),
        ({b"data": np.zeros((BATCH, 3), np.uint8), b"labels": [0] * BATCH}, ["(4, 3)"]),
        ({b"data": np.zeros((BATCH, 3072), np.uint8)}, ["without labels"]),
        ({b"data": np.zeros((BATCH, 3072), np.uint8), b"labels": ["x"] * BATCH}, ["labels"]),
        ({b"data": np.zeros((BATCH, 3072), np.uint8), b"labels": [12] * BATCH}, ["12 for image"]),
        ({b"data": [1, 2], b"labels": [0] * BATCH}, ["no array of bytes"]),
        ([1, 2], ["no dictionary", "list"]),
        ({b"data": Evil(), b"labels": []}, ["not a pickle of plain data", "exec"]),
        ({b"data": io.BytesIO, b"labels": []}, ["asks for _io.BytesIO"]),
    ],
)
def test_python_cifar_of_other_content(tmp_path: Path, batch: object, words: list[str]) -> None:
    write_cifar(tmp_path, "python3", packed=False)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path, batch_images=BATCH)
    assert str(path) in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_damaged_pickle_is_a_data_error_or_plain_data(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever byte is wrong, the user gets a message about the file or the batch as such."""
    root = tmp_path_factory.mktemp("cifar")
    write_cifar(root, "python2", packed=False)
    path = root / "cifar-10-batches-py" / "data_batch_2"
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        # The first bytes hold the program, the last ones labels and end; pixels are in between.
        place = data.draw(st.one_of(st.integers(0, 200), st.integers(-80, -1)))
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        assert load_cifar10(root, batch_images=BATCH).train_images.shape == (5 * BATCH, 3, 32, 32)
    except DataError as error:
        assert "data_batch_2" in str(error)  # noqa: PT017


def test_damaged_or_foreign_cifar_archive(tmp_path: Path) -> None:
    write_cifar(tmp_path, "binary", packed=True)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged archive"):
        load_cifar10(tmp_path, batch_images=BATCH)
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(DataError, match="not the published archive") as caught:
        load_cifar10(tmp_path, batch_images=BATCH)
    assert "data_batch_1.bin" in str(caught.value)


def test_incomplete_cifar_folder_names_the_missing_file(tmp_path: Path) -> None:
    write_cifar(tmp_path, "python2", packed=False)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4"):
        load_cifar10(tmp_path, batch_images=BATCH)


def test_missing_cifar_lists_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path)
    assert all(
        name in str(caught.value)
        for name in ("cifar-10-binary.tar.gz", "cifar-10-batches-py/", "--data-root")
    )


# --- image folders and digits ---------------------------------------------------------------


def write_image(path: Path, pixels: np.ndarray) -> None:
    image_module = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.fromarray(pixels).save(path)


def write_folder(root: Path, *, colour: bool) -> dict[tuple[str, str], np.ndarray]:
    shape = (6, 5, 3) if colour else (6, 5)
    written = {}
    for split, classes in (("train", ("zebra", "ant")), ("test", ("ant",))):
        for name in classes:
            pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
            write_image(root / split / name / "0.png", pixels)
            written[split, name] = pixels
    return written


@pytest.mark.parametrize("colour", [True, False])
def test_image_folder_comes_back_as_written(tmp_path: Path, colour: bool) -> None:
    written = write_folder(tmp_path, colour=colour)
    data = load_data("image-folder", tmp_path)
    assert data.classes == ("ant", "zebra")
    assert data.train_labels.tolist() == [0, 1]
    assert data.test_labels.tolist() == [0]
    assert data.train_images.shape == (2, 3 if colour else 1, 6, 5)
    expected = np.moveaxis(np.atleast_3d(written["train", "zebra"]), 2, 0)
    assert np.array_equal(data.train_images[1].numpy(), expected)


def test_image_folder_failures_name_the_file(tmp_path: Path) -> None:
    write_folder(tmp_path, colour=False)
    cases: list[tuple[str, Callable[[Path], object], list[str]]] = [
        (
            "train/ant/bad.png",
            lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40),
            ["damaged"],
        ),
        ("train/ant/cut.png", lambda p: cut_image(p), ["damaged"]),
        ("train/ant/notes.txt", lambda p: p.write_text("x"), ["not an image", ".txt"]),
        (
            "train/ant/big.png",
            lambda p: write_image(p, np.zeros((7, 5), np.uint8)),
            ["5 pixels wide, 7 high", "5 pixels wide, 6 high"],
        ),
        (
            "train/ant/colour.png",
            lambda p: write_image(p, np.zeros((6, 5, 3), np.uint8)),
            ["colour", "grey"],
        ),
        (
            "train/ant/deep.png",
            lambda p: write_image(p, np.zeros((6, 5), np.uint16)),
            ["Pillow mode I;16"],
        ),
        ("test/cow/0.png", lambda p: write_image(p, np.zeros((6, 5), np.uint8)), ["cow"]),
    ]
    for name, damage, words in cases:
        path = tmp_path / name
        damage(path)
        with pytest.raises(DataError) as caught:
            load_data("image-folder", tmp_path)
        assert path.name in str(caught.value) or path.parent.parent.name in str(caught.value)
        assert all(word in str(caught.value) for word in words), str(caught.value)
        path.unlink()
        if path.parent.name == "cow":
            path.parent.rmdir()
    assert load_data("image-folder", tmp_path).classes == ("ant", "zebra")


def cut_image(path: Path) -> None:
    write_image(path, RNG.integers(0, 256, (6, 5), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:60])


def test_image_folder_without_splits_or_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-root"):
        load_data("image-folder")
    with pytest.raises(DataError, match="train is not there"):
        load_data("image-folder", tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds no classes"):
        load_data("image-folder", tmp_path)
    (tmp_path / "train" / "ant").mkdir()
    (tmp_path / "test" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match="is empty"):
        load_data("image-folder", tmp_path)


def test_digits_are_the_1797_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = datasets.load_digits()
    data = load_data("digits")
    images = torch.cat([data.train_images, data.test_images])[:, 0]
    assert images.shape == (1797, 8, 8)
    assert np.array_equal(np.rint(images.numpy() * (16 / 255)), bunch.images)
    assert torch.cat([data.train_labels, data.test_labels]).tolist() == bunch.target.tolist()


@pytest.mark.parametrize(("name", "module"), [("digits", "sklearn"), ("image-folder", "PIL")])
def test_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, module: str
) -> None:
    if name == "image-folder":
        write_folder(tmp_path, colour=False)
    real = builtins.__import__

    def without(wanted: str, *arguments: Any, **named: Any) -> Any:
        if wanted.partition(".")[0] == module:
            raise ImportError(f"No module named {wanted!r}")
        return real(wanted, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingToolError, match=r"rtlgrad\[data\]"):
        load_data(name, tmp_path)


# --- ImageData ------------------------------------------------------------------------------


def random_data(
    count: int = 40, channels: int = 1, size: tuple[int, int] = (6, 5), seed: int = 0
) -> ImageData:
    generator = torch.Generator().manual_seed(seed)

    def split(images: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.randint(0, 256, (images, channels, *size), generator=generator)
        return pixels.to(torch.uint8), torch.randint(0, 4, (images,), generator=generator)

    return ImageData("random", *split(count), *split(10), classes=tuple("abcd"), source="test")


@settings(deadline=None, max_examples=25)
@given(channels=st.integers(1, 3), seed=st.integers(0, 999))
def test_statistics_are_mean_and_deviation_of_the_training_pixels(channels: int, seed: int) -> None:
    data = random_data(channels=channels, seed=seed)
    pixels = data.train_images.double().numpy() / 255
    mean, std = data.statistics
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), rtol=1e-6)
    normal = normalise(data.train_images, mean, std).double()
    assert normal.mean((0, 2, 3)).abs().max() < 1e-6
    assert (normal.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_constant_channel_does_not_divide_by_zero() -> None:
    data = replace(random_data(), train_images=torch.full((40, 1, 6, 5), 7, dtype=torch.uint8))
    mean, std = data.statistics
    assert std.item() == 1
    assert normalise(data.train_images, mean, std).abs().max() < 1e-6


@pytest.mark.parametrize("field", ["train_images", "train_labels", "test_images", "test_labels"])
def test_hash_changes_with_every_part_of_the_content(field: str) -> None:
    data = random_data()
    changed = getattr(data, field).clone()
    changed.view(-1)[3] = (changed.view(-1)[3] + 1) % 4
    assert replace(data, **{field: changed}).sha256 != data.sha256
    assert replace(data, source="elsewhere", name="other").sha256 == data.sha256
    assert replace(data, classes=tuple("abce")).sha256 != data.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_images": torch.zeros(40, 1, 6, 5)}, ["training set", "float32", "uint8"]),
        ({"test_labels": torch.zeros(9, dtype=torch.int64)}, ["test set", "(9,)", "(10,)"]),
        ({"test_images": torch.zeros(10, 1, 6, 6, dtype=torch.uint8)}, ["1x6x5", "1x6x6"]),
        ({"test_labels": torch.full((10,), -1)}, ["-1 for image 0", "0 to 3"]),
    ],
)
def test_inconsistent_data_is_refused(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        replace(random_data(), **change)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    more=st.integers(0, 30),
    wide=st.integers(0, 30),
)
def test_fitting_repeats_pixels_and_pads_zeros_only(
    height: int, width: int, more: int, wide: int
) -> None:
    data = random_data(count=3, size=(height, width))
    size = (height + more, width + wide)
    fitted = fit_images(data, size)
    factor = min(size[0] // height, size[1] // width)
    assert fitted.size == size
    kept = fitted.train_images.long().sum()
    assert kept == data.train_images.long().sum() * factor**2
    top, left = (size[0] - height * factor) // 2, (size[1] - width * factor) // 2
    inner = fitted.train_images[..., top : top + height * factor, left : left + width * factor]
    assert torch.equal(inner[..., ::factor, ::factor], data.train_images)
    assert fitted.provenance["sha256"] == data.sha256


def test_digits_become_28x28_by_tripling_and_a_border_of_two() -> None:
    fitted = fit_images(random_data(size=(8, 8)), (28, 28)).train_images
    assert fitted[..., :2, :].max() == fitted[..., 26:].max() == 0
    assert torch.equal(fitted[..., 2:26:3, 2:26:3], fitted[..., 4:26:3, 3:26:3])


def test_images_are_never_shrunk() -> None:
    with pytest.raises(DataError, match="do not fit"):
        fit_images(random_data(size=(6, 5)), (5, 5))


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 60), wanted=st.one_of(st.none(), st.integers(1, 70)))
def test_a_subset_is_drawn_without_repetition_and_always_the_same(
    count: int, wanted: int | None
) -> None:
    rows = subset(count, wanted)
    if wanted is None or wanted >= count:
        assert rows is None
    else:
        assert rows is not None
        assert len(set(rows.tolist())) == wanted
        assert set(rows.tolist()) <= set(range(count))
        torch.manual_seed(wanted)
        assert rows.tolist() == subset(count, wanted).tolist()


# --- batches --------------------------------------------------------------------------------


def all_of(source: Batches, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*source.epoch(epoch), strict=True)
    return torch.cat(images), torch.cat(labels)


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    seed=st.one_of(st.none(), st.integers(0, 2**63)),
    drop=st.booleans(),
)
def test_an_epoch_is_a_permutation_cut_into_batches(
    count: int, batch_size: int, seed: int | None, drop: bool
) -> None:
    data = random_data(count=count)
    source = batches(data, batch_size=batch_size, seed=seed, drop_last=drop)
    sizes = [len(labels) for _, labels in source.epoch(1)]
    whole, rest = divmod(count, batch_size)
    assert sizes == [batch_size] * whole + ([rest] if rest and not drop else [])
    assert len(source) == len(sizes)
    if not (drop and rest):
        images, labels = all_of(source, 1)
        mean, std = data.statistics
        expected = normalise(data.train_images, mean, std)
        key = [
            (image.numpy().tobytes(), int(label))
            for image, label in zip(images, labels, strict=True)
        ]
        want = [
            (image.numpy().tobytes(), int(label))
            for image, label in zip(expected, data.train_labels, strict=True)
        ]
        assert sorted(key) == sorted(want)
        assert seed is not None or key == want


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_order_and_augmentation_follow_from_seed_and_epoch_alone(augment: str) -> None:
    data = random_data(channels=3, size=(8, 8))
    one = batches(data, batch_size=7, seed=3, augment=augment)
    first = all_of(one, 2)
    torch.manual_seed(99)
    all_of(one, 5)
    again = all_of(batches(data, batch_size=16, seed=3, augment=augment), 2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], all_of(one, 3)[0])
    assert not torch.equal(first[0], all_of(replace(one, seed=4), 2)[0])


def test_crop_flip_equals_its_definition_image_by_image() -> None:
    data = random_data(count=30, channels=2, size=(6, 5))
    images, labels = all_of(batches(data, batch_size=30, seed=1, augment="crop-flip"))
    mean, std = data.statistics
    seen = set()
    for image, label in zip(images, labels, strict=True):
        found = None
        for source, truth in zip(data.train_images, data.train_labels, strict=True):
            padded = torch.nn.functional.pad(source, (4, 4, 4, 4))
            for down in range(9):
                for right in range(9):
                    crop = padded[:, down : down + 6, right : right + 5]
                    for mirror in (False, True):
                        candidate = crop.flip(2) if mirror else crop
                        if truth == label and torch.equal(
                            normalise(candidate[None], mean, std)[0], image
                        ):
                            found = (down, right, mirror)
        assert found is not None
        seen.add(found)
    assert len(seen) > 20  # 30 draws out of 162 possibilities


def test_batches_refuse_what_makes_no_sense() -> None:
    data = random_data()
    with pytest.raises(ConfigError, match="batch_size"):
        batches(data, batch_size=0)
    with pytest.raises(ConfigError, match="seed"):
        batches(data, augment="crop-flip")
    with pytest.raises(UnknownNameError, match="augmentation 'flip'"):
        batches(data, seed=0, augment="flip")
    with pytest.raises(UnknownNameError, match="split 'val'"):
        batches(data, "val")


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 60), share=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_validation_split_is_a_partition(count: int, share: float, seed: int) -> None:
    held_out = int(count * share)
    train, validation = split_rows(count, held_out, seed)
    assert len(validation) == held_out
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(count))
    _, fewer = split_rows(count, held_out // 2, seed)
    assert set(fewer.tolist()) <= set(validation.tolist())
