"""Runs the route through tensor cores: tables of low rank as products of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .launches import LOWRANK_WEIGHTS_KERNEL, per_thread

if TYPE_CHECKING:
    from torch import Tensor

    from .device_tables import DeviceTables
    from .devices import Device
    from .digit_layout import DigitLayout
    from .launches import Launch


def run_lowrank(
    device: Device,
    tables: DeviceTables,
    launch: Launch,
    digits: DigitLayout,
    operands: dict[str, Tensor],
    out: Tensor,
) -> None:
    """Prepare the weights, and add up the products.

    Args:
        device: where.
        tables: what is known of tables there.
        launch: of `table_lowrank`.
        digits: the table.
        operands: x, w, perhaps outside, and perhaps the scales of a layer.
        out: where results are added if the launch splits, else written; int32, with scales float32.
    """
    members = launch.members
    rows = members["gather.groups"] * members["gather.rows"]
    row_bytes = members["row_bytes"]
    like = operands["x"]
    weights = like.new_empty(digits.passes * rows * row_bytes, dtype=torch.int8)
    base_sums = torch.zeros(rows, dtype=torch.int32, device=like.device)
    there = tables.digits(digits)
    gather = {name: value for name, value in members.items() if name.startswith("gather.")}
    if weights.numel():
        preparing = per_thread(
            *(LOWRANK_WEIGHTS_KERNEL, weights.numel() // 4),
            **gather,
            row_bytes=row_bytes,
            passes=digits.passes,
            digit_bits=members["digit_bits"],
        )
        device.run(
            preparing,
            {"gather.w": operands["w"], "digits": there.weights, "base": there.base},
            {"weights": weights, "base_sums": base_sums},
        )
    read = {f"gather.{name}": tensor for name, tensor in operands.items() if name != "w"}
    read |= {"digits": there.activations, "factors": there.factors}
    read |= {"weights": weights, "base_sums": base_sums}
    device.run(launch, read, {"gather.out": out})
