"""The precision of what is computed exactly: torch's own layers, between those with a table.

Layers with a table or with noise compute in float32 whatever the precision (they widen their inputs,
and torch's autocast knows no rule for their ops), so their products keep their bits. With ``bf16`` the
exact convolutions, linear layers and matrix products multiply in bfloat16; parameters, optimizer and
loss stay float32.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from ...core.names import pick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

PRECISIONS: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""What exact layers multiply in, by name."""


def exact_parts_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which torch's own layers multiply in a precision.

    Args:
        precision: a key of `PRECISIONS`.
        device: where the model runs.

    Raises:
        UnknownNameError: there is no such precision.
    """
    dtype = pick(PRECISIONS, precision, kind="precision")
    if dtype is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
