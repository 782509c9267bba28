"""Training: repeatable, resumable after any interruption, and strict about what it was made from."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtlgrad.core.errors import (
    ConfigError,
    DataError,
    IdentityError,
    RecordError,
    UnknownNameError,
)
from rtlgrad.lutgen import ProductTable, exact_table
from rtlgrad.nn.data import ImageData
from rtlgrad.nn.models import MODELS, ModelShape, ModelSpec
from rtlgrad.nn.training import (
    CHECKPOINT_NAME,
    METRICS_NAME,
    RESULT_NAME,
    EpochDone,
    Evaluating,
    Event,
    Finished,
    Interrupted,
    PlainProgress,
    RunResult,
    Started,
    StepDone,
    TrainConfig,
    config_from_json,
    evaluate,
    evaluate_checkpoint,
    load_checkpoint,
    load_model,
    load_result,
    train,
)
from rtlgrad.nn.training.checkpoint import content_digest
from rtlgrad.nn.training.config import learning_rate
from rtlgrad.nn.training.run_data import prepare_data
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rtlgrad.nn.data import Batches

EXACT = exact_table(8, 8)


def prototypes(
    train_images: int = 200, test_images: int = 60, side: int = 8, seed: int = 0
) -> ImageData:
    """Four classes, each a fixed random image with noise on it: easy to learn."""
    rng = np.random.default_rng(seed)
    means = rng.integers(40, 216, (4, 1, side, side))

    def split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = rng.integers(0, 4, count)
        pixels = means[labels] + rng.normal(0, 40, (count, 1, side, side))
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)

    return ImageData(
        "prototypes",
        *split(train_images),
        *split(test_images),
        classes=tuple("abcd"),
        source="test",
    )


class Small(nn.Module):
    """A convolution, batch normalisation, dropout and a linear layer: every kind of state."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape.in_channels, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        side = (shape.height - 1) // 2
        self.fc = nn.Linear(4 * side * side, shape.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.norm(self.conv(images)))
        logits: torch.Tensor = self.fc(self.drop(maps.flatten(1)))
        return logits


@pytest.fixture(scope="module", autouse=True)
def _small_model() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "small", ModelSpec("for tests", Small, least_side=3))
        yield


DATA = prototypes()
FP32 = TrainConfig("small", "prototypes", epochs=3, batch_size=16, lr=0.1, threads=1)


def with_design(config: TrainConfig, table: ProductTable, **changes: Any) -> TrainConfig:
    return replace(config, design=table.name, **changes)


def low_bits_cut(bits: int = 3) -> ProductTable:
    return ProductTable((EXACT.products >> bits) << bits, name=f"cut{bits}")


def weights(folder: Path) -> str:
    """Digest over every parameter, buffer, optimizer state and random state of a run."""
    state = load_checkpoint(folder / CHECKPOINT_NAME)
    return content_digest([state.model, state.optimizer, state.random, state.best, state.epoch])


