"""One step of a recurrent layer: the next state from the products of input and state.

The formulas are those of torch.nn.RNN, LSTM and GRU. Products arrive with their biases; those of
gates and states, value by value, are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def rnn_step(from_input: Tensor, from_state: Tensor, nonlinearity: str) -> Tensor:
    """Return the next state of an RNN.

    Args:
        from_input: [B, H].
        from_state: [B, H].
        nonlinearity: "tanh" or "relu".
    """
    total = from_input + from_state
    return torch.tanh(total) if nonlinearity == "tanh" else torch.relu(total)


def lstm_step(from_input: Tensor, from_state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next state and cell of an LSTM.

    Args:
        from_input: [B, 4 * H].
        from_state: [B, 4 * H].
        cell: [B, H].
    """
    into, forget, content, out = (from_input + from_state).chunk(4, dim=-1)
    kept = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(content)
    return torch.sigmoid(out) * torch.tanh(kept), kept


def gru_step(from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
    """Return the next state of a GRU.

    Args:
        from_input: [B, 3 * H].
        from_state: [B, 3 * H].
        state: [B, H].
    """
    (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
        part.chunk(3, dim=-1) for part in (from_input, from_state)
    )
    reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return (1 - update) * new + update * state
