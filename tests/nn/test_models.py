"""Models: parameter and multiplication counts of the literature, shapes, and the registry."""

from __future__ import annotations

import pytest
import torch
from rtlgrad.core.errors import ConfigError, UnknownNameError
from rtlgrad.nn.models import MODELS, build_model, model_spec
from rtlgrad.nn.models.resnet import BasicBlock
from rtlgrad.nn.training import count_products
from torch import nn


def build(name: str, channels: int, side: int, classes: int = 10) -> nn.Module:
    return build_model(name, in_channels=channels, num_classes=classes, image_size=(side, side))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "side", "published"),
    [
        ("lenet300100", 1, 28, 266_610),
        ("lenet5", 1, 28, 61_706),
        ("lenet5", 1, 32, 61_706),
        ("resnet20", 3, 32, 269_722),  # He et al. 2016, table 6: 0.27 M
    ],
)
def test_parameter_counts_are_the_published_ones(
    name: str, channels: int, side: int, published: int
) -> None:
    assert parameters(build(name, channels, side)) == published


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet20", 3)])
def test_resnet_has_6n_plus_2_weighted_layers(name: str, blocks: int) -> None:
    weighted = [m for m in build(name, 3, 32).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 6 * blocks + 2 == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(
    ("name", "channels", "side", "per_layer"),
    [
        ("lenet300100", 1, 28, [28 * 28 * 300, 300 * 100, 100 * 10]),
        ("lenet5", 1, 28, [117_600, 240_000, 48_000, 10_080, 840]),
        ("lenet5", 1, 32, [117_600, 240_000, 48_000, 10_080, 840]),
    ],
)
def test_products_per_layer_are_output_size_times_fan_in(
    name: str, channels: int, side: int, per_layer: list[int]
) -> None:
    counts = count_products(build(name, channels, side), (channels, side, side))
    assert list(counts.values()) == per_layer


def test_resnet20_takes_40_55_million_products() -> None:
    # The figure that the pruning literature gives for ResNet-20 on CIFAR-10.
    counts = count_products(build("resnet20", 3, 32), (3, 32, 32))
    assert len(counts) == 20
    assert sum(counts.values()) == 40_551_040


@pytest.mark.parametrize(
    ("name", "side", "classes", "published", "giga"),
    [
        # torchvision's figures of its own ResNets, whose strides are placed alike.
        ("resnet18", 224, 1000, 11_689_512, 1.814),
        ("resnet34", 224, 1000, 21_797_672, 3.664),
        ("resnet50", 224, 1000, 25_557_032, 4.089),
        # The usual variants for CIFAR-10.
        ("resnet18-cifar", 32, 10, 11_173_962, 0.555),
        ("resnet34-cifar", 32, 10, 21_282_122, 1.159),
        ("resnet50-cifar", 32, 10, 23_520_842, 1.298),
    ],
)
def test_deep_resnets_have_the_published_parameters_and_products(
    name: str, side: int, classes: int, published: int, giga: float
) -> None:
    model = build(name, 3, side, classes)
    assert parameters(model) == published
    products = sum(count_products(model, (3, side, side)).values())
    assert round(products / 1e9, 3) == giga
    weighted = [
        m
        for n, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n
    ]
    assert len(weighted) == int(name.removeprefix("resnet").removesuffix("-cifar"))


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize(("channels", "side", "classes"), [(1, 28, 10), (3, 32, 7), (1, 8, 10)])
def test_every_model_gives_one_logit_per_class_and_gradients(
    name: str, channels: int, side: int, classes: int
) -> None:
    height, width = model_spec(name).input_size(side, side)
    model = build(name, channels, height, classes)
    logits = model(torch.randn(4, channels, height, width))
    assert logits.shape == (4, classes)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_option_a_shortcut_is_subsampling_and_zero_channels() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)  # silences the residual branch
    maps = torch.rand(1, 2, 6, 6)
    out = block(maps)
    assert torch.equal(out[:, 1:3], maps[:, :, ::2, ::2])
    assert out[:, [0, 3]].abs().max() == 0


def test_lenet5_pads_28_to_what_it_sees_at_32() -> None:
    torch.manual_seed(0)
    small, large = build("lenet5", 1, 28).eval(), build("lenet5", 1, 32).eval()
    large.load_state_dict(small.state_dict())
    images = torch.randn(2, 1, 28, 28)
    padded = nn.functional.pad(images, (2, 2, 2, 2))
    torch.testing.assert_close(small(images), large(padded))


def test_lenet5_refuses_other_sizes_by_name() -> None:
    with pytest.raises(ConfigError, match="30x30") as caught:
        build("lenet5", 1, 30)
    assert "28x28 or 32x32" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "wanted"),
    [
        ("lenet5", (8, 8), (28, 28)),
        ("lenet5", (28, 28), (28, 28)),
        ("lenet5", (20, 30), (32, 32)),
        ("resnet20", (40, 30), (40, 30)),
        ("resnet8", (4, 9), (8, 9)),
        ("lenet300100", (3, 5), (3, 5)),
    ],
)
def test_input_size_is_the_smallest_legal_one(
    name: str, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert model_spec(name).input_size(*size) == wanted


def test_images_too_large_for_a_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="33x20"):
        model_spec("lenet5").input_size(33, 20)


def test_unknown_model_lists_the_legal_names_and_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'lenet-5'") as caught:
        build("lenet-5", 1, 28)
    assert "did you mean 'lenet5'?" in str(caught.value)
    assert all(name in str(caught.value) for name in MODELS)


def test_a_model_without_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be built"):
        build("lenet5", 1, 28, classes=0)