def figures(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run without its times."""
    lines = [json.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    for line in lines:
        del line["seconds"]
        if line["validation"]:
            del line["validation"]["seconds"]
    return lines


def timeless(result: RunResult) -> dict[str, Any]:
    """What of a result may not depend on when and in how many sessions it was computed."""
    test = replace(result.test, seconds=0.0)
    return {
        "test": test,
        "selected": result.selected_epoch,
        "validation": result.validation_accuracy,
        "tables": result.table_ids,
        "products": result.products,
        "images": result.images,
    }


# --- repeatable -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", [None, EXACT, low_bits_cut()])
def test_same_seed_same_bits(tmp_path: Path, table: ProductTable | None) -> None:
    config = FP32 if table is None else with_design(FP32, table)
    results = []
    for name in ("a", "b"):
        random.seed(name)
        torch.manual_seed(len(results))
        results.append(train(config, DATA, table, tmp_path / name))
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    assert timeless(results[0]) == timeless(results[1])
    train(replace(config, seed=1), DATA, table, tmp_path / "c")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_training_leaves_the_callers_settings_alone(tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    train(FP32, DATA, None, tmp_path)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_weights_do_not_depend_on_the_test_set(tmp_path: Path) -> None:
    other = replace(DATA, test_images=255 - DATA.test_images, test_labels=3 - DATA.test_labels)
    train(FP32, DATA, None, tmp_path / "a")
    train(FP32, other, None, tmp_path / "b")
    one, two = (load_checkpoint(tmp_path / name / CHECKPOINT_NAME) for name in "ab")
    assert content_digest(one.model) == content_digest(two.model)


def rows(batches: Batches | None) -> set[bytes]:
    return set() if batches is None else {image.numpy().tobytes() for image in batches.images}


@settings(deadline=None, max_examples=25)
@given(first=st.integers(20, 220), second=st.integers(20, 220), share=st.floats(0.05, 0.5))
def test_what_one_run_validates_on_no_other_run_trains_on(
    first: int, second: int, share: float
) -> None:
    config = replace(FP32, batch_size=4, val_fraction=share)
    one = prepare_data(replace(config, limit_train=first), DATA)
    other = prepare_data(replace(config, limit_train=second, seed=7), DATA)
    assert not rows(one.validation) & rows(other.train)
    assert not rows(one.train) & rows(other.validation)
    assert one.images["train"] + one.images["validation"] == min(first, 200)
    assert rows(one.calibration) <= rows(one.train)
    # A part of the images is normalised like the whole, so that weights fit both.
    assert torch.equal(one.train.mean, DATA.statistics[0])
    assert torch.equal(one.test.std, DATA.statistics[1])


# --- resumable ------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[TrainConfig, ProductTable | None]] = {
    "fp32": (FP32, None),
    "adam, best": (replace(FP32, optimizer="adam", lr=0.01, keep="best", schedule="step"), None),
    "augmented": (replace(FP32, augment="crop-flip", val_fraction=0.0), None),
    "table": (with_design(FP32, low_bits_cut(), epochs=2), low_bits_cut()),
}


class StopAt:
    """Raises KeyboardInterrupt at the n-th event, as Ctrl-C at that moment would."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_interrupted_anywhere_and_resumed_equals_uninterrupted(
    tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An event per step, whatever the machine's speed: every run has the same ones.
    monkeypatch.setattr("rtlgrad.nn.training.loop._STEP_INTERVAL_S", 0.0)
    config, table = VARIANTS[variant]
    recorder = StopAt(0)
    whole = train(config, DATA, table, tmp_path / "whole", progress=recorder)
    assert whole.sessions == 1
    count = len(recorder.events)
    for moment in random.Random(variant).sample(range(1, count), 4):
        folder = tmp_path / str(moment)
        stop = StopAt(moment)
        with pytest.raises(KeyboardInterrupt):
            train(config, DATA, table, folder, progress=stop)
        assert isinstance(stop.events[-1], Interrupted)
        assert not (folder / RESULT_NAME).exists()
        resumed = train(config, DATA, table, folder)
        assert weights(folder) == weights(tmp_path / "whole")
        assert figures(folder) == figures(tmp_path / "whole")
        assert timeless(resumed) == timeless(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_training as t
t.torch.set_num_threads(1)
t.MODELS["small"] = t.ModelSpec("for tests", t.Small, least_side=3)
config, table = t.VARIANTS["table"]

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

# A process of its own for each, forked before any thread is there.
for name, arm in t.ARMS.items():
    if (child := os.fork()) == 0:
        exec(arm)
        t.train(config, t.DATA, table, Path({folder!r}) / name, progress=progress)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
IN_SECOND_EPOCH = """
def progress(event):
    if isinstance(event, t.StepDone) and event.epoch == 2:
        kill()
"""
WHILE_WRITING = """
progress = lambda event: None
real, writes = os.fsync, []

def fsync(handle):
    real(handle)
    writes.append(handle)
    if len(writes) == NUMBER:
        kill()

os.fsync = fsync
"""
ARMS = {
    "step of epoch 2": IN_SECOND_EPOCH,
    # Writes 1 to 3 are the configuration, the first checkpoint and its metrics.
    "checkpoint of epoch 1": WHILE_WRITING.replace("NUMBER", "4"),
    "metrics of the last epoch": WHILE_WRITING.replace("NUMBER", "7"),
    "result": WHILE_WRITING.replace("NUMBER", "8"),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs whose processes were killed, by what they were doing."""
    folder = tmp_path_factory.mktemp("killed")
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(ARMS), done.stderr
    return folder


@pytest.mark.parametrize("arm", ARMS)
def test_killed_process_is_resumed_to_the_same_bits(tmp_path: Path, killed: Path, arm: str) -> None:
    config, table = VARIANTS["table"]
    folder = killed / arm
    assert not (folder / RESULT_NAME).exists()
    resumed = train(config, DATA, table, folder)
    whole = train(config, DATA, table, tmp_path / "whole")
    assert resumed.sessions == 2
    assert weights(folder) == weights(tmp_path / "whole")
    assert figures(folder) == figures(tmp_path / "whole")
    assert timeless(resumed) == timeless(whole)
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_ctrl_c_says_how_much_is_safe_and_how_to_go_on(tmp_path: Path) -> None:
    stop = StopAt(0)

    def in_second_epoch(event: Event) -> None:
        stop(event)
        if isinstance(event, StepDone) and event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(FP32, DATA, None, tmp_path, progress=in_second_epoch)
    last = stop.events[-1]
    assert isinstance(last, Interrupted)
    assert (last.epoch, last.epochs) == (1, 3)
    assert str(tmp_path) in last.advice
    assert "same command" in last.advice
    assert load_checkpoint(tmp_path / CHECKPOINT_NAME).epoch == 1


def test_a_finished_run_is_read_and_not_trained_again(tmp_path: Path) -> None:
    result = train(FP32, DATA, None, tmp_path)
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    events = StopAt(0)
    assert train(FP32, DATA, None, tmp_path, progress=events) == result
    assert [type(event) for event in events.events] == [Finished]
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    def again(event: Event) -> None:
        if isinstance(event, Started):
            with pytest.raises(ConfigError, match="in use"):
                train(FP32, DATA, None, tmp_path)

    train(FP32, DATA, None, tmp_path, progress=again)


# --- checkpoints ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fp32_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    train(FP32, DATA, None, folder)
    return folder


def test_checkpoint_is_a_plain_torch_file(fp32_run: Path) -> None:
    payload = torch.load(fp32_run / CHECKPOINT_NAME, weights_only=True)
    model = Small(ModelShape(1, 4, 8, 8))
    model.load_state_dict(payload["model"])
    assert payload["config"]["seed"] == 0
    assert payload["epoch"] == 3
    assert set(payload["versions"]) == {"python", "torch", "numpy", "rtlgrad"}
    assert payload["data"]["sha256"] == DATA.sha256


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_unchanged(
    fp32_run: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = fp32_run / CHECKPOINT_NAME
    content = bytearray(path.read_bytes())
    damaged = tmp_path_factory.mktemp("damaged") / "broken.pt"
    if data.draw(st.booleans(), "truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(bytes(content))
    try:
        state = load_checkpoint(damaged)
    except RecordError as error:
        assert str(damaged) in str(error)  # noqa: PT017
    else:  # padding and time stamps of the container may change without harm
        intact = load_checkpoint(path)
        assert state.config == intact.config
        for item in fields(state):
            if item.name != "config":
                mine, theirs = getattr(state, item.name), getattr(intact, item.name)
                assert content_digest(mine) == content_digest(theirs)


def test_an_edited_weight_is_noticed(fp32_run: Path, tmp_path: Path) -> None:
    payload = torch.load(fp32_run / CHECKPOINT_NAME, weights_only=True)
    payload["model"]["fc.bias"][0] += 1
    torch.save(payload, tmp_path / "edited.pt")
    with pytest.raises(RecordError, match="damaged"):
        load_checkpoint(tmp_path / "edited.pt")


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_no_checkpoint_at_all(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=r"x\.pt"):
        load_checkpoint(path)


def test_foreign_torch_file_and_other_schema(fp32_run: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(RecordError, match="not a checkpoint of rtlgrad"):
        load_checkpoint(tmp_path / "foreign.pt")
    payload = torch.load(fp32_run / CHECKPOINT_NAME, weights_only=True)
    torch.save({**payload, "schema": 99}, tmp_path / "later.pt")
    with pytest.raises(RecordError, match="another schema"):
        load_checkpoint(tmp_path / "later.pt")


def test_resuming_with_another_configuration_names_the_fields(fp32_run: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train(replace(FP32, lr=0.2, epochs=9), DATA, None, fp32_run)
    assert "lr: 0.2, not 0.1" in str(caught.value)
    assert "epochs: 9, not 3" in str(caught.value)
    assert "momentum" not in str(caught.value)


def test_resuming_on_other_data_gives_both_hashes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(FP32, DATA, None, tmp_path, progress=StopAt(6))
    other = prototypes(seed=5)
    with pytest.raises(DataError) as caught:
        train(FP32, other, None, tmp_path)
    assert DATA.sha256 in str(caught.value)
    assert other.sha256 in str(caught.value)


# --- tables and identities ------------------------------------------------------------------


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory, fp32_run: Path) -> Path:
    folder = tmp_path_factory.mktemp("table")
    table = low_bits_cut()
    train(with_design(FP32, table, init=str(fp32_run), epochs=1, lr=0.01), DATA, table, folder)
    return folder


@pytest.mark.parametrize("other", [None, EXACT, low_bits_cut(4)])
def test_evaluation_with_another_table_is_refused_with_both_ids(
    table_run: Path, other: ProductTable | None
) -> None:
    with pytest.raises(IdentityError) as caught:
        load_model(table_run, other)
    assert low_bits_cut().id in str(caught.value)
    assert ("no table (fp32)" if other is None else other.id) in str(caught.value)


def test_fp32_checkpoint_is_not_evaluated_through_a_table(fp32_run: Path) -> None:
    with pytest.raises(IdentityError, match="no table"):
        load_model(fp32_run, EXACT)


def test_resuming_with_another_table_of_the_same_name_is_refused(
    table_run: Path, fp32_run: Path
) -> None:
    table = low_bits_cut()
    impostor = ProductTable(EXACT.products, name=table.name)
    config = with_design(FP32, table, init=str(fp32_run), epochs=1, lr=0.01)
    with pytest.raises(IdentityError) as caught:
        train(config, DATA, impostor, table_run)
    assert table.id in str(caught.value)
    assert impostor.id in str(caught.value)


def test_evaluating_a_checkpoint_gives_the_figures_of_its_result(table_run: Path) -> None:
    found, loaded = evaluate_checkpoint(table_run, DATA, low_bits_cut(), threads=1)
    expected = load_result(table_run).test
    assert replace(found, seconds=0.0) == replace(expected, seconds=0.0)
    numpy_says, slow = evaluate_checkpoint(table_run, DATA, low_bits_cut(), engine="numpy")
    assert slow.engine == "numpy"
    assert numpy_says.correct == expected.correct
    assert loaded.checkpoint.config.design == "cut3"
    with pytest.raises(DataError, match="sha256"):
        evaluate_checkpoint(table_run, prototypes(seed=5), low_bits_cut())


def test_init_from_another_table_has_to_be_meant(table_run: Path, tmp_path: Path) -> None:
    config = with_design(FP32, EXACT, init=str(table_run), epochs=0)
    with pytest.raises(IdentityError) as caught:
        train(config, DATA, EXACT, tmp_path / "refused")
    assert EXACT.id in str(caught.value)
    assert low_bits_cut().id in str(caught.value)
    assert "init_from_other_table" in str(caught.value)
    result = train(replace(config, init_from_other_table=True), DATA, EXACT, tmp_path / "meant")
    assert result.init is not None
    assert result.init["characterization_id"] == low_bits_cut().id
    assert set(result.table_ids.values()) == {EXACT.id}


def test_exact_table_keeps_and_noise_destroys_what_fp32_learnt(
    fp32_run: Path, tmp_path: Path
) -> None:
    learnt = load_result(fp32_run).accuracy
    assert learnt > 0.9
    chaos = np.random.default_rng(0).permutation(EXACT.products.ravel()).reshape(256, 256)
    noise = ProductTable(chaos, name="noise")
    accuracy = {}
    for table in (EXACT, noise):
        config = with_design(FP32, table, init=str(fp32_run), epochs=0)
        result = train(config, DATA, table, tmp_path / table.name)
        assert result.initial == result.test
        assert result.selected_epoch == 0
        accuracy[table.name] = result.accuracy
    assert abs(accuracy[EXACT.name] - learnt) <= 0.05
    assert accuracy["noise"] < 0.6


def test_retraining_recovers_what_a_crude_design_loses(fp32_run: Path, tmp_path: Path) -> None:
    crude = low_bits_cut(13)
    config = with_design(FP32, crude, init=str(fp32_run), epochs=4, lr=0.02)
    result = train(config, DATA, crude, tmp_path)
    assert result.initial is not None
    learnt = load_result(fp32_run).accuracy
    assert result.initial.accuracy < learnt - 0.1
    assert result.accuracy - result.initial.accuracy >= (learnt - result.initial.accuracy) / 2


def test_rules_leave_layers_exact(tmp_path: Path) -> None:
    config = with_design(FP32, EXACT, epochs=1, rules=(("fc", "exact"),))
    result = train(config, DATA, EXACT, tmp_path)
    assert result.table_ids == {"conv": EXACT.id}
    assert result.products == {"conv": 4 * 9 * 9, "fc": 36 * 4}
    assert result.table_products == 4 * 9 * 9
    reloaded = load_model(tmp_path, EXACT).model
    assert type(reloaded.fc) is nn.Linear
    bad = replace(config, rules=(("fx", "exact"),))
    with pytest.raises(UnknownNameError, match="fx"):
        train(bad, DATA, EXACT, tmp_path / "bad")


def test_design_and_table_have_to_agree(tmp_path: Path) -> None:
    for config, table in ((FP32, EXACT), (with_design(FP32, low_bits_cut()), EXACT)):
        with pytest.raises(ConfigError, match="not the configuration's design"):
            train(config, DATA, table, tmp_path)
    with pytest.raises(ConfigError, match="not the configuration's design"):
        train(with_design(FP32, EXACT), DATA, None, tmp_path)
    with pytest.raises(ConfigError, match="data set is not"):
        train(replace(FP32, data="digits"), DATA, None, tmp_path)


# --- results --------------------------------------------------------------------------------


def test_result_file_says_where_the_figures_come_from(table_run: Path, fp32_run: Path) -> None:
    text = (table_run / RESULT_NAME).read_text()
    payload = json.loads(text)
    assert text == json.dumps(payload, sort_keys=True, indent=2) + "\n"
    table = low_bits_cut()
    assert payload["complete"] is True
    assert payload["schema"] == 1
    assert payload["design"] == "cut3"
    assert payload["characterization_id"] == table.id
    assert payload["table_hash"] == table.content_hash
    assert payload["table_ids"] == {"conv": table.id, "fc": table.id}
    assert payload["engine"] not in (None, "auto")
    assert payload["data"]["sha256"] == DATA.sha256
    assert payload["accuracy"] == payload["test"]["correct"] / payload["test"]["count"]
    assert payload["images"] == {"train": 180, "validation": 20, "test": 60}
    assert payload["products_per_image"] == 4 * 9 * 9 + 36 * 4
    assert payload["test"]["products"] == 60 * payload["products_per_image"]
    assert payload["init"]["sha256"] == load_result(fp32_run).checkpoint_sha256
    assert payload["started"] <= payload["ended"]
    assert payload["ended"].endswith("+00:00")


def test_result_round_trip(table_run: Path) -> None:
    result = load_result(table_run)
    assert result == load_result(table_run / RESULT_NAME)
    assert result.config == config_from_json(result.config.to_json(), "itself")


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: p.update(accuracy=0.99),
        lambda p: p["test"].update(accuracy=0.99, correct=1) or p.update(accuracy=0.99),
        lambda p: p.update(complete=False),
        lambda p: p.update(schema=2),
        lambda p: p.pop("versions"),
        lambda p: p["config"].update(lr=-1),
        lambda p: p["config"].update(learning_rate=1),
        lambda p: p.update(test=[]),
    ],
)
def test_damaged_or_edited_result_is_refused(
    table_run: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    payload = json.loads((table_run / RESULT_NAME).read_text())
    edit(payload)
    path = tmp_path / RESULT_NAME
    path.write_text(json.dumps(payload))
    with pytest.raises(RecordError, match=r"result\.json"):
        load_result(path)


def test_truncated_or_missing_result(table_run: Path, tmp_path: Path) -> None:
    path = tmp_path / RESULT_NAME
    with pytest.raises(RecordError, match="cannot read"):
        load_result(path)
    path.write_text((table_run / RESULT_NAME).read_text()[:-20])
    with pytest.raises(RecordError, match="damaged"):
        load_result(path)


def test_best_epoch_is_the_one_of_best_validation(tmp_path: Path) -> None:
    config = replace(FP32, keep="best", epochs=6, lr=0.3, schedule="constant")
    result = train(config, DATA, None, tmp_path / "best")
    accuracies = [line["validation"]["accuracy"] for line in figures(tmp_path / "best")]
    assert result.selected_epoch == accuracies.index(max(accuracies)) + 1
    assert result.validation_accuracy == max(accuracies)
    # At a constant rate, a shorter run ends where the longer one was at its best.
    assert result.selected_epoch < config.epochs
    shorter = replace(config, keep="last", epochs=result.selected_epoch)
    assert train(shorter, DATA, None, tmp_path / "last").test.loss == result.test.loss
    found, _ = evaluate_checkpoint(tmp_path / "best", DATA, None, threads=1)
    assert found.loss == result.test.loss


# --- evaluation -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 99))
def test_evaluation_equals_a_loop_over_images(count: int, batch_size: int, seed: int) -> None:
    data = prototypes(test_images=count, seed=seed)
    torch.manual_seed(seed)
    model = Small(ModelShape(1, 4, 8, 8))
    found = evaluate(model, data, batch_size=batch_size)
    assert model.training
    model.eval()
    mean, std = data.statistics
    correct, loss = 0, 0.0
    with torch.no_grad():
        for image, label in zip(data.test_images, data.test_labels.tolist(), strict=True):
            odds = model((image[None].float() / 255 - mean.view(1, 1, 1)) / std.view(1, 1, 1))[0]
            values = odds.double().tolist()
            correct += values.index(max(values)) == label
            loss -= values[label] - math.log(sum(math.exp(value) for value in values))
    assert (found.correct, found.count) == (correct, count)
    assert found.accuracy == correct / count
    assert found.loss == pytest.approx(loss / count, rel=1e-5)
    assert found.products == count * (4 * 9 * 9 + 36 * 4)


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": -1}, ["epochs", "-1", "from 0"]),
        ({"epochs": 0}, ["epochs", "no init"]),
        ({"epochs": 2.0}, ["epochs", "2.0"]),
        ({"batch_size": 0}, ["batch_size", "from 1"]),
        ({"lr": 0.0}, ["lr", "above 0"]),
        ({"lr": math.nan}, ["lr", "nan"]),
        ({"lr": "fast"}, ["lr", "'fast'"]),
        ({"momentum": 1.0}, ["momentum", "below 1"]),
        ({"weight_decay": -1e-4}, ["weight_decay"]),
        ({"optimizer": "adamw"}, ["optimizer", "'sgd' or 'adam'"]),
        ({"schedule": "linear"}, ["schedule", "'cosine' or 'constant' or 'step'"]),
        ({"keep": "all"}, ["keep", "'last' or 'best'"]),
        ({"keep": "best", "val_fraction": 0.0}, ["keep", "val_fraction"]),
        ({"val_fraction": 1.0}, ["val_fraction", "below 1"]),
        ({"threads": 0}, ["threads"]),
        ({"limit_train": 0}, ["limit_train"]),
        ({"seed": True}, ["seed"]),
        ({"seed": -1}, ["seed"]),
        ({"rules": (("fc", "drop"),), "design": "x"}, ["rules", "'exact' or 'table'"]),
        ({"rules": (("fc", "exact"),)}, ["rules", "no design"]),
        ({"model": None}, ["model", "a name"]),
    ],
)
def test_illegal_configuration_names_the_field(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(FP32, **changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unknown_or_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match="'learning_rte'"):
        config_from_json({"model": "small", "data": "x", "learning_rte": 1}, "run.toml")
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        config_from_json({"model": "small", "data": "x", "epoch": 1}, "run.toml")
    with pytest.raises(ConfigError, match=r"run\.toml does not say data"):
        config_from_json({"model": "small"}, "run.toml")


@pytest.mark.parametrize("field", ["model", "augment", "calibration", "engine"])
def test_unknown_names_are_refused_with_the_legal_ones(tmp_path: Path, field: str) -> None:
    config = with_design(replace(FP32, **{field: "nonsense"}), EXACT)
    with pytest.raises(UnknownNameError, match="nonsense") as caught:
        train(config, DATA, EXACT, tmp_path)
    assert "one of" in str(caught.value)


def test_too_few_images_for_a_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size = 16"):
        train(replace(FP32, limit_train=17), DATA, None, tmp_path)


def test_nothing_held_out_to_choose_the_best_epoch_by(tmp_path: Path) -> None:
    config = replace(FP32, keep="best", val_fraction=0.001)
    with pytest.raises(ConfigError, match="held out"):
        train(config, DATA, None, tmp_path)


def test_a_diverged_training_is_an_error_not_a_result(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="diverged") as caught:
        train(replace(FP32, lr=1e30, epochs=2), DATA, None, tmp_path)
    assert "lower lr" in str(caught.value)
    assert not (tmp_path / RESULT_NAME).exists()


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        train(FP32, DATA, None, tmp_path / "file" / "run")


@settings(deadline=None, max_examples=50)
@given(epochs=st.integers(1, 50), steps=st.integers(1, 50), lr=st.floats(1e-4, 1))
def test_schedules(epochs: int, steps: int, lr: float) -> None:
    total = epochs * steps
    config = replace(FP32, epochs=epochs, lr=lr)
    cosine = [learning_rate(config, step, steps) for step in range(total)]
    assert cosine[0] == lr
    assert all(later < earlier for earlier, later in pairwise(cosine))
    assert learning_rate(config, total, steps) == pytest.approx(0, abs=1e-15)
    # The curve is point-symmetric about its middle.
    assert cosine[total // 3] + learning_rate(config, total - total // 3, steps) == pytest.approx(
        lr
    )
    stepped = [learning_rate(replace(config, schedule="step"), s, steps) for s in range(total)]
    for step, rate in enumerate(stepped):
        drops = (2 * step >= total) + (4 * step >= 3 * total)
        assert rate == pytest.approx(lr * 0.1**drops)
    assert learning_rate(replace(config, schedule="constant"), total - 1, steps) == lr


# --- progress -------------------------------------------------------------------------------


def test_events_tell_the_whole_story(tmp_path: Path) -> None:
    recorder = StopAt(0)
    train(FP32, DATA, None, tmp_path, progress=recorder)
    kinds = [type(event) for event in recorder.events]
    assert kinds[0] is Started
    assert kinds[-1] is Finished
    assert kinds.count(EpochDone) == 3
    steps = [event for event in recorder.events if isinstance(event, StepDone)]
    assert {(event.epoch, event.step) for event in steps} >= {(epoch, 11) for epoch in (1, 2, 3)}
    assert all(event.steps == 11 == 180 // 16 for event in steps)
    assert all(event.images_per_s > 0 for event in steps)
    looked_at = {event.what for event in recorder.events if isinstance(event, Evaluating)}
    assert looked_at == {"validation", "test"}


def test_plain_progress_prints_one_line_per_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(FP32, DATA, None, tmp_path, progress=PlainProgress())
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["epoch", f"{e}/3"] for e in (1, 2, 3)]
    assert lines[-1] == f"test accuracy {result.accuracy:.2%}"


def test_importing_training_needs_numpy_and_torch_alone() -> None:
    script = (
        "import sys, rtlgrad.nn.training, rtlgrad.nn.data, rtlgrad.nn.models, rtlgrad.nn.report;"
        "heavy = {'sklearn', 'PIL', 'cocotb', 'pyverilog', 'pyosys', 'rich', 'typer', 'rtlgrad.cosim'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, env=environment
    )
    assert done.stdout.decode().strip() == "[]"
